//! Directives that their grantor signed.

use prost::Message;
use signpost_common::{rpc::status::invalid, signature::is_ed25519};
use signpost_proto::consent::v1 as proto;
use tonic::Status;

use crate::domain::{Directive, Signature};

/// What stands before a statement, so that a signature over one is a signature over nothing else.
const DOMAIN: &[u8] = b"signpost.consent.v1.Directive\0";

/// Largest statement, in bytes.
const STATEMENT_BYTES_MAX: usize = 64 << 10;

/// Returns a directive with its signature when that is its grantor's over just this directive.
pub(super) fn verified(directive: Directive, from: proto::DirectiveSignature) -> Result<Directive, Status> {
    let proto::DirectiveSignature { statement, public_key, signature } = from;
    let field = |name: &str| format!("directive.signature.{name}");
    if statement.len() > STATEMENT_BYTES_MAX {
        return Err(invalid(&field("statement"), format!("must have at most {STATEMENT_BYTES_MAX} bytes")));
    }
    if !is_ed25519(&public_key, &[DOMAIN, &statement], &signature) {
        return Err(invalid(&field("signature"), "is not that of the public key over the statement"));
    }
    // Byte for byte: what this version cannot read would be a promise that it does not keep.
    if statement != stated(&directive).encode_to_vec() {
        return Err(invalid(&field("statement"), "says something else than the directive that bears it"));
    }
    Ok(Directive { signature: Some(Signature { statement, public_key, signature }), ..directive })
}

/// Returns what a grantor signs of a directive.
fn stated(directive: &Directive) -> proto::Directive {
    let whole = proto::Directive::from(directive.clone());
    proto::Directive {
        directive_id: String::new(),
        created_at: None,
        revoked_at: None,
        signature: None,
        ..whole
    }
}
