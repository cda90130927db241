//! Directives with their grantor's own signature, and as FHIR Consent.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use prost::Message;
use signpost_proto::{
    common::v1::Role,
    consent::v1::{self as proto, Directive, Relationship},
};

use super::support::{Consent, denial, patient, wrong};

fn sign(statement: &Directive, key: &Ed25519KeyPair) -> proto::DirectiveSignature {
    let statement = statement.encode_to_vec();
    let message = [b"signpost.consent.v1.Directive\0".as_slice(), &statement].concat();
    let (public_key, signature) = (key.public_key().as_ref().to_vec(), key.sign(&message).as_ref().to_vec());
    proto::DirectiveSignature { statement, public_key, signature }
}

/// What a patient signs: all that matters of the directive, as the answer will show it.
fn stated() -> Directive {
    Directive {
        patient: Some(patient("north", "p1")),
        r#match: Some(proto::Match::default()),
        grantor: Relationship::Self_.into(),
        ..denial()
    }
}

#[tokio::test]
async fn a_signature_is_kept_and_shown_as_evidence() {
    let service = Consent::start().await;
    let mut caller = service.caller("north", "p1", Role::Patient);
    let key = Ed25519KeyPair::generate().unwrap();
    let signature = Some(sign(&stated(), &key));
    let made = caller.create(Directive { signature: signature.clone(), ..denial() }, "1").await.unwrap();
    assert_eq!(made.signature, signature);
    let request = proto::GetDirectiveRequest { directive_id: made.directive_id.clone() };
    let kept = caller.consent.get_directive(request).await.unwrap().into_inner().directive.unwrap();
    assert_eq!(kept, made);
}

#[tokio::test]
async fn a_signature_over_something_else_is_refused() {
    let service = Consent::start().await;
    let mut caller = service.caller("north", "p1", Role::Patient);
    let key = Ed25519KeyPair::generate().unwrap();
    let signed = |signature| Directive { signature: Some(signature), ..denial() };

    let other = Directive { overridable: false, ..stated() };
    wrong(caller.create(signed(sign(&other, &key)), "1").await, "directive.signature.statement");
    let good = sign(&stated(), &key);
    let broken = proto::DirectiveSignature { statement: other.encode_to_vec(), ..good.clone() };
    wrong(caller.create(signed(broken), "2").await, "directive.signature.signature");
    let stranger = Ed25519KeyPair::generate().unwrap().public_key().as_ref().to_vec();
    let strange = proto::DirectiveSignature { public_key: stranger, ..good.clone() };
    wrong(caller.create(signed(strange), "3").await, "directive.signature.signature");
    let bare = proto::DirectiveSignature { statement: vec![], public_key: vec![], signature: vec![] };
    wrong(caller.create(signed(bare), "4").await, "directive.signature.signature");
}

#[tokio::test]
async fn who_grants_is_who_they_are() {
    let service = Consent::start().await;
    let directive = |grantor: Relationship| Directive { grantor: grantor.into(), ..denial() };
    let mut caller = service.caller("north", "p1", Role::Patient);
    wrong(caller.create(directive(Relationship::Representative), "1").await, "directive.grantor");
    let mut guardian = service.caller("north", "p1", Role::Representative);
    wrong(guardian.create(directive(Relationship::Self_), "2").await, "directive.grantor");
    let made = guardian.create(directive(Relationship::Unspecified), "3").await.unwrap();
    assert_eq!(made.grantor(), Relationship::Representative);
    let mut clerk = service.caller("north", "kim", Role::Clerk);
    let made = clerk.create(directive(Relationship::Representative), "4").await.unwrap();
    assert_eq!(made.grantor(), Relationship::Representative);
    wrong(clerk.create(directive(Relationship::Treating), "5").await, "directive.grantor");
}

#[tokio::test]
async fn a_label_that_nobody_knows_protects_nothing() {
    let service = Consent::start().await;
    let mut caller = service.caller("north", "p1", Role::Patient);
    let of = |label: &str| proto::Match { labels: vec![label.into()], ..proto::Match::default() };
    let misspelt = Directive { r#match: Some(of("PSI")), ..denial() };
    wrong(caller.create(misspelt, "1").await, "directive.match.labels");
    let misspelt = Directive { exceptions: vec![of("PSY"), of("XYZ")], ..denial() };
    wrong(caller.create(misspelt, "2").await, "directive.exceptions[1].labels");
    caller.create(Directive { r#match: Some(of("psy")), ..denial() }, "3").await.unwrap();
}

#[tokio::test]
async fn a_directive_goes_out_as_fhir_consent_and_comes_back() {
    use proto::FhirVersion::{R4, R5};
    let service = Consent::start().await;
    let mut clerk = service.caller("north", "kim", Role::Clerk);
    let made = clerk.create(denial(), "1").await.unwrap();
    for (version, attempt) in [(R4, "2"), (R5, "3")] {
        let export =
            proto::ExportConsentRequest { directive_id: made.directive_id.clone(), version: version.into() };
        let resource = clerk.consent.export_consent(export).await.unwrap().into_inner().resource;
        let import = |patient| proto::ImportConsentRequest {
            patient: Some(patient),
            version: version.into(),
            resource: resource.clone(),
            request_id: attempt.into(),
        };
        wrong(clerk.consent.import_consent(import(patient("", "p2"))).await, "resource");
        let back = clerk.consent.import_consent(import(patient("", "p1"))).await.unwrap().into_inner();
        let back = back.directive.unwrap();
        assert_eq!((back.effect, &back.patient), (made.effect, &made.patient));
        assert_eq!((&back.r#match, back.overridable), (&made.r#match, made.overridable));
    }
    let bad = proto::ImportConsentRequest {
        patient: Some(patient("", "p1")),
        version: R4.into(),
        resource: "{\"resourceType\": \"Consent\"}".into(),
        request_id: "4".into(),
    };
    let refusal = clerk.consent.import_consent(bad).await.err().unwrap();
    assert!(refusal.message().contains("Consent.provision"), "{}", refusal.message());
}
