//! Signpost's gRPC contract: one module per package, generated from `proto/signpost/*/v1`.
//!
//! Messages that hold patient data have a `Debug` that prints their type and nothing else.

mod redact;

/// Descriptors of every package, for reflection and for tests over the whole surface.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! package {
    ($name:ident, $path:literal, $doc:literal $(, $lint:path)*) => {
        #[doc = $doc]
        $(#[expect($lint, reason = "generated code")])*
        pub mod $name {
            #[doc = $doc]
            pub mod v1 {
                tonic::include_proto!($path);
            }
        }
    };
}

package!(audit, "signpost.audit.v1", "Audit: who looked?", clippy::allow_attributes);
package!(common, "signpost.common.v1", "Vocabulary that every service shares.");
package!(consent, "signpost.consent.v1", "Consent: may they see it?", clippy::allow_attributes);
package!(
    directory,
    "signpost.directory.v1",
    "The directory: who is asking, and where to fetch?",
    clippy::allow_attributes
);
package!(
    locator,
    "signpost.locator.v1",
    "The locator: find, list, fetch.",
    clippy::allow_attributes,
    clippy::large_enum_variant
);
package!(mpi, "signpost.mpi.v1", "The master patient index: who is this?", clippy::allow_attributes);
package!(
    registry,
    "signpost.registry.v1",
    "The document registry: who holds what?",
    clippy::allow_attributes
);
package!(source, "signpost.source.v1", "What a member implements.", clippy::allow_attributes);
