//! The exchange and its four members.

use std::path::{Path, PathBuf};

use anyhow::Context;
use signpost_common::{db::Secret, rpc::token::User};
use signpost_consent::document::NetworkDefault;
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::{ActivatePolicyRequest, DraftPolicyRequest},
    directory::v1::{Endpoint, EndpointProtocol, SetEndpointRequest},
};

use crate::{
    cli,
    client::{self, Client, Party},
    config::{Config, Service},
    pki, wiring,
};

/// The emergency department.
pub(super) const ED: &str = "mesa-denver";

/// Jane's hospital at home.
pub(super) const HOME: &str = "general-boston";

/// Where Jane lived before.
pub(super) const BEFORE: &str = "hill-austin";

/// A clinic that Jane would rather not talk about.
pub(super) const CLINIC: &str = "lakeside-chicago";

/// The members: id, name, state.
pub(super) const MEMBERS: [(&str, &str, &str); 4] = [
    (HOME, "General Hospital Boston", "MA"),
    (BEFORE, "Hill Country Medical Center", "TX"),
    (CLINIC, "Lakeside Clinic Chicago", "IL"),
    (ED, "Mesa Emergency Denver", "CO"),
];

/// Everything that runs.
pub(super) struct World {
    pub(super) endpoint: String,
    pub(super) pki: PathBuf,
    exchange: wiring::Running,
    sources: Vec<wiring::Running>,
    clients: Vec<Client>,
    operator: Client,
}

/// Returns a member's folder of documents.
pub(super) fn documents(dir: &Path, member: &str) -> PathBuf {
    dir.join("members").join(member)
}

impl World {
    /// Starts the members' sources and the exchange. The folders of documents must be there.
    pub(super) async fn start(dir: &Path, listen: &str) -> anyhow::Result<Self> {
        let pki_dir = dir.join("pki");
        let members = MEMBERS.map(|(id, name, region)| pki::NewMember {
            id: id.into(),
            name: name.into(),
            region: region.into(),
            kind: pki::Kind::Provider,
            endpoint: String::new(),
        });
        pki::create(&pki_dir, &members)?;
        let mut config = Config {
            listen: listen.to_owned(),
            database: Secret::new("sqlite"),
            data_dir: dir.join("data"),
            bootstrap: pki_dir.join("members.toml"),
            blinding_key: pki_dir.join("blinding.key"),
            sealing_key: pki_dir.join("sealing.key"),
            audit_signing_key: pki_dir.join("audit.key"),
            tls: client::files(&pki_dir, "exchange"),
            drain_grace_ms: 1_000,
            ..Config::default()
        };
        // Nothing is shared unless the patient permits it, or an emergency demands it.
        config.consent.network_default = NetworkDefault::OptIn;
        let exchange = wiring::start(&config, &[]).await?;
        let endpoint = format!("https://{}", exchange.address);
        let (mut sources, mut clients) = (vec![], vec![]);
        let party = |id: &str| {
            let (endpoint, member_id) = (endpoint.clone(), id.parse()?);
            anyhow::Ok(Party { endpoint, server_name: "exchange".into(), pki: pki_dir.clone(), member_id })
        };
        for (id, ..) in MEMBERS {
            let mut config = config.clone();
            config.listen = "127.0.0.1:0".into();
            config.tls = client::files(&pki_dir, id);
            config.source.member_id = id.into();
            config.source.folder = documents(dir, id);
            let source = wiring::start(&config, &[Service::Source]).await?;
            let client = Client::new(&party(id)?)?;
            let request = SetEndpointRequest {
                member_id: id.into(),
                endpoint: Some(Endpoint {
                    uri: format!("https://{}", source.address),
                    tls_server_name: id.into(),
                    protocol: EndpointProtocol::Grpc.into(),
                }),
                request_id: String::new(),
            };
            client.directory().set_endpoint(client.request(&system(), request)?).await?;
            sources.push(source);
            clients.push(client);
        }
        let operator = Client::new(&party("operator")?)?;
        Ok(Self { endpoint, pki: pki_dir, exchange, sources, clients, operator })
    }

    /// Returns a member's connection to the exchange.
    pub(super) fn member(&self, id: &str) -> anyhow::Result<&Client> {
        let client = self.clients.iter().find(|client| client.member_id.as_str() == id);
        client.ok_or_else(|| anyhow::anyhow!("{id} is no member"))
    }

    /// Puts a policy in force that is shipped.
    pub(super) async fn activate(&self, policy: NetworkDefault) -> anyhow::Result<()> {
        let user = user("kim", Role::Operator, PurposeOfUse::Hoperat);
        let request =
            DraftPolicyRequest { source: policy.source().to_owned(), request_id: cli::request_id() };
        let drafted = self.operator.policies().draft_policy(self.operator.request(&user, request)?).await?;
        let version = drafted.into_inner().version.context("the answer holds no version")?.version;
        let request = ActivatePolicyRequest { version, request_id: cli::request_id() };
        self.operator.policies().activate_policy(self.operator.request(&user, request)?).await?;
        Ok(())
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        drop((self.clients, self.operator));
        self.exchange.stop().await?;
        for source in self.sources {
            source.stop().await?;
        }
        Ok(())
    }
}

/// A member's unattended feed.
pub(super) fn system() -> User {
    user("ehr-feed", Role::System, PurposeOfUse::Hoperat)
}

pub(super) fn user(name: &str, role: Role, purpose: PurposeOfUse) -> User {
    User { name: name.into(), role, purpose, encounter: String::new() }
}
