//! What callers see of the service, without the network.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::{
    clock,
    db::Location,
    lifecycle::Lifecycle,
    rpc::{Context, status},
};
use signpost_proto::{
    common::v1::{Coding, RecordReference},
    registry::v1::{
        ChangeKind, DeprecateDocumentRequest, DocumentEntry, DocumentRelation, GetDocumentRequest,
        GetScoreboardRequest, ListProbesRequest, RegisterDocumentRequest, RegisterDocumentsRequest,
        RegisterDocumentsResponse, RelationKind, ReplaceDocumentRequest, ReportRetrievalRequest,
        SearchDocumentsRequest, SearchDocumentsResponse, WatchDocumentsRequest, WatchDocumentsResponse,
        document_registry_service_client::DocumentRegistryServiceClient,
        register_documents_response::Result as ItemResult,
    },
};
use signpost_registry::{Config, Deps, build};
use tokio_stream::StreamExt;
use tonic::{Code, IntoStreamingRequest, Request, service::Routes};

type Client = DocumentRegistryServiceClient<Routes>;

async fn client() -> Client {
    let config = Config { database: Location::Memory };
    let routes = build(config, Deps { clock: clock::system(), lifecycle: Lifecycle::new() }).await.unwrap();
    DocumentRegistryServiceClient::new(routes.prepare())
}

/// Returns the context of a member's call, as admission makes it.
fn member(id: &str) -> Context {
    let mut context = Context { inside: false, ..Context::exchange("x") };
    context.caller.member_id = id.to_owned();
    context.caller.exchange = false;
    context
}

/// Returns the context of a call of the operator's staff.
fn operator() -> Context {
    Context { operator: true, ..member("operator") }
}

fn from<T>(context: Context, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(context);
    request
}

fn entry(unique_id: &str) -> DocumentEntry {
    DocumentEntry {
        unique_id: unique_id.to_owned(),
        patient: Some(RecordReference { member_id: String::new(), local_id: "1".into() }),
        type_code: Some(Coding { code: "34133-9".into(), ..Coding::default() }),
        author_institution: "North".into(),
        mime_type: "text/plain".into(),
        size_bytes: 3,
        sha256: vec![1; 32],
        ..DocumentEntry::default()
    }
}

#[tokio::test]
async fn a_stream_answers_every_item_in_order() {
    let mut client = client().await;
    let items = (0..600).map(|item| {
        // Items from 500 on come a second time; the tenth was refused the first time.
        let mut entry = entry(&format!("u-{}", item % 500));
        if item == 10 {
            entry.sha256.clear();
        }
        if item == 599 {
            entry.sha256 = vec![2; 32];
        }
        RegisterDocumentsRequest { item, entry: Some(entry) }
    });
    let mut request = tokio_stream::iter(items.collect::<Vec<_>>()).into_streaming_request();
    request.extensions_mut().insert(member("north"));
    let stream = client.register_documents(request).await.unwrap().into_inner();
    let answers: Vec<RegisterDocumentsResponse> = stream.map(Result::unwrap).collect().await;
    assert_eq!(answers.iter().map(|a| a.item).collect::<Vec<_>>(), (0..600).collect::<Vec<_>>());
    for answer in answers {
        match (answer.item, answer.result.unwrap()) {
            (10, ItemResult::Error(error)) => {
                assert_eq!((error.reason.as_str(), error.field.as_str()), ("INVALID_FIELD", "entry.sha256"));
            }
            (599, ItemResult::Error(error)) => assert_eq!(error.reason, "NON_IDENTICAL_HASH"),
            (item, ItemResult::Registered(done)) => assert_eq!(done.replayed, item >= 500 && item != 510),
            (item, ItemResult::Error(error)) => panic!("{item}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn members_see_their_own_and_the_exchange_sees_all() {
    let mut client = client().await;
    let register = RegisterDocumentRequest { entry: Some(entry("u")), request_id: String::new() };
    let document_id = client.register_document(from(member("north"), register)).await.unwrap();
    let document_id = document_id.into_inner().document_id;

    let get = GetDocumentRequest { document_id: document_id.clone(), as_of: None };
    let seen = client.get_document(from(member("north"), get.clone())).await.unwrap().into_inner();
    let seen = seen.entry.unwrap();
    assert_eq!(seen.document_id, document_id);
    assert_eq!(seen.patient.as_ref().unwrap().member_id, "north");
    let stated = DocumentEntry {
        document_id: String::new(),
        patient: entry("u").patient,
        status: 0,
        registered_at: None,
        ..seen
    };
    assert_eq!(stated, entry("u"), "what was stated comes back");
    let foreign = client.get_document(from(member("south"), get.clone())).await.unwrap_err();
    let unknown =
        GetDocumentRequest { document_id: "01900000-0000-7000-8000-000000000000".into(), as_of: None };
    let unknown = client.get_document(from(member("south"), unknown)).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    assert_eq!(foreign.message(), unknown.message(), "hidden and nonexistent look the same");
    assert_eq!(status::reason(&foreign), status::reason(&unknown));

    let patient = RecordReference { member_id: "north".into(), local_id: "1".into() };
    let search = SearchDocumentsRequest { patients: vec![patient], ..SearchDocumentsRequest::default() };
    let mut found = async |context| {
        let response = client.search_documents(from(context, search.clone())).await.unwrap();
        response.into_inner().entries.len()
    };
    assert_eq!(found(member("north")).await, 1);
    assert_eq!(found(member("south")).await, 0);
    assert_eq!(found(Context { inside: true, ..member("south") }).await, 1, "forwarded by the exchange");
}

#[tokio::test]
async fn a_page_token_belongs_to_its_query() {
    let mut client = client().await;
    for n in 0..5 {
        let register =
            RegisterDocumentRequest { entry: Some(entry(&n.to_string())), request_id: String::new() };
        client.register_document(from(member("north"), register)).await.unwrap();
    }
    let patient = RecordReference { member_id: String::new(), local_id: "1".into() };
    let mut request =
        SearchDocumentsRequest { patients: vec![patient], page_size: 2, ..SearchDocumentsRequest::default() };
    let mut found = vec![];
    loop {
        let response = client.search_documents(from(member("north"), request.clone())).await.unwrap();
        let SearchDocumentsResponse { entries, next_page_token } = response.into_inner();
        found.extend(entries.into_iter().map(|e| e.unique_id));
        if next_page_token.is_empty() {
            break;
        }
        request.page_token = next_page_token;
    }
    found.sort_unstable();
    assert_eq!(found, ["0", "1", "2", "3", "4"]);
    request.filter = Some(Default::default());
    let refused = client.search_documents(from(member("north"), request)).await.unwrap_err();
    assert_eq!(status::field(&refused), "page_token");
}

async fn register(client: &mut Client, by: &str, unique_id: &str) -> String {
    let register = RegisterDocumentRequest { entry: Some(entry(unique_id)), request_id: String::new() };
    client.register_document(from(member(by), register)).await.unwrap().into_inner().document_id
}

async fn next(stream: &mut tonic::Streaming<WatchDocumentsResponse>) -> WatchDocumentsResponse {
    let next = tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await;
    next.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn a_watcher_is_told_of_its_own_changes_as_they_come_and_resumes() {
    let mut client = client().await;
    let first = register(&mut client, "north", "u-1").await;
    let foreign = register(&mut client, "south", "u-1").await;
    let watch = |resume_token: &str| WatchDocumentsRequest { resume_token: resume_token.to_owned() };
    let stream = client.watch_documents(from(member("north"), watch(""))).await.unwrap();
    let mut stream = stream.into_inner();
    let told = next(&mut stream).await;
    assert_eq!((told.entry.unwrap().document_id, told.kind), (first.clone(), ChangeKind::Registered.into()));
    assert!(told.changed_at.is_some());

    let replace = ReplaceDocumentRequest {
        document_id: first.clone(),
        entry: Some(entry("u-2")),
        ..Default::default()
    };
    let newer = client.replace_document(from(member("north"), replace)).await.unwrap().into_inner();
    let superseded = next(&mut stream).await;
    let after = superseded.entry.unwrap();
    assert_eq!((&after.document_id, superseded.kind), (&first, ChangeKind::Superseded.into()));
    assert_eq!(after.replaced_by_document_id, newer.document_id);
    let registered = next(&mut stream).await.entry.unwrap();
    assert_eq!(registered.document_id, newer.document_id);
    assert_eq!(registered.replaced_document_ids, std::slice::from_ref(&first));

    let resumed = client.watch_documents(from(member("north"), watch(&superseded.resume_token))).await;
    let again = next(&mut resumed.unwrap().into_inner()).await;
    assert_eq!(again.entry.unwrap().document_id, newer.document_id, "what was seen does not come again");
    for other in [member("south"), operator()] {
        let refused = client.watch_documents(from(other, watch(&superseded.resume_token))).await;
        assert_eq!(status::field(&refused.unwrap_err()), "resume_token");
    }
    let mut all = client.watch_documents(from(operator(), watch(""))).await.unwrap().into_inner();
    assert_eq!(next(&mut all).await.entry.unwrap().document_id, first);
    assert_eq!(next(&mut all).await.entry.unwrap().document_id, foreign);
}

#[tokio::test]
async fn a_member_watches_so_many_times_and_no_more() {
    let mut client = client().await;
    let mut streams = vec![];
    for _ in 0..8 {
        let watch = from(member("north"), WatchDocumentsRequest::default());
        streams.push(client.watch_documents(watch).await.unwrap());
    }
    let refused = client.watch_documents(from(member("north"), WatchDocumentsRequest::default())).await;
    assert_eq!(status::reason(&refused.unwrap_err()), "TOO_MANY_STREAMS");
    assert!(client.watch_documents(from(member("south"), WatchDocumentsRequest::default())).await.is_ok());
}

#[tokio::test]
async fn relations_come_back_and_a_wrong_one_is_named() {
    let mut client = client().await;
    let target = register(&mut client, "north", "u-1").await;
    let foreign = register(&mut client, "south", "u-1").await;
    let relation = |document_id: &str| DocumentRelation {
        kind: RelationKind::Appends.into(),
        document_id: document_id.to_owned(),
    };
    let addendum = |targets: &[&str]| DocumentEntry {
        relations: targets.iter().map(|target| relation(target)).collect(),
        ..entry("addendum")
    };
    let wrong = RegisterDocumentRequest { entry: Some(addendum(&[&target, &foreign])), ..Default::default() };
    let refused = client.register_document(from(member("north"), wrong.clone())).await.unwrap_err();
    assert_eq!(status::field(&refused), "entry.relations[1].document_id");

    let items = [wrong.entry, Some(addendum(&[&target]))];
    let items = items.into_iter().map(|entry| RegisterDocumentsRequest { item: 1, entry });
    let mut request = tokio_stream::iter(items.collect::<Vec<_>>()).into_streaming_request();
    request.extensions_mut().insert(member("north"));
    let stream = client.register_documents(request).await.unwrap().into_inner();
    let answers: Vec<RegisterDocumentsResponse> = stream.map(Result::unwrap).collect().await;
    let mut results = answers.into_iter().map(|answer| answer.result.unwrap());
    let Some(ItemResult::Error(error)) = results.next() else { panic!("a wrong relation was taken") };
    assert_eq!(error.field, "entry.relations[1].document_id");
    let Some(ItemResult::Registered(done)) = results.next() else { panic!("a good one fell with it") };

    let get = GetDocumentRequest { document_id: done.document_id.clone(), as_of: None };
    let stored = client.get_document(from(member("north"), get.clone())).await.unwrap().into_inner();
    assert_eq!(stored.entry.unwrap().relations, [relation(&target)]);
    let withdraw = DeprecateDocumentRequest { document_id: target, request_id: String::new() };
    client.deprecate_document(from(member("north"), withdraw)).await.unwrap();
    let gone = client.get_document(from(member("north"), get)).await.unwrap().into_inner().entry.unwrap();
    assert_eq!(gone.status, signpost_proto::registry::v1::DocumentStatus::Deprecated as i32);
}

#[tokio::test]
async fn the_registry_is_shown_as_it_stood() {
    let mut client = client().await;
    let id = register(&mut client, "north", "u-1").await;
    let get = |as_of| GetDocumentRequest { document_id: id.clone(), as_of };
    let now = client.get_document(from(member("north"), get(None))).await.unwrap().into_inner().entry;
    let registered_at = now.as_ref().unwrap().registered_at;
    let withdraw = DeprecateDocumentRequest { document_id: id.clone(), request_id: String::new() };
    client.deprecate_document(from(member("north"), withdraw)).await.unwrap();
    let then = client.get_document(from(member("north"), get(registered_at))).await.unwrap().into_inner();
    assert_eq!(then.entry, now);
    let before = registered_at.map(|at| prost_types::Timestamp { seconds: at.seconds - 1, ..at });
    let before = client.get_document(from(member("north"), get(before))).await.unwrap_err();
    assert_eq!(before.code(), Code::NotFound);

    let patient = RecordReference { member_id: "north".into(), local_id: "1".into() };
    let search =
        |as_of| SearchDocumentsRequest { patients: vec![patient.clone()], as_of, ..Default::default() };
    let then = client.search_documents(from(member("north"), search(registered_at))).await.unwrap();
    assert_eq!(then.into_inner().entries, [now.unwrap()]);
    let today = client.search_documents(from(member("north"), search(None))).await.unwrap();
    assert_eq!(today.into_inner().entries, []);
}

#[tokio::test]
async fn reports_show_in_entries_probes_and_the_scoreboard() {
    let mut client = client().await;
    let (one, two) =
        (register(&mut client, "north", "u-1").await, register(&mut client, "south", "u-1").await);
    let report = ReportRetrievalRequest {
        document_id: one.clone(),
        reason: "SOURCE_UNREACHABLE".into(),
        probe: true,
        ..Default::default()
    };
    let inside = || Context::exchange("prober");
    client.report_retrieval(from(inside(), report.clone())).await.unwrap();
    let long = ReportRetrievalRequest { reason: "x".repeat(257), ..report };
    let long = client.report_retrieval(from(inside(), long)).await.unwrap_err();
    assert_eq!(status::field(&long), "reason");

    let probes = client.list_probes(from(inside(), ListProbesRequest { limit: 2 })).await.unwrap();
    let probes = probes.into_inner().entries;
    assert_eq!(probes.iter().map(|e| e.document_id.as_str()).collect::<Vec<_>>(), [two, one]);
    assert!(probes[0].liveness_at.is_none() && probes[1].liveness_at.is_some());
    assert_eq!(probes[1].liveness_reason, "SOURCE_UNREACHABLE");

    let mut scores = async |context, days| {
        let scores = client.get_scoreboard(from(context, GetScoreboardRequest { days })).await;
        scores.map(|scores| scores.into_inner().scores)
    };
    let all = scores(operator(), 0).await.unwrap();
    assert_eq!(all.iter().map(|score| score.member_id.as_str()).collect::<Vec<_>>(), ["north", "south"]);
    let own = scores(member("north"), 90).await.unwrap();
    assert_eq!((own.len(), own[0].suspect, own[0].probes, own[0].failed_probes), (1, 1, 1, 1));
    assert_eq!((own[0].current, own[0].retrievals, own[0].feed_lag_seconds_p50), (1, 0, None));
    assert_eq!(status::field(&scores(operator(), 91).await.unwrap_err()), "days");
}
