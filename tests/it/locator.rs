//! What a caller can ask of the locator beyond one locate and one fetch: parts of documents, lists, whole histories.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, bail, ensure};
use signpost::{client::Client, config::Service};
use signpost_common::{hash::sha256, id::DocumentId, rpc::status};
use signpost_proto::{
    audit::v1::EventOutcome,
    locator::v1::{
        DocumentFailure, FetchDocumentRequest, FetchHistoryRequest, HistoryCompletion, HistoryProgress,
        ListDocumentsRequest, ListDocumentsResponse, fetch_history_response::Message,
    },
    registry::v1::{DocumentEntry, DocumentFilter, Stability},
    source::v1::RetrieveHeader,
};
use signpost_tests::{
    Cluster,
    fake_source::{FakeSource, Step},
    find::{Attempt, attempt, failed, fetch, locate, logged},
    physician,
    scenario::{Paper, deny, fill, person, publish, register, two_documents},
    user,
};
use tonic::Code;

const DEADLINE: Duration = Duration::from_secs(10);

/// Fetches a part of a document.
async fn fetch_from(client: &Client, document_id: &str, offset_bytes: u64) -> anyhow::Result<Attempt> {
    let document_id = document_id.to_owned();
    let request = FetchDocumentRequest { document_id, offset_bytes, ..FetchDocumentRequest::default() };
    attempt(client, &physician(), request, DEADLINE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_goes_on_from_an_offset() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let all = fetch(&west, &physician(), &documents[0], "").await?.bytes;
    for offset in [0, 1, 65_536, 200_001, all.len() - 1, all.len()] {
        let rest = fetch_from(&west, &documents[0], offset as u64).await?;
        let trailer = rest.ended?;
        ensure!(rest.bytes == all[offset..], "{} bytes from {offset} on", rest.bytes.len());
        assert_eq!(rest.header.context("no header")?.offset_bytes, offset as u64);
        assert_eq!((trailer.sha256, trailer.size_bytes), (sha256(&all).to_vec().into(), all.len() as u64));
    }
    for offset in [all.len() as u64 + 1, u64::MAX] {
        let beyond = fetch_from(&west, &documents[0], offset).await?;
        ensure!(beyond.shows_nothing());
        let refusal = beyond.ended.err().context("it came")?;
        assert_eq!(
            (refusal.code(), status::field(&refusal).as_str()),
            (Code::InvalidArgument, "offset_bytes")
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_offset_leaves_out_is_verified_all_the_same() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let file = cluster.documents("north").join("north.txt");
    let mut bytes = std::fs::read(&file)?;
    bytes[10] ^= 1;
    std::fs::write(&file, &bytes)?;
    for offset in [200_000, bytes.len() as u64] {
        let rest = fetch_from(&west, &documents[0], offset).await?;
        assert_eq!(rest.failure(), Some((Code::DataLoss, "WRONG_HASH".to_owned())), "from {offset} on");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_larger_than_the_caller_takes_is_not_released() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let limited = |size_limit_bytes| FetchDocumentRequest {
        document_id: documents[0].clone(),
        size_limit_bytes,
        request_id: format!("limit {size_limit_bytes}"),
        ..FetchDocumentRequest::default()
    };
    let whole = attempt(&west, &physician(), limited(360_000), DEADLINE).await?;
    ensure!(whole.ended.is_ok() && whole.bytes.len() == 360_000);
    for limit in [359_999, 1] {
        let refused = attempt(&west, &physician(), limited(limit), DEADLINE).await?;
        let too_large = (Code::FailedPrecondition, "DOCUMENT_TOO_LARGE".to_owned());
        assert_eq!(refused.failure(), Some(too_large));
        ensure!(refused.shows_nothing());
        let events = logged(&cluster, "west", &format!("limit {limit}")).await?;
        ensure!(events.iter().all(|event| event.outcome() != EventOutcome::Success), "{events:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bound_tells_a_hidden_document_from_one_that_is_not_there() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    deny(&cluster, "north", &[&documents[0]]).await?;
    let west = cluster.client("west", Service::Locator)?;
    let absent = DocumentId::generate().to_string();
    for (offset_bytes, size_limit_bytes) in [(0, 0), (5, 0), (u64::MAX, 0), (0, 1), (7, 3)] {
        let mut answers = vec![];
        for document_id in [&documents[0], &absent] {
            let document_id = document_id.clone();
            let request = FetchDocumentRequest {
                document_id,
                offset_bytes,
                size_limit_bytes,
                ..FetchDocumentRequest::default()
            };
            let refused = attempt(&west, &physician(), request, DEADLINE).await?;
            ensure!(refused.shows_nothing());
            let refusal = refused.ended.err().context("it came")?;
            answers.push((refusal.code(), refusal.message().to_owned(), refusal.details().to_vec()));
        }
        assert_eq!(answers[0], answers[1], "{offset_bytes} {size_limit_bytes}");
        assert_eq!(answers[0].0, Code::NotFound);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_made_when_asked_for_has_no_offset() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    publish(&mut cluster, "north", &[]).await?;
    let paper = Paper::new("made.txt", 0);
    fill(&cluster, "north", std::slice::from_ref(&paper))?;
    let stability = Stability::Dynamic.into();
    let entry = DocumentEntry { stability, size_bytes: 0, sha256: vec![], ..paper.entry("north") };
    let document = register(&cluster, "north", entry).await?;
    let west = cluster.client("west", Service::Locator)?;
    assert_eq!(fetch_from(&west, &document, 0).await?.bytes, b"made.txt");
    let refused = fetch_from(&west, &document, 1).await?;
    assert_eq!(refused.failure(), Some((Code::FailedPrecondition, "OFFSET_UNSUPPORTED".to_owned())));
    ensure!(refused.shows_nothing());
    Ok(())
}

/// Five documents of two members, the newest of which its patient hides; the names of the others, newest first.
struct Shelf {
    cluster: Cluster,
    west: Client,
    person_id: String,
    /// Ids by name.
    ids: BTreeMap<String, String>,
}

const VISIBLE: [&str; 4] = ["south-4", "north-3", "south-2", "north-1"];

impl Shelf {
    async fn fill() -> anyhow::Result<Self> {
        let mut cluster = Cluster::start().await?;
        let mut ids = BTreeMap::new();
        for (member, numbers) in [("north", vec![1, 3, 5]), ("south", vec![2, 4])] {
            let paper = |number: &i64| {
                let mut paper = Paper::new(&format!("{member}-{number}"), 1_700_000_000 + number * 86_400);
                if *number == 3 {
                    (paper.type_code, paper.labels) = ("18842-5".into(), "R|PSY".into());
                }
                paper
            };
            let papers: Vec<_> = numbers.iter().map(paper).collect();
            let published = publish(&mut cluster, member, &papers).await?;
            ids.extend(papers.into_iter().map(|paper| paper.file).zip(published));
        }
        deny(&cluster, "north", &[&ids["north-5"]]).await?;
        let west = cluster.client("west", Service::Locator)?;
        let person_id = locate(&west, &physician(), &person(1)).await?.person.person_id;
        Ok(Self { cluster, west, person_id, ids })
    }

    fn request(&self) -> ListDocumentsRequest {
        ListDocumentsRequest { person_id: self.person_id.clone(), ..ListDocumentsRequest::default() }
    }

    async fn list(&self, request: ListDocumentsRequest) -> anyhow::Result<ListDocumentsResponse> {
        let request = self.west.request(&physician(), request)?;
        Ok(self.west.locator().list_documents(request).await?.into_inner())
    }

    /// Returns the names of what is on a page.
    fn names(&self, page: &ListDocumentsResponse) -> Vec<&str> {
        let name = |id: &String| self.ids.iter().find(|(_, known)| *known == id).map(|(name, _)| &**name);
        page.pointers.iter().filter_map(|pointer| name(&pointer.document_id)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_everything_once_and_nothing_that_is_hidden() -> anyhow::Result<()> {
    let shelf = Shelf::fill().await?;
    let whole = shelf.list(shelf.request()).await?;
    assert_eq!(shelf.names(&whole), VISIBLE);
    assert_eq!((whole.count, whole.truncated, whole.next_page_token.as_str()), (4, false, ""));
    for size in 1..=4 {
        let mut request = ListDocumentsRequest { page_size: size, ..shelf.request() };
        let (mut seen, mut pages) = (vec![], 0);
        loop {
            request.request_id = format!("page {size} {pages}");
            let page = shelf.list(request.clone()).await?;
            let names = shelf.names(&page).into_iter().map(str::to_owned);
            seen.extend(names);
            pages += 1;
            // A hidden document makes no page shorter, and no page more.
            assert_eq!((page.count, page.truncated), (4, false));
            assert!(page.pointers.len() == size as usize || page.next_page_token.is_empty());
            // What is on the page is in the log as released, and nothing else.
            let event =
                logged(&shelf.cluster, "west", &request.request_id).await?.pop().context("no event")?;
            let mut released: Vec<_> =
                event.documents.into_iter().filter(|d| d.released).map(|d| d.document_id).collect();
            let mut shown: Vec<_> = page.pointers.into_iter().map(|pointer| pointer.document_id).collect();
            released.sort();
            shown.sort();
            assert_eq!(released, shown);
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        assert_eq!(
            (seen.iter().map(|name| &**name).collect(), pages),
            (VISIBLE.to_vec(), (4 + size - 1) / size)
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_bounded_by_kind_label_and_member() -> anyhow::Result<()> {
    let shelf = Shelf::fill().await?;
    let filter = DocumentFilter::default;
    for (filter, expected) in [
        (DocumentFilter { type_codes: vec!["18842-5".into()], ..filter() }, vec!["north-3"]),
        (DocumentFilter { labels: vec!["PSY".into()], ..filter() }, vec!["north-3"]),
        (DocumentFilter { member_ids: vec!["south".into()], ..filter() }, vec!["south-4", "south-2"]),
        (DocumentFilter { member_ids: vec!["north".into()], ..filter() }, vec!["north-3", "north-1"]),
        (DocumentFilter { member_ids: vec!["west".into()], ..filter() }, vec![]),
    ] {
        let page = shelf.list(ListDocumentsRequest { filter: Some(filter), ..shelf.request() }).await?;
        assert_eq!(shelf.names(&page), expected);
        assert_eq!(page.count as usize, expected.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_is_of_no_use_to_another_query_or_caller() -> anyhow::Result<()> {
    use signpost_proto::common::v1::{PurposeOfUse, Role};
    let shelf = Shelf::fill().await?;
    let first = ListDocumentsRequest { page_size: 1, ..shelf.request() };
    let page_token = shelf.list(first.clone()).await?.next_page_token;
    let next = ListDocumentsRequest { page_token: page_token.clone(), ..first };
    let filter = Some(DocumentFilter { labels: vec!["PSY".into()], ..DocumentFilter::default() });
    let narrower = ListDocumentsRequest { filter, ..next.clone() };
    let (lee, chen) = (physician(), user("dr.chen", Role::Physician, PurposeOfUse::Treat));
    let north = shelf.cluster.client("north", Service::Locator)?;
    let garbled = ListDocumentsRequest { page_token: "rubbish".into(), ..next.clone() };
    for (case, client, user, request) in [
        ("query", &shelf.west, &lee, &narrower),
        ("user", &shelf.west, &chen, &next),
        ("member", &north, &lee, &next),
        ("nobody's", &shelf.west, &lee, &garbled),
    ] {
        let answer = client.locator().list_documents(client.request(user, request.clone())?).await;
        let refusal = answer.map(drop).err().context(case)?;
        let field = status::field(&refusal);
        assert_eq!((refusal.code(), field.as_str()), (Code::InvalidArgument, "page_token"), "{case}");
    }
    // It is good for who got it, and what identifies the attempt does not matter.
    shelf.list(ListDocumentsRequest { request_id: "again".into(), ..next }).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_that_is_not_there_looks_the_same_in_a_list_and_a_history() -> anyhow::Result<()> {
    let (cluster, _) = two_documents().await?;
    let west = cluster.client("west", Service::Locator)?;
    let person_id = "01a2035c-2b37-7179-9aa7-7dd86f89df2f";
    let request = ListDocumentsRequest { person_id: person_id.into(), ..ListDocumentsRequest::default() };
    let listed = west.locator().list_documents(west.request(&physician(), request)?).await;
    let listed = listed.map(drop).err().context("it was listed")?;
    let fetched = failed(history(&west, person_id).await)?;
    assert_eq!(
        (listed.code(), listed.message(), listed.details()),
        (fetched.code(), fetched.message(), fetched.details())
    );
    assert_eq!((listed.code(), status::reason(&listed).as_str()), (Code::NotFound, "PERSON_UNKNOWN"));
    Ok(())
}

/// A whole history.
#[derive(Debug, Default)]
struct History {
    /// Document ids in the order in which they came or failed.
    order: Vec<String>,
    documents: BTreeMap<String, Vec<u8>>,
    failures: Vec<DocumentFailure>,
    progress: Vec<HistoryProgress>,
    completion: HistoryCompletion,
}

/// Fetches a history and checks the order of its messages.
async fn history(client: &Client, person_id: &str) -> anyhow::Result<History> {
    let request = FetchHistoryRequest { person_id: person_id.into(), ..FetchHistoryRequest::default() };
    let mut messages =
        client.locator().fetch_history(client.request(&physician(), request)?).await?.into_inner();
    let (mut history, mut open) = (History::default(), None);
    while let Some(message) = messages.message().await? {
        match message.message.context("an empty message")? {
            Message::Header(header) => {
                ensure!(open.is_none(), "a document begins in another");
                open = Some((header.document_id, vec![]));
            }
            Message::Chunk(chunk) => open.as_mut().context("a stray chunk")?.1.extend_from_slice(&chunk),
            Message::Trailer(trailer) => {
                let (id, bytes) = open.take().context("a stray trailer")?;
                ensure!(trailer.sha256 == sha256(&bytes).as_slice());
                history.order.push(id.clone());
                ensure!(history.documents.insert(id, bytes).is_none(), "a document comes twice");
            }
            Message::Failure(failure) => {
                open = None;
                history.order.push(failure.document_id.clone());
                history.failures.push(failure);
            }
            Message::Progress(progress) => history.progress.push(progress),
            Message::Completion(completion) => {
                ensure!(messages.message().await?.is_none(), "something follows the completion");
                return Ok(History { completion, ..history });
            }
        }
    }
    bail!("there is no completion")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_history_adds_up() -> anyhow::Result<()> {
    let shelf = Shelf::fill().await?;
    std::fs::remove_file(shelf.cluster.documents("south").join("south-2"))?;
    let history = history(&shelf.west, &shelf.person_id).await?;
    let HistoryCompletion { fetched, failed, truncated } = history.completion;
    assert_eq!((fetched, failed, truncated), (3, 1, false));
    assert_eq!(history.failures.len(), 1);
    let failure = &history.failures[0];
    assert_eq!((failure.custodian.as_str(), failure.reason.as_str()), ("south", "SOURCE_HAS_NOT"));
    assert_eq!(failure.document_id, shelf.ids["south-2"]);
    let (mut done, mut bytes) = (0, 0);
    assert_eq!(history.progress.first(), Some(&HistoryProgress { done, total: 4, bytes }));
    for (id, progress) in history.order.iter().zip(&history.progress[1..]) {
        done += 1;
        bytes += history.documents.get(id).map_or(0, |bytes| bytes.len() as u64);
        assert_eq!(progress, &HistoryProgress { done, total: 4, bytes });
    }
    assert_eq!(history.progress.len(), 5);
    ensure!(!history.order.contains(&shelf.ids["north-5"]), "what is hidden came");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_lets_the_others_pass() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    // The newest are the hung member's: more than are asked for at once.
    let paper = |name: String, days: i64| Paper::new(&name, 1_700_000_000 + days * 86_400);
    let hung: Vec<_> = (10..16).map(|number| paper(format!("north-{number}"), number)).collect();
    let good: Vec<_> = (1..3).map(|number| paper(format!("south-{number}"), number)).collect();
    let hung = publish(&mut cluster, "north", &hung).await?;
    let good = publish(&mut cluster, "south", &good).await?;
    let source = FakeSource::start(&cluster, "north").await?;
    source.holds(&[]);
    let west = cluster.client("west", Service::Locator)?;
    let person_id = locate(&west, &physician(), &person(1)).await?.person.person_id;
    let history = tokio::time::timeout(Duration::from_secs(15), history(&west, &person_id)).await;
    let history = history.context("the hung member holds the history up")??;
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    let (first, last) = history.order.split_at(2);
    assert_eq!(sorted(first), sorted(&good), "the others come before the hung member is given up on");
    assert_eq!(sorted(last), sorted(&hung), "each failure is named once");
    assert_eq!((history.completion.fetched, history.completion.failed), (2, 6));
    ensure!(history.failures.iter().all(|failure| failure.custodian == "north"));
    Ok(())
}

/// Waits until a source sends no document any more.
async fn idle(source: &FakeSource) -> anyhow::Result<()> {
    let idle = async {
        while source.open() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), idle).await.context("the source is still sending")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_nothing_behind() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    publish(&mut cluster, "north", &[]).await?;
    let entry = DocumentEntry { size_bytes: 1 << 30, ..Paper::new("large", 0).entry("north") };
    register(&cluster, "north", entry).await?;
    let source = FakeSource::start(&cluster, "north").await?;
    let header = RetrieveHeader {
        unique_id: "large".into(),
        mime_type: "text/plain".into(),
        size_bytes: 1 << 30,
        ..RetrieveHeader::default()
    };
    let begin = [Step::Header(header), Step::Chunk(vec![7; 60_000])];
    let west = cluster.client("west", Service::Locator)?;
    source.holds(&["large"]);
    let located = locate(&west, &physician(), &person(1)).await?;
    let (person_id, document_id) = (located.person.person_id, located.pointers[0].document_id.clone());
    // One goes on sending, the other hangs: neither may outlive its caller.
    for then in [Step::Again, Step::Hang] {
        source.plays([&begin[..], std::slice::from_ref(&then)].concat());
        let request = FetchHistoryRequest { person_id: person_id.clone(), ..FetchHistoryRequest::default() };
        let request = west.request(&physician(), request)?;
        let mut messages = west.locator().fetch_history(request).await?.into_inner();
        for _ in 0..3 {
            messages.message().await?.context("it ended")?;
        }
        assert_eq!(source.open(), 1);
        drop(messages);
        idle(&source).await.with_context(|| format!("a history, {then:?}"))?;
        let document_id = document_id.clone();
        let request = FetchDocumentRequest { document_id, ..FetchDocumentRequest::default() };
        let request = west.request(&physician(), request)?;
        let mut messages = west.locator().fetch_document(request).await?.into_inner();
        for _ in 0..2 {
            messages.message().await?.context("it ended")?;
        }
        assert_eq!(source.open(), 1);
        drop(messages);
        idle(&source).await.with_context(|| format!("a document, {then:?}"))?;
    }
    Ok(())
}
