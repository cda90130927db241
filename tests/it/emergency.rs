//! Emergency access: past what may be overridden, by who opened it, for whom it was opened, and reviewed.

use anyhow::Context;
use signpost::config::{NetworkDefault, Service};
use signpost_common::{hash::sha256, rpc::status};
use signpost_proto::{
    common::v1::{Coding, Demographics, HumanName, PurposeOfUse, RecordReference, Role},
    consent::v1::{
        CloseEmergencyAccessRequest, CompleteEmergencyReviewRequest, EmergencyReason,
        ListEmergencyReviewsRequest, OpenEmergencyAccessRequest, ReviewOutcome,
    },
    locator::v1::{LocateRequest, locate_request::Subject},
    mpi::v1::RegisterPatientRequest,
    registry::v1::{DocumentEntry, RegisterDocumentRequest},
};
use signpost_tests::{
    Cluster, DocumentFile, Topology,
    find::{fetch, locate_with},
    system, user, write_index,
};
use tonic::{Code, Status};

fn john() -> Demographics {
    Demographics {
        names: vec![HumanName { given: vec!["John".into()], family: "Roe".into(), ..HumanName::default() }],
        birth_date: "1961-02-11".into(),
        ..Demographics::default()
    }
}

async fn with_a_document() -> anyhow::Result<(Cluster, String)> {
    let builder = Cluster::builder(Topology::InProcess).network_default(NetworkDefault::OptIn);
    let mut cluster = builder.start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let record = RegisterPatientRequest {
        local_id: "N1".into(),
        demographics: Some(john()),
        request_id: String::new(),
    };
    client.mpi().register_patient(client.request(&system(), record)?).await?;
    let folder = cluster.documents("north");
    std::fs::write(folder.join("a.txt"), "insulin")?;
    write_index(
        &folder,
        &[DocumentFile {
            local_id: "N1".into(),
            file: "a.txt".into(),
            mime_type: "text/plain".into(),
            type_code: "10160-0".into(),
            labels: "N".into(),
        }],
    )?;
    cluster.serve_documents("north").await?;
    let entry = DocumentEntry {
        unique_id: "a.txt".into(),
        patient: Some(RecordReference { member_id: "north".into(), local_id: "N1".into() }),
        type_code: Some(Coding { code: "10160-0".into(), ..Coding::default() }),
        mime_type: "text/plain".into(),
        size_bytes: 7,
        sha256: sha256(b"insulin").to_vec(),
        ..DocumentEntry::default()
    };
    let request = RegisterDocumentRequest { entry: Some(entry), request_id: String::new() };
    let registered = client.registry().register_document(client.request(&system(), request)?).await?;
    Ok((cluster, registered.into_inner().document_id))
}

fn etreat(name: &str) -> signpost_common::rpc::token::User {
    user(name, Role::Physician, PurposeOfUse::Etreat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_opens_what_was_withheld_to_its_owner_alone() -> anyhow::Result<()> {
    let (cluster, document_id) = with_a_document().await?;
    let client = cluster.client("west", Service::Locator)?;
    let find = async |name: &str, session: &str| {
        let request = LocateRequest {
            subject: Some(Subject::Demographics(john())),
            emergency_session_id: session.into(),
            ..LocateRequest::default()
        };
        locate_with(&client, &etreat(name), request).await
    };
    let before = find("dr.lee", "").await?;
    assert_eq!((before.pointers.len(), before.completion.emergency_could_show_more), (0, true));
    assert!(before.sources.is_empty(), "a member whose documents are withheld is not named");

    let open = |reason: EmergencyReason, text: &str| OpenEmergencyAccessRequest {
        person_id: before.person.person_id.clone(),
        reason: reason.into(),
        reason_text: text.into(),
        ttl_seconds: 0,
        request_id: "open".into(),
        scope: None,
    };
    let request =
        client.request(&etreat("dr.lee"), open(EmergencyReason::Unspecified, "found unconscious"))?;
    let refusal =
        client.emergency().open_emergency_access(request).await.map(drop).err().context("accepted")?;
    assert_eq!(status::field(&refusal), "reason");
    let request = client.request(&etreat("dr.lee"), open(EmergencyReason::Unconscious, "why not"))?;
    let refusal =
        client.emergency().open_emergency_access(request).await.map(drop).err().context("accepted")?;
    assert_eq!(status::field(&refusal), "reason_text");
    let nurse = user("nurse.kim", Role::Nurse, PurposeOfUse::Etreat);
    let request = client.request(&nurse, open(EmergencyReason::Unconscious, "found unconscious"))?;
    let refusal =
        client.emergency().open_emergency_access(request).await.map(drop).err().context("accepted")?;
    assert_eq!(status::reason(&refusal), "ROLE_NOT_PERMITTED");

    let request =
        client.request(&etreat("dr.lee"), open(EmergencyReason::Unconscious, "found unconscious"))?;
    let opened = client.emergency().open_emergency_access(request).await?.into_inner();
    let session = opened.session.context("no session")?.session_id;
    assert_eq!(find("dr.lee", &session).await?.pointers.len(), 1);
    assert_eq!(fetch(&client, &etreat("dr.lee"), &document_id, &session).await?.bytes, b"insulin");

    let foreign = find("dr.chen", &session).await.map(drop).err().context("someone else used it")?;
    let foreign = foreign.downcast::<Status>()?;
    assert_eq!(
        (foreign.code(), status::reason(&foreign).as_str()),
        (Code::FailedPrecondition, "EMERGENCY_SESSION_INVALID")
    );

    let request = CloseEmergencyAccessRequest { session_id: session.clone(), request_id: "close".into() };
    client.emergency().close_emergency_access(client.request(&etreat("dr.lee"), request)?).await?;
    assert!(fetch(&client, &etreat("dr.lee"), &document_id, &session).await.is_err(), "it is closed");

    let officer = user("officer", Role::PrivacyOfficer, PurposeOfUse::Hoperat);
    let list = |include_completed| ListEmergencyReviewsRequest {
        include_completed,
        ..ListEmergencyReviewsRequest::default()
    };
    let waiting = client.emergency().list_emergency_reviews(client.request(&officer, list(false))?).await?;
    assert_eq!(waiting.into_inner().sessions.len(), 1);
    let request = CompleteEmergencyReviewRequest {
        session_id: session,
        outcome: ReviewOutcome::Justified.into(),
        note: "seen".into(),
        follow_up: String::new(),
        request_id: "review".into(),
    };
    client.emergency().complete_emergency_review(client.request(&officer, request)?).await?;
    let waiting = client.emergency().list_emergency_reviews(client.request(&officer, list(false))?).await?;
    assert_eq!(waiting.into_inner().sessions.len(), 0);
    // Another member's privacy officer sees none of it.
    let south = cluster.client("south", Service::Consent)?;
    let others = south.emergency().list_emergency_reviews(south.request(&officer, list(true))?).await?;
    assert_eq!(others.into_inner().sessions.len(), 0);
    Ok(())
}
