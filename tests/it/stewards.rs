//! Stewards correct the index, what they decide stays, and who was told something wrong can be told.

use anyhow::Context;
use signpost::{client::Client, config::Service};
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::{Demographics, HumanName, Role},
    mpi::v1::{
        LinkEventKind, LinkOutcome, ListReviewTasksRequest, MatchOutcome, MatchPatientRequest, MergeRequest,
        RegisterPatientRequest, RegisterPatientResponse, ResolveReviewTaskRequest, ReviewState, SplitRequest,
        UndoRequest, UnlinkRequest,
    },
};
use signpost_tests::{Cluster, Topology, find::locate, operator, physician, system};
use tonic::Code;

fn person(given: &str, phone: &str) -> Demographics {
    let name = HumanName { given: vec![given.into()], family: "Holdsworth".into(), ..HumanName::default() };
    Demographics {
        names: vec![name],
        birth_date: "2015-03-04".into(),
        phones: vec![phone.into()],
        ..Demographics::default()
    }
}

fn stranger() -> Demographics {
    let name = HumanName { given: vec!["Rosa".into()], family: "Delgado".into(), ..HumanName::default() };
    Demographics { names: vec![name], birth_date: "1990-09-09".into(), ..person("Rosa", "212-555-0187") }
}

async fn register(
    cluster: &Cluster,
    member: &str,
    local_id: &str,
    demographics: Demographics,
) -> anyhow::Result<RegisterPatientResponse> {
    let client = cluster.client(member, Service::Mpi)?;
    let request = RegisterPatientRequest {
        local_id: local_id.into(),
        demographics: Some(demographics),
        request_id: String::new(),
    };
    Ok(client.mpi().register_patient(client.request(&system(), request)?).await?.into_inner())
}

async fn cluster() -> anyhow::Result<(Cluster, Client)> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let stewards = cluster.client("operator", Service::Mpi)?;
    Ok((cluster, stewards))
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_that_a_steward_keeps_apart_stay_apart() -> anyhow::Result<()> {
    let (cluster, stewards) = cluster().await?;
    let steward = operator(Role::Steward);
    let first = register(&cluster, "north", "1", person("Emma", "617-555-0101")).await?;
    let twin = register(&cluster, "south", "1", person("Ella", "617-555-0101")).await?;
    assert_ne!(first.person_id, twin.person_id);
    assert_eq!(twin.outcome(), LinkOutcome::Review);
    let list = ListReviewTasksRequest { member_id: "south".into(), ..ListReviewTasksRequest::default() };
    let listed =
        stewards.mpi().list_review_tasks(stewards.request(&steward, list.clone())?).await?.into_inner();
    let task = listed.tasks.first().context("no task was opened")?;
    assert_eq!((task.reason.as_str(), &task.candidate_person_id), ("TWIN_PATTERN", &first.person_id));
    assert_eq!(listed.counts.iter().map(|count| count.tasks).sum::<i64>(), 1);
    let request = ResolveReviewTaskRequest {
        task_id: task.task_id.clone(),
        resolution: ReviewState::KeptApart.into(),
        request_id: String::new(),
        reason: String::new(),
    };
    stewards.mpi().resolve_review_task(stewards.request(&steward, request)?).await?;
    // However alike they become, and however often they come.
    for given in ["Ella", "Emma"] {
        let again = register(&cluster, "south", "1", person(given, "617-555-0101")).await?;
        assert_eq!(again.person_id, twin.person_id, "{given}");
    }
    let listed = stewards.mpi().list_review_tasks(stewards.request(&steward, list)?).await?.into_inner();
    let asked_again = listed.tasks.iter().any(|task| task.candidate_person_id == first.person_id);
    assert!(!asked_again, "a steward's word is asked once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_link_is_undone_and_who_was_told_is_listed() -> anyhow::Result<()> {
    let (cluster, stewards) = cluster().await?;
    let steward = operator(Role::Steward);
    let one = register(&cluster, "north", "1", person("Emma", "617-555-0101")).await?;
    let other = register(&cluster, "south", "1", stranger()).await?;
    let request = MergeRequest {
        person_id: other.person_id.clone(),
        into_person_id: one.person_id.clone(),
        reason: "they look alike".into(),
        request_id: "m".into(),
    };
    let merged = stewards.mpi().merge(stewards.request(&steward, request.clone())?).await?.into_inner();
    let replayed = stewards.mpi().merge(stewards.request(&steward, request)?).await?.into_inner();
    assert_eq!(merged, replayed, "the same request id replays");
    let event = merged.events.first().context("no event")?;
    assert_eq!((event.kind(), event.record_id.as_str()), (LinkEventKind::Merge, other.record_id.as_str()));
    // An emergency department asks for Emma and is told of Rosa's record, too.
    let west = cluster.client("west", Service::Locator)?;
    let located = locate(&west, &physician(), &person("Emma", "617-555-0101")).await?;
    assert_eq!(located.person.person_id, one.person_id);

    let request =
        UndoRequest { sequence: event.sequence, reason: "two people".into(), request_id: "u".into() };
    let undone = stewards.mpi().undo(stewards.request(&steward, request)?).await?.into_inner();
    let event = undone.event.context("no event")?;
    assert_eq!((event.kind(), &event.to_person_id), (LinkEventKind::Undo, &other.person_id));
    let told: Vec<_> = undone.disclosures.iter().map(|told| told.sentence.as_str()).collect();
    assert!(told.iter().any(|sentence| sentence.contains("west")), "{told:?}");
    let located = locate(&west, &physician(), &stranger()).await?;
    assert_eq!(located.person.person_id, other.person_id, "both can be found again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn stewards_see_who_may_fit_and_nobody_else_does() -> anyhow::Result<()> {
    let (cluster, stewards) = cluster().await?;
    let known = register(&cluster, "north", "1", person("Emma", "617-555-0101")).await?;
    let request = MatchPatientRequest { demographics: Some(person("Emily", "617-555-0101")) };
    let request = stewards.request(&operator(Role::Steward), request)?;
    let matched = stewards.mpi().match_patient(request).await?.into_inner();
    assert_ne!(matched.outcome(), MatchOutcome::Certain);
    assert_eq!((matched.person_id.as_str(), matched.probability), ("", 0.0));
    let persons: Vec<_> = matched.candidates.iter().map(|candidate| &candidate.person_id).collect();
    assert_eq!(persons, [&known.person_id]);
    let member = cluster.client("south", Service::Mpi)?;
    let request = MatchPatientRequest { demographics: Some(person("Emma", "617-555-0101")) };
    let matched = member.mpi().match_patient(member.request(&physician(), request)?).await?.into_inner();
    assert_eq!((matched.outcome(), matched.candidates.len()), (MatchOutcome::Certain, 0));
    assert_eq!(matched.patient_records, [], "who has records of a person is for the locator to say");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_shown_has_nobody_to_tell() -> anyhow::Result<()> {
    let (cluster, stewards) = cluster().await?;
    let steward = operator(Role::Steward);
    let one = register(&cluster, "north", "1", person("Emma", "617-555-0101")).await?;
    let same = register(&cluster, "south", "1", person("Emma", "617-555-0101")).await?;
    assert_eq!(same.person_id, one.person_id);
    let request = UnlinkRequest { record_id: same.record_id, reason: "no".into(), request_id: String::new() };
    let unlinked = stewards.mpi().unlink(stewards.request(&steward, request)?).await?.into_inner();
    assert_eq!(unlinked.disclosures, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_with_a_reason() -> anyhow::Result<()> {
    let (cluster, stewards) = cluster().await?;
    let steward = operator(Role::Steward);
    let one = register(&cluster, "north", "1", person("Emma", "617-555-0101")).await?;
    let split = |person_id: &str, record_ids: &[&str]| SplitRequest {
        person_id: person_id.into(),
        record_ids: record_ids.iter().map(|id| (*id).to_owned()).collect(),
        reason: "why".into(),
        request_id: String::new(),
    };
    for (request, field) in [
        (split("nobody", &[&one.record_id]), "person_id"),
        (split(&one.person_id, &[]), "record_ids"),
        (split(&one.person_id, &["x"]), "record_ids[0]"),
        (split(&one.person_id, &[&one.record_id, &one.record_id]), "record_ids[1]"),
    ] {
        let error = stewards.mpi().split(stewards.request(&steward, request)?).await.err().context(field)?;
        assert_eq!((error.code(), status::field(&error).as_str()), (Code::InvalidArgument, field));
    }
    let whole =
        stewards.mpi().split(stewards.request(&steward, split(&one.person_id, &[&one.record_id]))?).await;
    assert_eq!(status::reason(&whole.err().context("a whole person")?), "ALREADY_ALONE");
    let undo = |sequence| UndoRequest { sequence, reason: "why".into(), request_id: String::new() };
    for (sequence, reason) in [(1, "NOTHING_BEFORE"), (4711, "EVENT_UNKNOWN")] {
        let error = stewards.mpi().undo(stewards.request(&steward, undo(sequence))?).await;
        assert_eq!(status::reason(&error.err().context(reason)?), reason);
    }
    let client = cluster.client("north", Service::Mpi)?;
    let refused = client.mpi().undo(client.request(&system(), undo(1))?).await.err().context("a member")?;
    assert_eq!(refused.code(), Code::PermissionDenied);
    Ok(())
}
