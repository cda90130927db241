//! What one member must not learn from, or do to, another; and what stays withheld once it is.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use signpost::config::{Matching, Service};
use signpost_common::rpc::status;
use signpost_proto::{
    audit::v1::{EventKind, EventOutcome, ListFlagsRequest, SearchEventsRequest},
    common::v1::{PurposeOfUse, RecordReference, Role},
    consent::v1::{CreateDirectiveRequest, Directive, Effect, Match},
    mpi::v1::{
        GetPersonRequest, ListPersonRecordsRequest, MatchPatientRequest, get_person_request,
        list_person_records_request,
    },
    registry::v1::{DeprecateDocumentRequest, GetDocumentRequest},
};
use signpost_tests::{
    Cluster, Topology,
    find::{fetch, locate},
    patient, physician,
    scenario::{person, record, two_documents},
    system, user,
};
use tonic::{Code, Status};

async fn direct(
    cluster: &Cluster,
    member: &str,
    by: &signpost_common::rpc::token::User,
    effect: Effect,
    matched: Match,
) -> anyhow::Result<()> {
    let client = cluster.client(member, Service::Consent)?;
    let directive = Directive {
        patient: Some(RecordReference { member_id: member.into(), local_id: "P1".into() }),
        effect: effect.into(),
        r#match: Some(matched),
        ..Directive::default()
    };
    let request = CreateDirectiveRequest { directive: Some(directive), request_id: member.into() };
    client.consent().create_directive(client.request(by, request)?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_cannot_permit_itself_what_the_patient_denied_elsewhere() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Mpi)?;
    west.mpi().register_patient(west.request(&system(), record(1))?).await?;
    direct(&cluster, "north", &patient("P1"), Effect::Deny, Match::default()).await?;
    assert_eq!(locate(&west, &physician(), &person(1)).await?.pointers.len(), 0);
    let clerk = user("clerk", Role::Clerk, PurposeOfUse::Hoperat);
    let narrow =
        Match { requesters: vec!["west".into()], document_ids: documents.clone(), ..Match::default() };
    direct(&cluster, "west", &clerk, Effect::Permit, narrow).await?;
    assert_eq!(locate(&west, &physician(), &person(1)).await?.pointers.len(), 0);
    assert!(fetch(&west, &physician(), &documents[0], "").await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_names_out_is_slowed_down() -> anyhow::Result<()> {
    let matching = Matching { user_per_minute: 1, ..Matching::default() };
    let cluster = Cluster::builder(Topology::InProcess).without_sources().matching(matching).start().await?;
    let (index, locator) = (cluster.client("west", Service::Mpi)?, cluster.client("west", Service::Locator)?);
    let request = |number| MatchPatientRequest { demographics: Some(person(number)) };
    for number in 1..=4 {
        index.mpi().match_patient(index.request(&physician(), request(number))?).await?;
    }
    // A locate asks as well.
    locate(&locator, &physician(), &person(5)).await?;
    let refused = locate(&locator, &physician(), &person(6)).await.err().context("the sixth")?;
    let refused = refused.downcast_ref::<Status>().context("no status")?;
    assert_eq!(
        (refused.code(), status::reason(refused).as_str()),
        (Code::ResourceExhausted, "PROBING_LIMIT")
    );
    let refused = index.mpi().match_patient(index.request(&physician(), request(6))?).await;
    assert_eq!(refused.err().context("the seventh")?.code(), Code::ResourceExhausted);
    let other = user("another", Role::Physician, PurposeOfUse::Treat);
    index.mpi().match_patient(index.request(&other, request(6))?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_members_identifiers_cannot_be_tried_out() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let south = cluster.client("south", Service::Mpi)?;
    // South holds a record of the same person, and still must not learn whether north knows it as P1.
    for local_id in ["P1", "P2"] {
        let foreign = RecordReference { member_id: "north".into(), local_id: local_id.into() };
        let by = Some(get_person_request::By::Record(foreign.clone()));
        let answer =
            south.mpi().get_person(south.request(&physician(), GetPersonRequest { by, as_of: None })?).await;
        let error = answer.map(drop).err().context("it answered")?;
        assert_eq!((error.code(), status::reason(&error).as_str()), (Code::NotFound, "PERSON_UNKNOWN"));
        let by = Some(list_person_records_request::By::Record(foreign));
        let request = ListPersonRecordsRequest { by, ..ListPersonRecordsRequest::default() };
        let answer = south.mpi().list_person_records(south.request(&physician(), request)?).await;
        assert_eq!(answer.map(drop).err().map(|error| error.code()), Some(Code::NotFound));
    }
    let own = RecordReference { member_id: "south".into(), local_id: "P1".into() };
    let by = Some(list_person_records_request::By::Record(own));
    let request = ListPersonRecordsRequest { by, ..ListPersonRecordsRequest::default() };
    let listed = south.mpi().list_person_records(south.request(&physician(), request)?).await?.into_inner();
    let members: Vec<_> = listed.records.into_iter().filter_map(|r| r.record).map(|r| r.member_id).collect();
    assert_eq!(members, ["south"], "only its own cross-references");
    let get = GetDocumentRequest { document_id: documents[0].clone(), as_of: None };
    let request = south.request(&physician(), get)?;
    let answer = south.registry().get_document(request).await;
    assert_eq!(answer.map(drop).err().map(|error| error.code()), Some(Code::NotFound), "north's pointer");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pointer_is_withdrawn_by_its_custodian_alone_and_then_leads_nowhere() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let withdraw =
        |id: &str| DeprecateDocumentRequest { document_id: id.to_owned(), request_id: String::new() };
    let south = cluster.client("south", Service::Registry)?;
    let answer =
        south.registry().deprecate_document(south.request(&system(), withdraw(&documents[0]))?).await;
    assert_eq!(answer.map(drop).err().map(|error| error.code()), Some(Code::NotFound));
    let west = cluster.client("west", Service::Locator)?;
    fetch(&west, &physician(), &documents[0], "").await?;
    let north = cluster.client("north", Service::Registry)?;
    north.registry().deprecate_document(north.request(&system(), withdraw(&documents[0]))?).await?;
    assert_eq!(locate(&west, &physician(), &person(1)).await?.pointers.len(), 1);
    let refused = fetch(&west, &physician(), &documents[0], "").await.map(drop).err().context("released")?;
    assert_eq!(status::reason(&refused.downcast::<Status>()?), "DOCUMENT_UNKNOWN");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_a_member_nothing_of_what_was_withheld_from_it() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let denied = Match { custodians: vec!["north".into()], ..Match::default() };
    direct(&cluster, "north", &patient("P1"), Effect::Deny, denied).await?;
    let west = cluster.client("west", Service::Locator)?;
    assert_eq!(locate(&west, &physician(), &person(1)).await?.pointers.len(), 1);
    // Nothing was raised about them yet that would keep signs quiet.
    let curious = user("dr.curious", Role::Physician, PurposeOfUse::Treat);
    for id in [documents[0].as_str(), "01a2035c-2b37-7179-9aa7-7dd86f89df2f"] {
        assert!(fetch(&west, &curious, id, "").await.is_err());
    }
    // What raises a sign when all before it was watched.
    let last = user("dr.last", Role::Physician, PurposeOfUse::Treat);
    locate(&west, &last, &person(1)).await?;
    let officer = user("officer", Role::PrivacyOfficer, PurposeOfUse::Hoperat);
    let kinds = vec![EventKind::Locate.into(), EventKind::Fetch.into()];
    let request = SearchEventsRequest { kinds, ..SearchEventsRequest::default() };
    let found = west.audit().search_events(west.request(&officer, request)?).await?.into_inner();
    let events: Vec<_> = found.events.into_iter().filter_map(|logged| logged.event).collect();
    let [_, absent, hidden, located] = &events[..] else { anyhow::bail!("{} events", events.len()) };
    for refused in [absent, hidden] {
        assert_eq!(refused.outcome(), EventOutcome::Refused);
        assert_eq!((refused.person_id.as_str(), refused.documents.len()), ("", 0));
        assert_eq!(refused.own_patient, None, "that somebody's document it is");
    }
    assert!(located.documents.iter().all(|document| document.released));
    assert_eq!(located.documents.len(), 1);
    let began = Instant::now();
    let flags = loop {
        let request = west.request(&officer, ListFlagsRequest::default())?;
        let flags = west.audit().list_flags(request).await?.into_inner().flags;
        if flags.iter().any(|flag| flag.user == "dr.last") {
            break flags;
        }
        ensure!(began.elapsed() < Duration::from_secs(10), "the last look raised nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let told: Vec<_> = flags.iter().map(|flag| (&*flag.user, &*flag.reason)).collect();
    assert_eq!(told, [("dr.last", "NO_RELATIONSHIP"), ("dr.lee", "NO_RELATIONSHIP")]);
    Ok(())
}
