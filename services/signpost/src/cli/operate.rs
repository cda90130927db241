//! Commands of an operator: serve, migrate, config, pki, health.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rustix::process::{Resource, Rlimit, setrlimit};
use signpost_common::{
    rpc::{client, tls},
    telemetry,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    config::{Config, Service},
    pki, wiring,
};

pub(super) async fn serve(file: Option<&Path>, only: &[Service]) -> anyhow::Result<ExitCode> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("forbidding core dumps, which would hold keys")?;
    let config = Config::load(file)?;
    let _telemetry = telemetry::start(&config.telemetry)?;
    let running = wiring::start(&config, only).await?;
    // Standard output says where, once calls are taken: logs go to standard error.
    println!("listening on {}", running.address);
    std::io::stdout().flush()?;
    running.until_signal().await?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn migrate(file: Option<&Path>, only: &[Service]) -> anyhow::Result<ExitCode> {
    for service in wiring::migrate(&Config::load(file)?, only).await? {
        println!("{} is up to date", service.name());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show_config(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    print!("{}", Config::load(file)?.shown()?);
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub(super) struct Pki {
    /// Folder to write to; what is there is kept
    #[arg(long, default_value = ".signpost/pki", value_name = "DIR")]
    out: PathBuf,
    /// Member to make, as `id`, `id=Name` or `id=Name@https://host:port`, where it serves documents
    #[arg(long = "member", value_name = "MEMBER")]
    members: Vec<String>,
    /// Kind of the members
    #[arg(long, value_enum, default_value = "provider")]
    kind: KindArg,
    /// Name of the audit log, in checkpoints and in the key that signs them; your own domain makes it unmistakable
    #[arg(long, default_value = pki::LOG, value_name = "NAME")]
    log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArg {
    Provider,
    Payer,
    PublicHealth,
}

impl Pki {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let kind = match self.kind {
            KindArg::Provider => pki::Kind::Provider,
            KindArg::Payer => pki::Kind::Payer,
            KindArg::PublicHealth => pki::Kind::PublicHealth,
        };
        let members: Vec<_> = self.members.iter().map(|text| member(text, kind)).collect();
        pki::create_log_key(&self.out, &self.log)?;
        let made = pki::create(&self.out, &members)?;
        let folder = self.out.display();
        if made.is_empty() {
            println!("nothing to do: all of them are in {folder}");
        }
        for id in made {
            println!("made {id} in {folder}/{id}");
        }
        println!("these keys are for development: whoever can read {folder} can speak for everyone");
        Ok(ExitCode::SUCCESS)
    }
}

fn member(text: &str, kind: pki::Kind) -> pki::NewMember {
    let (text, endpoint) = text.split_once('@').unwrap_or((text, ""));
    let (id, name) = text.split_once('=').unwrap_or((text, text));
    pki::NewMember {
        id: id.into(),
        name: name.into(),
        region: String::new(),
        kind,
        endpoint: endpoint.into(),
    }
}

/// How long an alarm may take to be told.
const ALARM_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Health {
    /// Address to ask [default: where the configuration listens]
    #[arg(long, value_name = "URI")]
    endpoint: Option<String>,
    /// Service to ask for [default: the process as a whole]
    #[arg(long)]
    service: Option<Service>,
}

impl Health {
    pub(super) async fn run(self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let config = Config::load(file)?;
        let endpoint = self.endpoint.unwrap_or_else(|| {
            // An address to listen everywhere is reached on this machine.
            format!("https://{}", config.listen.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"))
        });
        // The process shows its own certificate to itself; a source carries its member's name.
        let name = match config.source.member_id.as_str() {
            "" => config.peers.server_name.as_str(),
            member => member,
        };
        let transport = client::remote(&endpoint, name, tls::client(&config.tls)?)?;
        let service = self.service.map(|service| service.name().to_owned()).unwrap_or_default();
        let asked = tokio::time::timeout(Duration::from_secs(5), async {
            HealthClient::new(transport.clone()).check(HealthCheckRequest { service }).await
        });
        let answer = asked.await.with_context(|| format!("{endpoint} did not answer within 5 s"))?;
        let answer = answer.map_err(|error| super::explain(&error))?.into_inner();
        if answer.status() != ServingStatus::Serving {
            bail!("{endpoint} is not serving: {}", answer.status().as_str_name());
        }
        println!("{endpoint} is serving");
        // It serves all the same: who restarts what is not healthy would make it worse.
        for what in ["certificates", "audit-sinks", "audit-checkpoints"] {
            let request = HealthCheckRequest { service: what.into() };
            let asked =
                tokio::time::timeout(ALARM_TIMEOUT, HealthClient::new(transport.clone()).check(request))
                    .await;
            if let Ok(Ok(answer)) = asked
                && answer.get_ref().status() == ServingStatus::NotServing
            {
                eprintln!("warning: {what} must be looked after; the log of the process says why");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
