//! What every Signpost service needs and no domain: ids, time, databases, telemetry, lifecycle, and the
//! rules of a call between services.
//!
//! Nothing here knows what a patient or a document is beyond its identifier.

pub mod clock;
pub mod db;
pub mod hash;
pub mod id;
pub mod lifecycle;
pub mod rows;
pub mod rpc;
pub mod seal;
pub mod secret_file;
pub mod signature;
pub mod telemetry;
pub mod text;
