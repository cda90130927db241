//! Configuration: defaults < `signpost.toml` < environment. An unknown key is an error.
//!
//! In the environment, `SIGNPOST_DATABASE` sets `database` and `SIGNPOST_TLS__CERT` sets `tls.cert`.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};
use signpost_common::{
    db::{Location, Secret},
    rpc::{limits::Limits, tls},
    telemetry,
};
pub use signpost_consent::document::NetworkDefault;

use crate::pki::KID;

/// A service of the exchange, or a member's document source.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Master patient index.
    Mpi,
    /// Document registry.
    Registry,
    /// Consent.
    Consent,
    /// Directory.
    Directory,
    /// Audit log.
    Audit,
    /// Locator.
    Locator,
    /// A member's document source: not part of the exchange, never started with the others.
    Source,
}

/// The services of the exchange.
pub const EXCHANGE: [Service; 6] =
    [Service::Mpi, Service::Registry, Service::Consent, Service::Directory, Service::Audit, Service::Locator];

impl Service {
    /// Returns the service's name, which is also that of its schema and of its SQLite file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mpi => "mpi",
            Self::Registry => "registry",
            Self::Consent => "consent",
            Self::Directory => "directory",
            Self::Audit => "audit",
            Self::Locator => "locator",
            Self::Source => "source",
        }
    }
}

/// What a process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address to listen on; port 0 takes any free one.
    pub listen: String,
    /// `sqlite` (files in `data_dir`), `memory`, or `postgres://user@host:port/database`.
    pub database: Secret,
    /// Most connections of each service to PostgreSQL.
    pub database_connections_max: u32,
    /// Folder of the SQLite files.
    pub data_dir: PathBuf,
    /// File with the members to know from the start; empty for none.
    pub bootstrap: PathBuf,
    /// File with the key that turns blocking keys and patients' records into tokens, 64 hexadecimal digits.
    pub blinding_key: PathBuf,
    /// File with the key that wraps the keys which records are sealed under, 64 hexadecimal digits.
    pub sealing_key: PathBuf,
    /// Files of keys that were `sealing_key` before and may have wrapped what is stored.
    pub sealing_keys_before: Vec<PathBuf>,
    /// File with the key that signs checkpoints of the audit log, one line `PRIVATE+KEY+NAME+HASH+SEED`.
    pub audit_signing_key: PathBuf,
    /// Whether to offer gRPC reflection.
    pub reflection: bool,
    /// How long calls under way may take when the process is asked to stop, in milliseconds.
    pub drain_grace_ms: u64,
    /// Certificates.
    pub tls: tls::Files,
    /// How much one caller may ask for.
    pub limits: Limits,
    /// Logs, traces, metrics.
    pub telemetry: telemetry::Config,
    /// How the master patient index compares records.
    pub matching: Matching,
    /// Consent.
    pub consent: Consent,
    /// The audit log.
    pub audit: Audit,
    /// The locator.
    pub locator: Locator,
    /// Where the other services are, when they are not in this process.
    pub peers: Peers,
    /// A member's document source.
    pub source: Source,
}

/// Settings of matching.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Model file that `signpost people train` made; empty for the one that is shipped.
    pub model: PathBuf,
    /// Records that the network holds, about: among more, a chance agreement is likelier.
    pub population: u64,
    /// Country of phone numbers that name none, two letters (ISO 3166).
    pub region: String,
    /// Matches that one user may ask for in a minute, on average over five; 0 for any number.
    pub user_per_minute: u32,
    /// Matches that all users of a member may ask for in a minute, on average over five; 0 for any number.
    pub member_per_minute: u32,
}

impl Default for Matching {
    fn default() -> Self {
        let limits = signpost_mpi::Limits::default();
        Self {
            model: PathBuf::new(),
            population: 1_000_000,
            region: "US".into(),
            user_per_minute: limits.user,
            member_per_minute: limits.member,
        }
    }
}

/// Settings of consent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// What holds when the patient said nothing, as long as no policy was activated: `opt-out` permits treatment, `opt-in`
    /// denies.
    pub network_default: NetworkDefault,
    /// Most sessions of emergency access that one user opens in a day; 0 for any number.
    pub emergency_per_user_per_day: u32,
    /// Days for which decisions can be explained and simulated, and read notices are kept; 0 for good: six years, as 45 CFR
    /// 164.316(b)(2) asks. The audit log keeps what was released.
    pub retention_days: u32,
}

/// Settings of the audit log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Verifier keys, `NAME+HASH+KEY`, of keys that were `audit_signing_key` before: what they signed still counts.
    pub verifier_keys_before: Vec<String>,
    /// File on another disk than the database that takes events while the database does not; empty for none. For one process
    /// alone.
    pub journal: PathBuf,
    /// File that says what counts as a sign of misuse (TOML); empty for what holds by default. It is read at the start.
    pub misuse_policy: PathBuf,
}

/// Settings of the locator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locator {
    /// How often, in seconds, pointers are checked with their members that nobody has followed for long; 0 for never.
    pub probe_seconds: u64,
}

/// Where the other services are: `https://host:port`, empty when they are in this process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Name that the services' certificates carry.
    pub server_name: String,
    /// Master patient index.
    pub mpi: String,
    /// Document registry.
    pub registry: String,
    /// Consent.
    pub consent: String,
    /// Directory.
    pub directory: String,
    /// Audit log.
    pub audit: String,
}

/// Settings of a member's document source.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Member whose documents these are; needed for `serve --only source`.
    pub member_id: String,
    /// Folder with the documents and `index.csv`.
    pub folder: PathBuf,
    /// Member ids of the exchange's services that may ask.
    pub exchange: Vec<String>,
    /// Folder that keeps what was registered; used when `registry.uri` is set, by one process alone.
    pub state: PathBuf,
    /// How often the whole folder is looked at, in seconds: changes are seen at once where events are not lost.
    pub rescan_seconds: u64,
    /// Where the source registers its documents by itself.
    pub registry: SourceRegistry,
}

/// Where a source registers its documents, and in whose name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRegistry {
    /// The exchange's registry, `https://host:port`; empty when documents are registered otherwise.
    pub uri: String,
    /// Name that the exchange's certificate carries.
    pub server_name: String,
    /// The member's private key that signs tokens (Ed25519, PEM); needed when `uri` is set.
    pub token_key: PathBuf,
    /// Id of that key in the directory.
    pub kid: String,
    /// User in whose name documents are registered, in the role of a system.
    pub user: String,
}

impl Default for Config {
    fn default() -> Self {
        let pki = Path::new(".signpost/pki");
        Self {
            listen: "127.0.0.1:7443".into(),
            database: Secret::new("sqlite"),
            database_connections_max: 16,
            data_dir: ".signpost/data".into(),
            bootstrap: pki.join("members.toml"),
            blinding_key: pki.join("blinding.key"),
            sealing_key: pki.join("sealing.key"),
            sealing_keys_before: vec![],
            audit_signing_key: pki.join("audit.key"),
            reflection: false,
            drain_grace_ms: 10_000,
            tls: tls::Files {
                ca: pki.join("ca.pem"),
                cert: pki.join("exchange/cert.pem"),
                key: pki.join("exchange/key.pem"),
                crl: vec![],
            },
            limits: Limits::default(),
            telemetry: telemetry::Config::default(),
            matching: Matching::default(),
            consent: Consent {
                network_default: NetworkDefault::OptOut,
                emergency_per_user_per_day: 20,
                retention_days: 2190,
            },
            audit: Audit::default(),
            locator: Locator { probe_seconds: 60 },
            peers: Peers {
                server_name: "exchange".into(),
                mpi: String::new(),
                registry: String::new(),
                consent: String::new(),
                directory: String::new(),
                audit: String::new(),
            },
            source: Source {
                member_id: String::new(),
                folder: "documents".into(),
                exchange: vec!["exchange".into()],
                state: ".signpost/source".into(),
                rescan_seconds: 300,
                registry: SourceRegistry {
                    uri: String::new(),
                    server_name: "exchange".into(),
                    token_key: PathBuf::new(),
                    kid: KID.into(),
                    user: "source".into(),
                },
            },
        }
    }
}

impl Config {
    /// Reads the configuration. A named file must be there; `signpost.toml` is read when it is.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        let toml = match file {
            Some(path) => Toml::file_exact(path),
            None => Toml::file("signpost.toml"),
        };
        // What tests are told is not configuration.
        let environment = Env::prefixed("SIGNPOST_").filter(|key| !key.starts_with("test_")).split("__");
        Figment::from(Serialized::defaults(Self::default()))
            .merge(toml)
            .merge(environment)
            .extract()
            .map_err(|error| anyhow::anyhow!("reading the configuration: {error}"))
    }

    /// Returns the configuration as TOML, without what is secret.
    pub fn shown(&self) -> anyhow::Result<String> {
        let mut shown = self.clone();
        // Whatever else it is, it may hold a password, also when it is mistyped.
        shown.database = match self.database.expose() {
            "sqlite" | "memory" => self.database.clone(),
            _ if self.is_postgres() => Secret::new("postgres://[redacted]"),
            _ => Secret::new("[redacted]"),
        };
        Ok(toml::to_string_pretty(&shown)?)
    }

    fn is_postgres(&self) -> bool {
        let database = self.database.expose();
        database.starts_with("postgres://") || database.starts_with("postgresql://")
    }

    /// Returns where a service keeps its data.
    pub fn location(&self, service: Service) -> anyhow::Result<Location> {
        match self.database.expose() {
            "memory" => Ok(Location::Memory),
            "sqlite" => Ok(Location::File(self.data_dir.join(service.name()).with_extension("sqlite"))),
            _ if self.is_postgres() => Ok(Location::Postgres {
                url: self.database.clone(),
                schema: service.name(),
                connections_max: self.database_connections_max,
            }),
            // The text may hold a password: it is not shown.
            _ => anyhow::bail!(
                "the setting `database` must be `sqlite`, `memory` or a URL that begins with postgres://"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signpost.toml");
        std::fs::write(&file, "[telemetry]\nlevel = \"info\"\n").unwrap();
        let error = Config::load(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("level"), "{error}");
        assert!(Config::load(Some(&folder.path().join("absent.toml"))).is_err());
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = Config { database: Secret::new("postgres://u:hunter2@h/d"), ..Config::default() };
        assert!(!config.shown().unwrap().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        let mistyped = Config { database: Secret::new("mysql://u:hunter2@h/d"), ..Config::default() };
        assert!(!mistyped.shown().unwrap().contains("hunter2"));
        let wrong = Config { database: Secret::new("mysql://u:hunter2@h/d"), ..Config::default() };
        assert!(!wrong.location(Service::Mpi).unwrap_err().to_string().contains("hunter2"));
    }
}
