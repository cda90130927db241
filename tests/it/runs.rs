//! What became of a locate, and what users saw: told from the log, as the registry stood at that moment.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use signpost::{client::Client, config::Service};
use signpost_common::rpc::{status, token::User};
use signpost_proto::{
    common::v1::{Demographics, HumanName, PurposeOfUse, Role},
    locator::v1::{
        GetLocateRunRequest, GetLocateRunResponse, ListDocumentsRequest, ListLocateRunsRequest,
        ListLocateRunsResponse, LocateRequest, LocateRun, LocateRunState, locate_request::Subject,
    },
    registry::v1::{DeprecateDocumentRequest, DocumentEntry, DocumentStatus, ReplaceDocumentRequest},
};
use signpost_tests::{
    find::{fetch, locate_with, logged, officer},
    operator, physician,
    scenario::{Paper, deny, person, two_documents},
    system, user,
};
use tonic::{Code, Request, Status};

fn by_name(demographics: Demographics, request_id: &str) -> LocateRequest {
    LocateRequest {
        subject: Some(Subject::Demographics(demographics)),
        request_id: request_id.into(),
        ..LocateRequest::default()
    }
}

fn chen() -> User {
    user("dr.chen", Role::Physician, PurposeOfUse::Treat)
}

async fn get(client: &Client, user: &User, request_id: &str) -> Result<GetLocateRunResponse, Status> {
    let request = GetLocateRunRequest { request_id: request_id.into() };
    let request = client.request(user, request).map_err(|error| Status::unknown(error.to_string()))?;
    Ok(client.locator().get_locate_run(request).await?.into_inner())
}

async fn list(
    client: &Client,
    user: &User,
    request: ListLocateRunsRequest,
) -> Result<ListLocateRunsResponse, Status> {
    let request = client.request(user, request).map_err(|error| Status::unknown(error.to_string()))?;
    Ok(client.locator().list_locate_runs(request).await?.into_inner())
}

/// Returns the ids of the documents that a run showed.
fn shown(run: &LocateRun) -> BTreeSet<&str> {
    run.documents.iter().filter_map(|seen| seen.entry.as_ref()).map(|entry| &*entry.document_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_located_is_told_what_became_of_it_and_nobody_else() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let located = locate_with(&west, &physician(), by_name(person(1), "one")).await?;
    let answer = get(&west, &physician(), "one").await?;
    assert_eq!(answer.state(), LocateRunState::Answered);
    let run = answer.run.context("no run")?;
    assert_eq!(shown(&run), documents.iter().map(String::as_str).collect());
    assert_eq!((run.request_id.as_str(), run.reason.as_str()), ("one", ""));
    assert_eq!(run.person_id, located.person.person_id);
    ensure!(run.documents.iter().all(|seen| !seen.rule_ids.is_empty() && !seen.decision_id.is_empty()));
    let caller = run.caller.context("no caller")?;
    assert_eq!((caller.member_id.as_str(), caller.user.as_str()), ("west", "dr.lee"));

    // An id that nobody used, that another user used, and that another member's user of the same name used, look the same.
    let north = cluster.client("north", Service::Locator)?;
    let nothing = GetLocateRunResponse::default();
    assert_eq!(get(&west, &physician(), "two").await?, nothing);
    assert_eq!(get(&west, &chen(), "one").await?, nothing);
    assert_eq!(get(&north, &physician(), "one").await?, nothing);
    let unnamed = get(&west, &physician(), "").await.err().context("it was answered")?;
    assert_eq!((unnamed.code(), status::field(&unnamed).as_str()), (Code::InvalidArgument, "request_id"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locate_that_found_nobody_or_failed_showed_nothing() -> anyhow::Result<()> {
    let (cluster, _) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let name = HumanName { given: vec!["Igor".into()], family: "Quartz".into(), ..HumanName::default() };
    let birth_date = "1951-01-30".into();
    let stranger = Demographics { names: vec![name], birth_date, ..Demographics::default() };
    locate_with(&west, &physician(), by_name(stranger, "stranger")).await?;
    let answer = get(&west, &physician(), "stranger").await?;
    let run = answer.run.clone().context("no run")?;
    assert_eq!((answer.state(), run.documents.len()), (LocateRunState::Answered, 0));
    assert_eq!((run.reason.as_str(), run.person_id.as_str()), ("PERSON_MATCH_NOT_FOUND", ""));
    // An emergency session that there is not.
    let session = "01a2035c-2b37-7179-9aa7-7dd86f89df2f".to_owned();
    let request = LocateRequest { emergency_session_id: session, ..by_name(person(1), "failed") };
    ensure!(locate_with(&west, &physician(), request).await.is_err());
    let answer = get(&west, &physician(), "failed").await?;
    let run = answer.run.clone().context("no run")?;
    assert_eq!((answer.state(), run.documents.len()), (LocateRunState::Failed, 0));
    ensure!(run.reason.contains("EMERGENCY_SESSION_INVALID"), "{}", run.reason);
    // Asked again under the same id, the last attempt counts.
    locate_with(&west, &physician(), by_name(person(1), "failed")).await?;
    assert_eq!(get(&west, &physician(), "failed").await?.state(), LocateRunState::Answered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_stands_as_it_stood_then() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    locate_with(&west, &physician(), by_name(person(1), "before")).await?;
    let north = cluster.client("north", Service::Registry)?;
    let withdraw = DeprecateDocumentRequest { document_id: documents[0].clone(), request_id: String::new() };
    north.registry().deprecate_document(north.request(&system(), withdraw)?).await?;
    let south = cluster.client("south", Service::Registry)?;
    let entry = Some(Paper::new("newer.txt", 0).entry("south"));
    let replace =
        ReplaceDocumentRequest { document_id: documents[1].clone(), entry, request_id: "replace".into() };
    let replaced = south.registry().replace_document(south.request(&system(), replace)?).await?;
    let newer = replaced.into_inner().document_id;

    locate_with(&west, &physician(), by_name(person(1), "after")).await?;
    let before = get(&west, &physician(), "before").await?.run.context("no run")?;
    assert_eq!(shown(&before), documents.iter().map(String::as_str).collect());
    for seen in &before.documents {
        let entry = seen.entry.as_ref().context("no entry")?;
        assert_eq!((entry.status(), entry.replaced_by_document_id.as_str()), (DocumentStatus::Current, ""));
    }
    let after = get(&west, &physician(), "after").await?.run.context("no run")?;
    assert_eq!(shown(&after), [newer.as_str()].into());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_may_no_longer_be_seen_the_id_alone_is_told() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    locate_with(&west, &physician(), by_name(person(1), "one")).await?;
    deny(&cluster, "north", &[&documents[0]]).await?;
    let run = get(&west, &physician(), "one").await?.run.context("no run")?;
    assert_eq!(shown(&run), documents.iter().map(String::as_str).collect());
    for seen in run.documents {
        let entry = seen.entry.context("no entry")?;
        let bare = DocumentEntry { document_id: entry.document_id.clone(), ..DocumentEntry::default() };
        assert_eq!(entry == bare, entry.document_id == documents[0], "{}", entry.document_id);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn privacy_officers_see_what_their_users_saw() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let (west, north) =
        (cluster.client("west", Service::Locator)?, cluster.client("north", Service::Locator)?);
    let located = locate_with(&west, &physician(), by_name(person(1), "one")).await?;
    let person_id = located.person.person_id;
    fetch(&west, &chen(), &documents[0], "").await?;
    let request = ListDocumentsRequest { person_id, page_size: 1, ..ListDocumentsRequest::default() };
    west.locator().list_documents(west.request(&physician(), request)?).await?;
    locate_with(&north, &physician(), by_name(person(1), "north's")).await?;

    let all = ListLocateRunsRequest::default;
    let runs = list(&west, &officer(), all()).await?.runs;
    let method = |run: &LocateRun| run.action.rsplit('/').next().unwrap_or_default().to_owned();
    let methods: Vec<_> = runs.iter().map(method).collect();
    assert_eq!(methods, ["ListDocuments", "FetchDocument", "Locate"], "newest first, and none of north's");
    let counts: Vec<_> = runs.iter().map(|run| run.documents.len()).collect();
    assert_eq!(counts, [1, 1, 2]);
    assert_eq!(shown(&runs[1]), [documents[0].as_str()].into());
    let of_chen = ListLocateRunsRequest { user: "dr.chen".into(), ..all() };
    let of_chen = list(&west, &officer(), of_chen).await?.runs;
    assert_eq!(of_chen.iter().map(method).collect::<Vec<_>>(), ["FetchDocument"]);
    let since = ListLocateRunsRequest { from: runs[1].occurred_at, to: runs[0].occurred_at, ..all() };
    assert_eq!(list(&west, &officer(), since).await?.runs, runs[1..2]);

    // Other members are not their matter; the operator's privacy officers look at any.
    let of_north = || ListLocateRunsRequest { member_id: "north".into(), ..all() };
    let refused = list(&west, &officer(), of_north()).await.err().context("it was told")?;
    assert_eq!((refused.code(), status::reason(&refused).as_str()), (Code::PermissionDenied, "NOT_YOUR_OWN"));
    let refused = list(&west, &physician(), all()).await.err().context("it was told")?;
    assert_eq!(
        (refused.code(), status::reason(&refused).as_str()),
        (Code::PermissionDenied, "ROLE_NOT_PERMITTED")
    );
    let admin = cluster.client("operator", Service::Locator)?;
    let told = list(&admin, &operator(Role::PrivacyOfficer), of_north()).await?.runs;
    assert_eq!(told.iter().map(|run| &*run.request_id).collect::<Vec<_>>(), ["north's"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_come_in_pages() -> anyhow::Result<()> {
    let (cluster, _) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    for (number, user) in [physician(), chen(), physician(), chen(), physician()].iter().enumerate() {
        locate_with(&west, user, by_name(person(1), &number.to_string())).await?;
    }
    for (user, expected) in [("", vec!["4", "3", "2", "1", "0"]), ("dr.chen", vec!["3", "1"])] {
        let mut request =
            ListLocateRunsRequest { page_size: 2, user: user.into(), ..ListLocateRunsRequest::default() };
        let mut seen = vec![];
        for pages in 0.. {
            ensure!(pages < 10, "the pages do not end");
            let page = list(&west, &officer(), request.clone()).await?;
            ensure!(page.runs.len() <= 2);
            seen.extend(page.runs.into_iter().map(|run| run.request_id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected, "of {user:?}");
    }
    let request = ListLocateRunsRequest { page_size: -1, ..ListLocateRunsRequest::default() };
    let refused = list(&west, &officer(), request).await.err().context("it was told")?;
    assert_eq!((refused.code(), status::field(&refused).as_str()), (Code::InvalidArgument, "page_size"));
    let request = ListLocateRunsRequest { page_token: "rubbish".into(), ..ListLocateRunsRequest::default() };
    let refused = list(&west, &officer(), request).await.err().context("it was told")?;
    assert_eq!((refused.code(), status::field(&refused).as_str()), (Code::InvalidArgument, "page_token"));
    Ok(())
}

/// One call of many that carry the same token counts, and the others never were.
#[tokio::test(flavor = "multi_thread")]
async fn a_locate_whose_token_was_used_leaves_nothing_in_the_log() -> anyhow::Result<()> {
    let (cluster, _) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let signed = west.request(&physician(), ())?;
    let names: Vec<_> = (0..24).map(|number| format!("replay {number}")).collect();
    let calls = names.iter().map(|name| {
        let mut request = Request::new(by_name(person(1), name));
        *request.metadata_mut() = signed.metadata().clone();
        let mut locator = west.locator();
        async move { locator.locate(request).await.map(drop) }
    });
    let answers = futures_util::future::join_all(calls).await;
    let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
    ensure!(refused.clone().all(|error| status::reason(error) == "TOKEN_REPLAYED"), "{answers:?}");
    assert_eq!(refused.count(), names.len() - 1);
    for (name, answer) in names.iter().zip(&answers) {
        let events = logged(&cluster, "west", name).await?;
        assert_eq!(events.len(), usize::from(answer.is_ok()), "{name} is in the log");
    }
    Ok(())
}
