//! How a member speaks to the exchange: its certificate on the connection, a fresh token on every call.

use std::path::{Path, PathBuf};

use anyhow::Context;
use signpost_common::{
    clock::{Clock, SystemClock},
    id::MemberId,
    rpc::{
        Transport, client, tls,
        token::{Signer, User},
    },
};
use signpost_proto::{
    audit::v1::audit_log_service_client::AuditLogServiceClient,
    consent::v1::{
        consent_service_client::ConsentServiceClient,
        emergency_access_service_client::EmergencyAccessServiceClient,
        notice_service_client::NoticeServiceClient, policy_service_client::PolicyServiceClient,
    },
    directory::v1::directory_service_client::DirectoryServiceClient,
    locator::v1::record_locator_service_client::RecordLocatorServiceClient,
    mpi::v1::{
        master_patient_index_service_client::MasterPatientIndexServiceClient,
        matching_model_service_client::MatchingModelServiceClient,
    },
    registry::v1::document_registry_service_client::DocumentRegistryServiceClient,
};
use tonic::Request;

/// Where the exchange is, and who asks.
#[derive(Debug, Clone)]
pub struct Party {
    /// `https://host:port`.
    pub endpoint: String,
    /// Name that the exchange's certificate carries.
    pub server_name: String,
    /// Folder that `signpost pki` made.
    pub pki: PathBuf,
    /// Member.
    pub member_id: MemberId,
}

/// A member's connection to the exchange.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    signer: Signer,
    /// Member.
    pub member_id: MemberId,
}

/// Returns the three TLS files of a member in a folder that `signpost pki` made.
pub fn files(pki: &Path, member_id: &str) -> tls::Files {
    let folder = pki.join(member_id);
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    tls::Files { ca: pki.join("ca.pem"), cert, key, crl: vec![] }
}

impl Client {
    /// Prepares a connection; it is made when it is first used.
    pub fn new(party: &Party) -> anyhow::Result<Self> {
        let reading = || format!("reading the keys of {} in {}", party.member_id, party.pki.display());
        let tls = tls::client(&files(&party.pki, party.member_id.as_str())).with_context(reading)?;
        let signer = crate::pki::signer(&party.pki, &party.member_id).with_context(reading)?;
        let transport = client::remote(&party.endpoint, &party.server_name, tls)?;
        Ok(Self { transport, signer, member_id: party.member_id.clone() })
    }

    /// Makes a request in the name of a user.
    pub fn request<T>(&self, user: &User, message: T) -> anyhow::Result<Request<T>> {
        let token = self.signer.sign(&self.signer.claims(user, SystemClock.now()))?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
        Ok(request)
    }

    /// The master patient index.
    pub fn mpi(&self) -> MasterPatientIndexServiceClient<Transport> {
        MasterPatientIndexServiceClient::new(self.transport.clone())
    }

    /// The models of the master patient index.
    pub fn models(&self) -> MatchingModelServiceClient<Transport> {
        MatchingModelServiceClient::new(self.transport.clone())
    }

    /// The document registry.
    pub fn registry(&self) -> DocumentRegistryServiceClient<Transport> {
        DocumentRegistryServiceClient::new(self.transport.clone())
    }

    /// Consent.
    pub fn consent(&self) -> ConsentServiceClient<Transport> {
        ConsentServiceClient::new(self.transport.clone())
    }

    /// The network's policy.
    pub fn policies(&self) -> PolicyServiceClient<Transport> {
        PolicyServiceClient::new(self.transport.clone())
    }

    /// Emergency access.
    pub fn emergency(&self) -> EmergencyAccessServiceClient<Transport> {
        EmergencyAccessServiceClient::new(self.transport.clone())
    }

    /// What patients and privacy officers are told.
    pub fn notices(&self) -> NoticeServiceClient<Transport> {
        NoticeServiceClient::new(self.transport.clone())
    }

    /// The directory.
    pub fn directory(&self) -> DirectoryServiceClient<Transport> {
        DirectoryServiceClient::new(self.transport.clone())
    }

    /// The audit log.
    pub fn audit(&self) -> AuditLogServiceClient<Transport> {
        AuditLogServiceClient::new(self.transport.clone())
    }

    /// The locator.
    pub fn locator(&self) -> RecordLocatorServiceClient<Transport> {
        RecordLocatorServiceClient::new(self.transport.clone())
    }

    /// The connection itself, for services that have no method here.
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }
}
