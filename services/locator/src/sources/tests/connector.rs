//! The connector for FHIR and MHD, against a server that does right and one that does wrong.

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    server::{Answer, Authority, Server},
    *,
};

const TEXT: &str = "text/plain";
const FHIR_JSON: &str = "application/fhir+json";
const SEARCH: &str = "/fhir/DocumentReference";
const BOTH: [&str; 2] = ["h2", "http/1.1"];

fn wanted() -> RetrieveDocumentRequest {
    RetrieveDocumentRequest {
        unique_id: "urn:oid:1.2.3".into(),
        patient: Some(RecordReference { member_id: "north".into(), local_id: "MRN|1".into() }),
        mask_labels: vec![],
    }
}

/// A bundle with the document that is wanted.
fn bundle(attachment: Value) -> String {
    let document = json!({
        "resourceType": "DocumentReference",
        "status": "current",
        "masterIdentifier": {"value": "urn:oid:1.2.3"},
        "subject": {"reference": "Patient/p1"},
        "content": [{"attachment": attachment}],
    });
    let patient = json!({"resourceType": "Patient", "id": "p1", "identifier": [{"value": "MRN|1"}]});
    let entry = json!([{"resource": document}, {"resource": patient}]);
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entry}).to_string()
}

fn found(url: &str) -> (&'static str, Answer) {
    (SEARCH, Answer::new(FHIR_JSON, bundle(json!({"contentType": TEXT, "url": url}))))
}

/// A server of north's, and the connector to it.
struct Place {
    server: Server,
    connector: Box<dyn Connector>,
}

fn endpoint(port: u16) -> Endpoint {
    Endpoint {
        uri: format!("https://127.0.0.1:{port}/fhir"),
        tls_server_name: "north".into(),
        protocol: EndpointProtocol::Fhir.into(),
    }
}

impl Place {
    async fn with(protocols: &[&str], answers: Vec<(&str, Answer)>) -> Self {
        let authority = Authority::new();
        let server = Server::start(authority.server("north", protocols, true), answers).await;
        let connector = connect(&endpoint(server.port), authority.client(&authority)).unwrap();
        Self { server, connector }
    }

    async fn new(answers: Vec<(&str, Answer)>) -> Self {
        Self::with(&BOTH, answers).await
    }

    /// Fetches the document that is wanted, whole.
    async fn fetch(&self) -> Result<(Announced, Vec<u8>), Failure> {
        let (announced, mut chunks) = self.connector.retrieve(&within(LONG), &wanted()).await?;
        let mut bytes = vec![];
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok((announced, bytes))
    }

    async fn failure(&self) -> Failure {
        self.fetch().await.map(drop).unwrap_err()
    }

    async fn check(&self) -> Result<Vec<String>, Failure> {
        let patients = ["MRN|1", "a,b"]
            .map(|local_id| RecordReference { member_id: "north".into(), local_id: local_id.into() });
        self.connector.check(&within(LONG), &patients).await
    }
}

#[tokio::test]
async fn a_document_comes_raw_over_either_protocol() {
    for protocols in [["h2"], ["http/1.1"]] {
        let document = Answer::new("Text/Plain; charset=utf-8", "hello ".repeat(50_000));
        let place = Place::with(&protocols, vec![found("Binary/b1"), ("/fhir/Binary/b1", document)]).await;
        let (announced, bytes) = place.fetch().await.unwrap();
        let Announced { unique_id, mime_type, size_bytes, masked_labels } = announced;
        assert_eq!((unique_id.as_str(), mime_type.as_str()), ("urn:oid:1.2.3", TEXT));
        assert_eq!((size_bytes, bytes.len()), (Some(300_000), 300_000));
        assert!(masked_labels.is_empty());
        place.fetch().await.unwrap();
        assert_eq!(place.server.connected(), 1, "the connection is kept: {protocols:?}");
        let asked = place.server.asked.lock().unwrap();
        assert!(asked.iter().all(|asked| asked.certified));
        assert_eq!(
            asked[0].path_and_query,
            "/fhir/DocumentReference?identifier=urn%3Aoid%3A1.2.3&patient.identifier=MRN%5C%7C1\
             &status=current&_include=DocumentReference%3Apatient"
        );
        assert_eq!(asked[0].headers["accept"], FHIR_JSON);
        assert_eq!(asked[1].headers["accept"], "text/plain, application/fhir+json;q=0.5");
    }
}

#[tokio::test]
async fn a_document_comes_in_a_binary_or_in_line_or_is_json_itself() {
    let inside = |mime_type: &str| {
        json!({"resourceType": "Binary", "contentType": mime_type, "data": "aGVsbG8="}).to_string()
    };
    for sent in [FHIR_JSON, "application/fhir+json; charset=UTF-8", "application/json"] {
        let binary = Answer::new(sent, inside("text/plain; charset=utf-8"));
        let place = Place::new(vec![found("/fhir/Binary/b1"), ("/fhir/Binary/b1", binary)]).await;
        let (announced, bytes) = place.fetch().await.unwrap();
        assert_eq!((announced.size_bytes, bytes.as_slice()), (Some(5), &b"hello"[..]));
    }
    let binary = Answer::new(FHIR_JSON, inside("text/html"));
    let place = Place::new(vec![found("Binary/b1"), ("/fhir/Binary/b1", binary)]).await;
    assert_eq!(place.failure().await, Failure::WrongForm, "another type is inside");

    let inline = json!({"contentType": TEXT, "data": "aGVsbG8=", "url": "https://evil/x"});
    let place = Place::new(vec![(SEARCH, Answer::new(FHIR_JSON, bundle(inline)))]).await;
    assert_eq!(place.fetch().await.unwrap().1, b"hello");
    assert_eq!(place.server.paths().len(), 1);

    let summary = json!({"resourceType": "Bundle", "type": "document"}).to_string();
    let attachment = json!({"contentType": FHIR_JSON, "url": "Bundle/1"});
    for (sent, bytes) in
        [(summary.clone(), summary), (inside(FHIR_JSON), "hello".into()), ("{}".into(), String::new())]
    {
        let answers = vec![
            (SEARCH, Answer::new(FHIR_JSON, bundle(attachment.clone()))),
            ("/fhir/Bundle/1", Answer::new(FHIR_JSON, sent)),
        ];
        match Place::new(answers).await.fetch().await {
            Ok((_, came)) => assert_eq!(came, bytes.as_bytes()),
            Err(failure) => assert_eq!((failure, bytes.as_str()), (Failure::WrongForm, "")),
        }
    }
}

#[tokio::test]
async fn a_document_of_somebody_else_and_none_are_the_same() {
    let url = json!({"contentType": TEXT, "url": "Binary/b1"});
    let somebody = bundle(url.clone()).replace("\"MRN|1\"", "\"MRN|2\"");
    let nobody = bundle(url).replace("\"Patient\"", "\"Person\"");
    let none = json!({"resourceType": "Bundle", "type": "searchset"}).to_string();
    for said in [somebody, nobody, none] {
        let document = ("/fhir/Binary/b1", Answer::new(TEXT, "hello"));
        let place = Place::new(vec![(SEARCH, Answer::new(FHIR_JSON, said)), document]).await;
        assert_eq!(place.failure().await, Failure::HasNot);
        assert_eq!(place.server.paths().len(), 1, "it is not asked for");
    }
}

#[tokio::test]
async fn nothing_is_followed_to_another_place() {
    let authority = Authority::new();
    let tls = authority.server("north", &BOTH, true);
    let stolen = || Answer::new(TEXT, "stolen");
    let other = Server::start(tls, vec![("/fhir/Binary/b1", stolen()), ("/x", stolen())]).await;
    let there = format!("https://127.0.0.1:{}/fhir/Binary/b1", other.port);
    for url in [there.as_str(), &there.replace("127.0.0.1", "localhost"), "../x", "/x", "//127.0.0.1/x"] {
        let place = Place::new(vec![found(url), ("/x", stolen())]).await;
        assert_eq!(place.failure().await, Failure::WrongForm, "{url}");
        assert_eq!(place.server.paths().len(), 1, "{url}");
    }
    for status in [301, 302, 303, 307, 308] {
        let redirect = Answer { headers: vec![("location", there.clone())], ..Answer::status(status) };
        let place = Place::new(vec![found("Binary/b1"), ("/fhir/Binary/b1", redirect.clone())]).await;
        assert_eq!(place.failure().await, Failure::WrongForm);
        let place = Place::new(vec![(SEARCH, redirect)]).await;
        assert_eq!(place.failure().await, Failure::WrongForm);
        assert_eq!(place.check().await, Err(Failure::WrongForm));
    }
    let link = json!([{"relation": "next", "url": there}]);
    let page = json!({"resourceType": "Bundle", "type": "searchset", "link": link}).to_string();
    let place = Place::new(vec![(SEARCH, Answer::new(FHIR_JSON, page))]).await;
    assert_eq!(place.check().await, Err(Failure::WrongForm));
    assert_eq!(other.connected(), 0);
}

#[tokio::test]
async fn a_status_says_what_went_wrong() {
    let expected = [
        (204, Failure::WrongForm),
        (206, Failure::WrongForm),
        (304, Failure::WrongForm),
        (400, Failure::Failed),
        (401, Failure::Refused),
        (403, Failure::Refused),
        (404, Failure::HasNot),
        (408, Failure::TimedOut),
        (410, Failure::HasNot),
        (429, Failure::Failed),
        (500, Failure::Failed),
        (503, Failure::Failed),
        (504, Failure::TimedOut),
    ];
    for (status, failure) in expected {
        let place = Place::new(vec![(SEARCH, Answer::status(status))]).await;
        assert_eq!((place.failure().await, place.check().await), (failure, Err(failure)), "{status}");
        let answers = vec![found("Binary/b1"), ("/fhir/Binary/b1", Answer::status(status))];
        assert_eq!(Place::new(answers).await.failure().await, failure, "{status}");
    }
}

#[tokio::test]
async fn what_is_not_of_the_form_is_not_taken() {
    let good = bundle(json!({"contentType": TEXT, "url": "Binary/b1"}));
    let with = |name, value: &str| {
        let mut answer = Answer::new(FHIR_JSON, good.clone());
        answer.headers.push((name, value.to_owned()));
        answer
    };
    let untyped = Answer { pieces: Answer::new("", good.clone()).pieces, ..Answer::status(200) };
    let mut oversize = Answer::new(FHIR_JSON, " ".repeat(5 << 20) + &good);
    let stated = oversize.clone();
    oversize.headers.truncate(1);
    let wrong = [
        Answer::new(FHIR_JSON, good[1..].to_owned()),
        Answer::new(FHIR_JSON, "<html>hello</html>"),
        Answer::new(FHIR_JSON, ""),
        Answer::new("text/html", good.clone()),
        Answer::new("application/fhir+xml", good.clone()),
        untyped,
        oversize,
        stated,
        with("content-encoding", "gzip"),
    ];
    for answer in wrong {
        let document = ("/fhir/Binary/b1", Answer::new(TEXT, "hello"));
        let place = Place::new(vec![(SEARCH, answer), document]).await;
        assert_eq!(place.failure().await, Failure::WrongForm);
        assert_eq!(place.check().await, Err(Failure::WrongForm));
    }
    for answer in [
        Answer::new("text/html", "hello"),
        Answer::new("", "hello"),
        Answer::new(FHIR_JSON, "hello"),
        Answer::new(FHIR_JSON, " ".repeat(17 << 20)),
    ] {
        let place = Place::new(vec![found("Binary/b1"), ("/fhir/Binary/b1", answer)]).await;
        assert_eq!(place.failure().await, Failure::WrongForm);
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_not_read() {
    let mut answer = Answer::new(FHIR_JSON, "{}");
    answer.headers.extend((0..30).map(|_| ("x-long", "x".repeat(8 << 10))));
    for (protocols, failure) in [(["http/1.1"], Failure::WrongForm), (["h2"], Failure::Unreachable)] {
        let place = Place::with(&protocols, vec![(SEARCH, answer.clone())]).await;
        assert_eq!(place.failure().await, failure);
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_left_at_the_deadline() {
    let search = Place::new(vec![(SEARCH, Answer::default())]).await;
    let document = Place::new(vec![found("Binary/b1"), ("/fhir/Binary/b1", Answer::default())]).await;
    let mut stuck = Answer::new(FHIR_JSON, "{");
    stuck.headers.truncate(1);
    stuck.pieces.push((LONG, None));
    let bundle = Place::new(vec![(SEARCH, stuck)]).await;
    let began = Instant::now();
    for place in [&search, &document, &bundle] {
        let retrieved = place.connector.retrieve(&within(300 * MS), &wanted()).await;
        assert_eq!(retrieved.map(drop).unwrap_err(), Failure::TimedOut);
    }
    assert_eq!(search.connector.check(&within(300 * MS), &patient(1)).await, Err(Failure::TimedOut));
    // It accepts connections and says nothing.
    let authority = Authority::new();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to_mute =
        connect(&endpoint(mute.local_addr().unwrap().port()), authority.client(&authority)).unwrap();
    let retrieved = to_mute.retrieve(&within(300 * MS), &wanted()).await;
    assert_eq!(retrieved.map(drop).unwrap_err(), Failure::TimedOut);
    assert!(began.elapsed() < 10 * FAIR_TIME);
}

#[tokio::test]
async fn a_document_flows_as_it_comes() {
    for protocols in [["h2"], ["http/1.1"]] {
        let mut slow = Answer::new(TEXT, "first");
        slow.headers.truncate(1);
        slow.pieces.push((500 * MS, Some("second".into())));
        let place = Place::with(&protocols, vec![found("Binary/b1"), ("/fhir/Binary/b1", slow)]).await;
        let began = Instant::now();
        let (announced, mut chunks) = place.connector.retrieve(&within(LONG), &wanted()).await.unwrap();
        assert_eq!(announced.size_bytes, None);
        assert_eq!(chunks.next().await.unwrap().unwrap(), "first");
        assert!(began.elapsed() < 450 * MS, "what is to come is not waited for");
        assert_eq!(chunks.next().await.unwrap().unwrap(), "second");
        // HTTP/2 ends with an empty one.
        let rest: Vec<_> = chunks.map(Result::unwrap).collect().await;
        assert_eq!(rest.concat(), b"");
    }
}

#[tokio::test]
async fn what_is_cut_off_has_no_end() {
    for protocols in [["h2"], ["http/1.1"]] {
        for stated in [true, false] {
            let cut = |content_type| {
                let mut answer = Answer::new(content_type, "0123456789");
                answer.pieces = vec![(Duration::ZERO, Some("0123".into())), (100 * MS, None)];
                answer.headers.truncate(1 + usize::from(stated));
                answer
            };
            let place =
                Place::with(&protocols, vec![found("Binary/b1"), ("/fhir/Binary/b1", cut(TEXT))]).await;
            let (_, mut chunks) = place.connector.retrieve(&within(LONG), &wanted()).await.unwrap();
            assert_eq!(chunks.next().await.unwrap().unwrap(), "0123");
            assert_eq!(chunks.next().await.unwrap(), Err(Failure::BrokeOff));
            let place = Place::with(&protocols, vec![(SEARCH, cut(FHIR_JSON))]).await;
            assert_eq!(place.failure().await, Failure::BrokeOff);
            assert_eq!(place.check().await, Err(Failure::BrokeOff));
        }
    }
}

#[tokio::test]
async fn all_pages_of_a_check_are_read_and_not_more() {
    let page = |id: &str, next: Option<&str>| {
        let document = json!({"resourceType": "DocumentReference", "status": "current",
            "masterIdentifier": {"value": id}});
        let link: Vec<_> = next.iter().map(|url| json!({"relation": "next", "url": url})).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "searchset", "link": link,
            "entry": [{"resource": document}]});
        Answer::new(FHIR_JSON, bundle.to_string())
    };
    let pages = vec![(SEARCH, page("one", Some("/fhir?page=2"))), ("/fhir", page("two", None))];
    let place = Place::new(pages).await;
    assert_eq!(place.check().await.unwrap(), ["one", "two"]);
    assert_eq!(
        place.server.paths(),
        [
            "/fhir/DocumentReference?patient.identifier=MRN%5C%7C1%2Ca%5C%2Cb&status=current\
             &_elements=masterIdentifier%2Cidentifier%2Cstatus&_count=200",
            "/fhir?page=2"
        ]
    );
    let round = Place::new(vec![(SEARCH, page("one", Some("DocumentReference?again")))]).await;
    assert_eq!(round.check().await, Err(Failure::WrongForm), "a page without an end");
    assert_eq!(round.server.paths().len(), 10);
}

#[tokio::test]
async fn a_document_that_must_be_masked_is_not_asked_for() {
    let place = Place::new(vec![found("Binary/b1")]).await;
    let masked = RetrieveDocumentRequest { mask_labels: vec!["R".into()], ..wanted() };
    let retrieved = place.connector.retrieve(&within(LONG), &masked).await;
    assert_eq!(retrieved.map(drop).unwrap_err(), Failure::CannotMask);
    assert_eq!(place.server.connected(), 0);
}

#[tokio::test]
async fn both_sides_are_who_they_say() {
    let (authority, another) = (Authority::new(), Authority::new());
    let answers = || vec![found("Binary/b1"), ("/fhir/Binary/b1", Answer::new(TEXT, "hello"))];
    let ours = authority.client(&authority);
    let cases = [
        ("both", authority.server("north", &BOTH, true), ours.clone(), true),
        ("a server that does not ask", authority.server("north", &BOTH, false), ours.clone(), true),
        ("another name", authority.server("south", &BOTH, true), ours.clone(), false),
        ("another authority", another.server("north", &BOTH, true), ours.clone(), false),
        ("another client", authority.server("north", &BOTH, true), authority.client(&another), false),
    ];
    for (what, server, client, good) in cases {
        let server = Server::start(server, answers()).await;
        let connector = connect(&endpoint(server.port), client).unwrap();
        let retrieved = connector.retrieve(&within(LONG), &wanted()).await.map(drop);
        assert_eq!(retrieved, if good { Ok(()) } else { Err(Failure::Unreachable) }, "{what}");
        assert_eq!(server.paths().is_empty(), !good, "{what}");
    }
    // Nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let connector = connect(&endpoint(free), ours).unwrap();
    assert_eq!(connector.check(&within(LONG), &patient(1)).await, Err(Failure::Unreachable));
}

#[tokio::test]
async fn an_endpoint_of_no_use_is_not_asked() {
    let authority = Authority::new();
    let tls = authority.client(&authority);
    let invalid = |endpoint: Endpoint| connect(&endpoint, tls.clone()).map(drop);
    let protocols = [EndpointProtocol::Unspecified, EndpointProtocol::Grpc].map(Into::into);
    for protocol in protocols {
        let uri = "https://north:1".into();
        assert_eq!(invalid(Endpoint { uri, protocol, ..endpoint(1) }), Ok(()));
        assert_eq!(invalid(Endpoint { protocol, ..endpoint(1) }), Err(Failure::EndpointInvalid));
    }
    assert_eq!(invalid(Endpoint { protocol: EndpointProtocol::Mhd.into(), ..endpoint(1) }), Ok(()));
    assert_eq!(invalid(Endpoint { protocol: 9, ..endpoint(1) }), Err(Failure::EndpointInvalid));
    for uri in ["http://north:1/fhir", "https://north/fhir", "https://north:1/fhir?a=b", "https://a@north:1/"]
    {
        let endpoint = Endpoint { uri: uri.into(), ..endpoint(1) };
        assert_eq!(invalid(endpoint), Err(Failure::EndpointInvalid), "{uri}");
    }
    let nameless = Endpoint { tls_server_name: "no name".into(), ..endpoint(1) };
    assert_eq!(invalid(nameless), Err(Failure::EndpointInvalid));
}
