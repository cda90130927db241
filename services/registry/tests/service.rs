//! What callers see of the service, without the network.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::{
    clock,
    db::Location,
    rpc::{Context, status},
};
use signpost_proto::{
    common::v1::{Coding, RecordReference},
    registry::v1::{
        DocumentEntry, GetDocumentRequest, RegisterDocumentRequest, RegisterDocumentsRequest,
        RegisterDocumentsResponse, SearchDocumentsRequest, SearchDocumentsResponse,
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
    let routes = build(config, Deps { clock: clock::system() }).await.unwrap();
    DocumentRegistryServiceClient::new(routes.prepare())
}

/// Returns the context of a member's call, as admission makes it.
fn member(id: &str) -> Context {
    let mut context = Context { inside: false, ..Context::exchange("x") };
    context.caller.member_id = id.to_owned();
    context.caller.exchange = false;
    context
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

    let get = GetDocumentRequest { document_id: document_id.clone() };
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
    let unknown = GetDocumentRequest { document_id: "01900000-0000-7000-8000-000000000000".into() };
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
