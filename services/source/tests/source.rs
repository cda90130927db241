//! A folder of documents, read and served.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use signpost_common::{
    hash::sha256,
    rpc::{Context, Transport, client, status},
};
use signpost_proto::{
    common::v1::RecordReference,
    source::v1::{
        CheckDocumentsRequest, RetrieveDocumentRequest, RetrieveHeader,
        document_source_service_client::DocumentSourceServiceClient, retrieve_document_response::Message,
    },
};
use signpost_source::{
    Config, Error,
    index::{self, COLUMNS, Index, hash_file},
};
use tempfile::TempDir;
use tonic::{Code, Status};

/// Writes an index of these rows.
fn write_index(folder: &Path, rows: &[&str]) {
    let text = format!("{}\n{}\n", COLUMNS.join(","), rows.join("\n"));
    fs::write(folder.join(index::FILE), text).unwrap();
}

fn row(local_id: &str, unique_id: &str, path: &str) -> String {
    format!(
        "{local_id},{unique_id},{path},text/plain,34133-9,Summary,11503-0,2024-05-01T10:00:00Z,,N|PSY,North"
    )
}

fn folder(rows: &[String]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_index(folder.path(), &rows.iter().map(String::as_str).collect::<Vec<_>>());
    folder
}

type Client = DocumentSourceServiceClient<Transport>;

fn serve(folder: &Path) -> Client {
    let config = Config { folder: folder.to_owned(), member_id: "north".parse().unwrap() };
    DocumentSourceServiceClient::new(client::in_process(signpost_source::build(config, None).unwrap()))
}

fn patient(member_id: &str, local_id: &str) -> RecordReference {
    RecordReference { member_id: member_id.into(), local_id: local_id.into() }
}

/// Retrieves a document: its header and its chunks.
async fn retrieve(
    client: &mut Client,
    of: RecordReference,
    unique_id: &str,
) -> Result<(RetrieveHeader, Vec<Vec<u8>>), Status> {
    let request = RetrieveDocumentRequest {
        unique_id: unique_id.into(),
        patient: Some(of),
        ..RetrieveDocumentRequest::default()
    };
    let request = Context::exchange("locator").request(request);
    let mut stream = client.retrieve_document(request).await?.into_inner();
    let first = stream.message().await?.and_then(|m| m.message);
    let Some(Message::Header(header)) = first else { panic!("the header comes first") };
    let mut chunks = vec![];
    while let Some(next) = stream.message().await? {
        let Some(Message::Chunk(chunk)) = next.message else { panic!("chunks follow") };
        chunks.push(chunk.to_vec());
    }
    Ok((header, chunks))
}

async fn check(client: &mut Client, patients: Vec<RecordReference>) -> Result<Vec<String>, Status> {
    let request = Context::exchange("locator").request(CheckDocumentsRequest { patients });
    Ok(client.check_documents(request).await?.into_inner().unique_ids)
}

#[track_caller]
fn unknown<T>(result: Result<T, Status>) {
    let status = result.err().expect("refused");
    assert_eq!((status.code(), status::reason(&status).as_str()), (Code::NotFound, "DOCUMENT_UNKNOWN"));
}

#[tokio::test]
async fn a_document_goes_to_its_patient_and_to_no_other() {
    let folder =
        folder(&[row("p1", "d1", "a/one.txt"), row("p2", "d2", "two.txt"), row("p1", "gone", "no.txt")]);
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a/one.txt"), "one").unwrap();
    fs::write(folder.path().join("two.txt"), "").unwrap();
    let mut client = serve(folder.path());

    let (header, chunks) = retrieve(&mut client, patient("north", "p1"), "d1").await.unwrap();
    assert_eq!(
        (header.unique_id.as_str(), header.mime_type.as_str(), header.size_bytes),
        ("d1", "text/plain", 3)
    );
    assert_eq!(chunks, [b"one"]);
    let (header, chunks) = retrieve(&mut client, patient("north", "p2"), "d2").await.unwrap();
    assert_eq!((header.size_bytes, chunks.len()), (0, 0), "an empty document");

    unknown(retrieve(&mut client, patient("north", "p1"), "nothing").await);
    unknown(retrieve(&mut client, patient("north", "p1"), "d2").await);
    unknown(retrieve(&mut client, patient("south", "p1"), "d1").await);
    unknown(retrieve(&mut client, patient("north", "p1"), "gone").await);
}

#[tokio::test]
async fn a_check_names_what_is_there() {
    let folder =
        folder(&[row("p1", "d1", "one.txt"), row("p1", "gone", "no.txt"), row("p2", "d2", "one.txt")]);
    fs::write(folder.path().join("one.txt"), "one").unwrap();
    let mut client = serve(folder.path());
    assert_eq!(check(&mut client, vec![patient("north", "p1")]).await.unwrap(), ["d1"]);
    let several = vec![patient("north", "p1"), patient("north", "p2"), patient("north", "p1")];
    assert_eq!(check(&mut client, several).await.unwrap(), ["d1", "d2"]);
    assert!(check(&mut client, vec![patient("south", "p1")]).await.unwrap().is_empty());
    for patients in [vec![], vec![patient("north", "p1"); 201]] {
        let status = check(&mut client, patients).await.unwrap_err();
        assert_eq!(status::field(&status), "patients");
    }
}

#[tokio::test]
async fn a_large_document_comes_in_chunks() {
    let bytes: Vec<u8> = (0..3 << 20).map(|i: u32| (i % 251) as u8).chain([7]).collect();
    let folder = folder(&[row("p1", "large", "large.bin")]);
    let path = folder.path().join("large.bin");
    fs::write(&path, &bytes).unwrap();
    let (header, chunks) =
        retrieve(&mut serve(folder.path()), patient("north", "p1"), "large").await.unwrap();
    assert_eq!(header.size_bytes, bytes.len() as u64);
    assert_eq!(chunks.len(), 49);
    assert!(chunks.iter().all(|chunk| chunk.len() <= 64 << 10));
    assert_eq!(sha256(&chunks.concat()), sha256(&bytes));
    assert_eq!(hash_file(&path).unwrap(), (bytes.len() as u64, sha256(&bytes)));
}

#[tokio::test]
async fn the_index_is_read_again_when_it_changes() {
    let folder = folder(&[row("p1", "d1", "one.txt")]);
    fs::write(folder.path().join("one.txt"), "one").unwrap();
    let mut client = serve(folder.path());
    write_index(folder.path(), &[&row("p1", "newer", "one.txt")]);
    unknown(retrieve(&mut client, patient("north", "p1"), "d1").await);
    retrieve(&mut client, patient("north", "p1"), "newer").await.unwrap();
    fs::remove_file(folder.path().join(index::FILE)).unwrap();
    let status = retrieve(&mut client, patient("north", "p1"), "newer").await.unwrap_err();
    assert_eq!(status::reason(&status), "INDEX_UNREADABLE", "what may have been withdrawn is not served");
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let absolute = outside.path().join("secret");
    let absolute = absolute.to_str().unwrap();
    let folder = folder(&[
        row("p1", "up", "../secret"),
        row("p1", "root", absolute),
        row("p1", "link", "link"),
        row("p1", "deep", "a/../../secret"),
        row("p1", "index", "index.csv"),
        row("p1", "later", "later"),
        row("p1", "folder", "sub"),
    ]);
    fs::create_dir(folder.path().join("sub")).unwrap();
    std::os::unix::fs::symlink(absolute, folder.path().join("link")).unwrap();
    let index = Index::load(folder.path()).unwrap();
    let left: Vec<_> = index.entries().map(|e| e.unique_id.as_str()).collect();
    assert_eq!(left, ["later"]);
    let lines: Vec<_> = index.problems.iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 8]);
    assert!(index.problems.iter().all(|p| p.reason.starts_with("path: ")), "{:?}", index.problems);

    let mut client = serve(folder.path());
    unknown(retrieve(&mut client, patient("north", "p1"), "link").await);
    std::os::unix::fs::symlink(absolute, folder.path().join("later")).unwrap();
    unknown(retrieve(&mut client, patient("north", "p1"), "later").await);
    assert!(check(&mut client, vec![patient("north", "p1")]).await.unwrap().is_empty());
}

#[test]
fn a_bad_row_is_reported_with_its_line_and_the_rest_counts() {
    let folder = tempfile::tempdir().unwrap();
    write_index(
        folder.path(),
        &[
            &row("p1", "d1", "one.txt"),
            "too,few",
            &row("", "d2", "one.txt"),
            &row("p1", "", "one.txt"),
            &row("p1", "d1", "two.txt"),
            "p1,d3,x,plain,c,,,,,,",
            "p1,d4,x,text/plain,c,,,yesterday,,,",
            "p1,d5,x,text/plain,,,,,,,",
            "p1,d6,x,text/plain; charset=utf-8,c,,,,,,",
        ],
    );
    let index = Index::load(folder.path()).unwrap();
    let told: Vec<_> = index.problems.iter().map(|p| (p.line, p.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (3, "has 2 columns and not 11"),
            (4, "local_id: must not be empty"),
            (5, "unique_id: must not be empty"),
            (6, "unique_id: is there already"),
            (7, "mime_type: must be of the form text/plain"),
            (8, "creation_time: must be a time (RFC 3339) or empty"),
            (9, "type_code: must not be empty"),
        ]
    );
    let left: Vec<_> = index.entries().map(|e| e.unique_id.as_str()).collect();
    assert_eq!(left, ["d1", "d6"]);
    let named: Vec<_> = index.problems.iter().map(|p| p.unique_id.as_deref().unwrap_or_default()).collect();
    assert_eq!(named, ["few", "d2", "", "d1", "d3", "d4", "d5"]);
}

#[test]
fn a_row_may_name_the_older_document_that_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let row = |unique_id: &str, replaces: &str| format!("{},{replaces}", row("p1", unique_id, "one.txt"));
    let rows = [
        row("d1", ""),
        row("d2", "d1"),
        row("d3", "gone"),
        row("d4", "d4"),
        row("d5", "d6"),
        row("d6", "d5"),
        row("d7", "d6"),
        row("d8@2", ""),
        row("d9", "d1@2"),
        "p1,d10,x,text/plain,c,,,,,,".to_owned(),
    ];
    let text = format!("{},{}\n{}\n", COLUMNS.join(","), index::REPLACES, rows.join("\n"));
    fs::write(folder.path().join(index::FILE), text).unwrap();
    let index = Index::load(folder.path()).unwrap();
    let read: Vec<_> = index.entries().map(|e| (e.unique_id.as_str(), index.replaces(e))).collect();
    assert_eq!(read, [("d1", None), ("d2", Some("d1")), ("d3", Some("gone")), ("d7", Some("d6"))]);
    let told: Vec<_> = index.problems.iter().map(|p| (p.line, p.reason.as_str())).collect();
    let circle = "replaces: leads back to this row";
    assert_eq!(
        told,
        [
            (5, circle),
            (6, circle),
            (7, circle),
            (9, "unique_id: must not end in @ and a number, as versions do"),
            (10, "replaces: must not end in @ and a number, as versions do"),
            (11, "has 11 columns and not 12"),
        ]
    );
}

#[test]
fn another_header_is_no_index() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Index::load(folder.path()), Err(Error::Index(..))));
    let further = format!("{},{},more\n", COLUMNS.join(","), index::REPLACES);
    let another = format!("{},other\n", COLUMNS.join(","));
    for text in ["", "a,b\n1,2\n", &further, &another] {
        fs::write(folder.path().join(index::FILE), text).unwrap();
        assert!(matches!(Index::load(folder.path()), Err(Error::Header(_))));
    }
    assert!(matches!(Index::load(&folder.path().join("none")), Err(Error::Folder(..))));
}

#[test]
fn an_entry_becomes_a_pointer() {
    let folder = folder(&[row("p1", "d1", "one.txt")]);
    let index = Index::load(folder.path()).unwrap();
    let entry = index.entries().next().unwrap();
    assert!(!format!("{entry:?}").contains("p1"));
    let pointer = entry.to_document_entry(3, [1; 32]);
    assert_eq!(pointer.unique_id, "d1");
    assert!(pointer.patient == Some(patient("", "p1")));
    assert_eq!(pointer.creation_time.unwrap().seconds, 1_714_557_600);
    assert_eq!(pointer.service_start_time, None);
    assert_eq!(pointer.labels, ["N", "PSY"]);
    let type_code = pointer.type_code.unwrap();
    assert_eq!(
        (&*type_code.system, &*type_code.code, &*type_code.display),
        ("http://loinc.org", "34133-9", "Summary")
    );
    assert_eq!((pointer.size_bytes, pointer.sha256.len()), (3, 32));
}
