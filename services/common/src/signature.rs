//! Signatures with Ed25519 (RFC 8032).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

/// Returns true when a signature is that of a public key (32 bytes) over some parts, one after another.
pub fn is_ed25519(public_key: &[u8], parts: &[&[u8]], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(&parts.concat(), signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 2.
    #[test]
    fn a_signature_is_that_of_its_key_and_message() {
        let key = hex::decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c").unwrap();
        let signature = hex::decode(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        let signature = signature.unwrap();
        assert!(is_ed25519(&key, &[&[0x72]], &signature));
        assert!(!is_ed25519(&key, &[&[0x73]], &signature));
        assert!(!is_ed25519(&key[1..], &[&[0x72]], &signature));
        assert!(!is_ed25519(&key, &[&[0x72]], &signature[1..]));
    }
}
