//! A folder whose documents are registered, superseded and withdrawn as it changes, whatever fails meanwhile.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, io::Write, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use signpost_common::{
    clock,
    hash::sha256,
    lifecycle::Lifecycle,
    rpc::{Context, Transport, client, status, token::Signer},
};
use signpost_proto::{
    common::v1::RecordReference,
    registry::v1::{DocumentEntry, DocumentStatus},
    source::v1::{
        CheckDocumentsRequest, RetrieveDocumentRequest,
        document_source_service_client::DocumentSourceServiceClient, retrieve_document_response::Message,
    },
};
use signpost_source::{
    Config, Exchange, Registration,
    index::{self, COLUMNS, REPLACES},
};
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::Status;

mod fake;

use fake::{Fake, Mood};

const SETTLE: Duration = Duration::from_millis(60);

/// The key of RFC 8410, section 10.3.
const TOKEN_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

/// A member's folder and state, which outlive the source.
struct Site {
    folder: TempDir,
    state: TempDir,
    fake: Fake,
    rescan: Duration,
    running: Option<(Lifecycle, DocumentSourceServiceClient<Transport>)>,
}

/// A row of the index: of patient p1, of a file that has the name of its unique id.
fn row(unique_id: &str) -> String {
    replacing(unique_id, "")
}

fn replacing(unique_id: &str, older: &str) -> String {
    format!(
        "p1,{unique_id},{unique_id}.txt,text/plain,34133-9,Summary,,2024-05-01T10:00:00Z,,N,North,{older}"
    )
}

impl Site {
    fn new(rows: &[String]) -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            fake: Fake::default(),
            rescan: Duration::from_secs(60),
            running: None,
        };
        site.index(rows);
        site
    }

    fn with(files: &[(&str, &str)]) -> Self {
        let rows: Vec<_> = files.iter().map(|(unique_id, _)| row(unique_id)).collect();
        let site = Self::new(&rows);
        files.iter().for_each(|(unique_id, text)| site.write(unique_id, text));
        site
    }

    fn text(rows: &[String]) -> String {
        format!("{},{REPLACES}\n{}\n", COLUMNS.join(","), rows.join("\n"))
    }

    /// Puts an index in the place of the one that is there.
    fn index(&self, rows: &[String]) {
        let aside = self.folder.path().join("index.new");
        fs::write(&aside, Self::text(rows)).unwrap();
        fs::rename(aside, self.folder.path().join(index::FILE)).unwrap();
    }

    fn path(&self, unique_id: &str) -> PathBuf {
        self.folder.path().join(format!("{unique_id}.txt"))
    }

    fn write(&self, unique_id: &str, text: &str) {
        fs::write(self.path(unique_id), text).unwrap();
    }

    fn journal(&self) -> PathBuf {
        self.state.path().join("north.journal")
    }

    fn start(&mut self) {
        let key = self.state.path().join("token.pem");
        fs::write(&key, TOKEN_KEY).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let lifecycle = Lifecycle::new();
        let signer = Signer::from_file("north".parse().unwrap(), "k", &key, &[0; 32]).unwrap();
        let exchange = Exchange {
            registry: self.fake.transport(),
            signer,
            user: "source".into(),
            clock: clock::system(),
        };
        let registration = Registration {
            state: self.state.path().to_owned(),
            rescan: self.rescan,
            settle: SETTLE,
            exchange,
            lifecycle: lifecycle.clone(),
        };
        let config = Config { folder: self.folder.path().to_owned(), member_id: "north".parse().unwrap() };
        let routes = signpost_source::build(config, Some(registration)).unwrap();
        self.running = Some((lifecycle, DocumentSourceServiceClient::new(client::in_process(routes))));
    }

    async fn stop(&mut self) {
        let (lifecycle, _) = self.running.take().unwrap();
        let began = Instant::now();
        lifecycle.drain(Duration::from_secs(10)).await;
        assert!(began.elapsed() < Duration::from_secs(5), "it stops when it is asked to");
    }

    /// Retrieves a document of patient p1.
    async fn retrieve(&self, unique_id: &str) -> Result<Vec<u8>, Status> {
        let mut client = self.running.as_ref().unwrap().1.clone();
        let patient = Some(RecordReference { member_id: "north".into(), local_id: "p1".into() });
        let request = RetrieveDocumentRequest {
            unique_id: unique_id.into(),
            patient,
            ..RetrieveDocumentRequest::default()
        };
        let request = Context::exchange("locator").request(request);
        let mut stream = client.retrieve_document(request).await?.into_inner();
        let mut bytes = vec![];
        while let Some(next) = stream.message().await? {
            match next.message.unwrap() {
                Message::Header(header) => assert_eq!(header.unique_id, unique_id),
                Message::Chunk(chunk) => bytes.extend_from_slice(&chunk),
            }
        }
        Ok(bytes)
    }

    async fn refused(&self, unique_id: &str) -> String {
        match self.retrieve(unique_id).await {
            Ok(_) => panic!("{unique_id} was served"),
            Err(status) => status::reason(&status),
        }
    }

    async fn check(&self) -> Vec<String> {
        let mut client = self.running.as_ref().unwrap().1.clone();
        let patients = vec![RecordReference { member_id: "north".into(), local_id: "p1".into() }];
        let request = Context::exchange("locator").request(CheckDocumentsRequest { patients });
        let mut ids = client.check_documents(request).await.unwrap().into_inner().unique_ids;
        ids.sort();
        ids
    }

    /// Waits until these are current, and until all of them are served.
    async fn settles_at(&self, current: &[&str]) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.fake.current();
            if found == current && self.check().await == current {
                return;
            }
            assert!(Instant::now() < until, "{found:?} is registered and not {current:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Gives it the time to do what it should not.
    async fn stays_at(&self, current: &[&str]) {
        let until = Instant::now() + Duration::from_millis(700);
        while Instant::now() < until {
            assert_eq!(self.fake.current(), current);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn hash_of(text: &str) -> Vec<u8> {
    sha256(text.as_bytes()).to_vec()
}

#[tokio::test]
async fn the_registry_follows_the_folder() {
    let mut site = Site::with(&[("a", "one"), ("b", "two")]);
    site.start();
    site.settles_at(&["a", "b"]).await;
    assert_eq!(site.fake.document("a").sha256, hash_of("one"));
    assert_eq!(site.retrieve("a").await.unwrap(), b"one");

    // Other bytes under the same id.
    site.write("a", "one, corrected");
    assert_eq!(site.refused("a").await, "DOCUMENT_CHANGED", "never other bytes than were registered");
    site.settles_at(&["a@2", "b"]).await;
    assert_eq!(site.retrieve("a@2").await.unwrap(), b"one, corrected");
    assert_eq!(site.refused("a").await, "DOCUMENT_UNKNOWN");
    let (old, new) = (site.fake.document("a"), site.fake.document("a@2"));
    assert_eq!(old.status(), DocumentStatus::Superseded);
    assert_eq!((new.replaces_document_id, &new.sha256), (old.document_id, &hash_of("one, corrected")));

    // Other facts of the same bytes, and a row that goes.
    site.index(&[row("a").replace(",N,", ",R|PSY,")]);
    site.settles_at(&["a@3"]).await;
    assert_eq!(site.fake.document("a@3").labels, ["R", "PSY"]);
    assert_eq!(site.fake.document("b").status(), DocumentStatus::Deprecated);
    assert_eq!(site.refused("b").await, "DOCUMENT_UNKNOWN");

    // What comes back was withdrawn under its id for good.
    site.index(&[row("a").replace(",N,", ",R|PSY,"), row("b")]);
    site.settles_at(&["a@3", "b@2"]).await;
    assert_eq!(site.retrieve("b@2").await.unwrap(), b"two");
    site.stop().await;
}

#[tokio::test]
async fn a_row_replaces_the_older_document_that_it_names() {
    let mut site = Site::with(&[("a", "one"), ("b", "two")]);
    site.start();
    site.settles_at(&["a", "b"]).await;
    // The row of the one is gone, that of the other stays.
    site.index(&[row("b"), replacing("c", "a"), replacing("d", "b")]);
    site.stays_at(&["a", "b"]).await;
    site.write("c", "three");
    site.write("d", "four");
    site.settles_at(&["c", "d"]).await;
    for (newer, older) in [("c", "a"), ("d", "b")] {
        let older = site.fake.document(older);
        assert_eq!(older.status(), DocumentStatus::Superseded);
        assert_eq!(site.fake.document(newer).replaces_document_id, older.document_id);
    }
    assert_eq!(site.refused("b").await, "DOCUMENT_UNKNOWN");
    site.stop().await;
}

#[tokio::test]
async fn a_row_replaces_what_only_the_exchange_knows() {
    let mut site = Site::with(&[("a", "one")]);
    site.start();
    site.settles_at(&["a"]).await;
    let older = DocumentEntry { unique_id: "older".into(), ..site.fake.document("a") };
    site.fake.insert(older);
    site.index(&[row("a"), replacing("b", "older"), replacing("c", "never was")]);
    site.write("b", "two");
    site.write("c", "three");
    site.settles_at(&["a", "b", "c"]).await;
    let older = site.fake.document("older");
    assert_eq!(older.status(), DocumentStatus::Superseded);
    assert_eq!(site.fake.document("b").replaces_document_id, older.document_id);
    // What others registered is not the source's to withdraw.
    site.fake.insert(DocumentEntry { unique_id: "other".into(), ..older });
    site.index(&[row("a")]);
    let until = Instant::now() + Duration::from_secs(20);
    while site.fake.current() != ["a", "other"] {
        assert!(Instant::now() < until, "{:?}", site.fake.current());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    site.stop().await;
}

#[tokio::test]
async fn another_patient_takes_a_document_over_as_a_new_version() {
    let mut site = Site::with(&[("a", "one")]);
    site.index(&[row("a").replace("p1,", "p2,")]);
    site.start();
    let until = Instant::now() + Duration::from_secs(20);
    while site.fake.current() != ["a"] {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    site.index(&[row("a")]);
    site.settles_at(&["a@2"]).await;
    assert_eq!(site.fake.document("a").status(), DocumentStatus::Deprecated);
    assert_eq!(site.refused("a").await, "DOCUMENT_UNKNOWN");
    site.stop().await;
}

#[tokio::test]
async fn a_file_may_come_later_than_its_row() {
    let mut site = Site::new(&[row("a"), row("b").replace("b.txt", "deep/er/b.txt")]);
    site.start();
    site.stays_at(&[]).await;
    assert_eq!(site.refused("a").await, "DOCUMENT_UNREGISTERED");
    fs::create_dir_all(site.folder.path().join("deep/er")).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    fs::write(site.folder.path().join("deep/er/b.txt"), "two").unwrap();
    site.write("a", "one");
    site.settles_at(&["a", "b"]).await;
    // A file that goes while its row stays may come back.
    fs::remove_file(site.path("a")).unwrap();
    site.stays_at(&["a", "b"]).await;
    assert_eq!(site.check().await, ["b"]);
    assert_eq!(site.refused("a").await, "DOCUMENT_UNKNOWN");
    site.write("a", "one");
    site.settles_at(&["a", "b"]).await;
    site.stop().await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    let mut site = Site::new(&[row("a")]);
    site.start();
    let mut file = fs::File::create(site.path("a")).unwrap();
    for _ in 0..40 {
        file.write_all(b"part ").unwrap();
        file.sync_all().unwrap();
        tokio::time::sleep(SETTLE / 3).await;
        assert!(site.fake.current().is_empty());
    }
    drop(file);
    site.settles_at(&["a"]).await;
    assert_eq!(site.fake.document("a").sha256, hash_of(&"part ".repeat(40)));
    site.stop().await;
}

#[tokio::test]
async fn an_index_that_is_being_rewritten_withdraws_nothing() {
    let mut site = Site::with(&[("a", "one"), ("b", "two"), ("c", "three")]);
    site.start();
    site.settles_at(&["a", "b", "c"]).await;
    let text = Site::text(&[row("a"), row("b"), row("c"), row("d")]);
    site.write("d", "four");
    let mut file = fs::File::create(site.folder.path().join(index::FILE)).unwrap();
    for piece in text.as_bytes().chunks(40) {
        file.write_all(piece).unwrap();
        tokio::time::sleep(SETTLE / 6).await;
    }
    drop(file);
    site.settles_at(&["a", "b", "c", "d"]).await;
    assert_eq!(site.fake.documents().len(), 4, "nothing was withdrawn and came back");
    // A row that cannot be read keeps its document.
    site.index(&[row("a"), row("b").replace("text/plain", "plain"), row("c"), row("d")]);
    site.stays_at(&["a", "b", "c", "d"]).await;
    fs::remove_file(site.folder.path().join(index::FILE)).unwrap();
    site.stays_at(&["a", "b", "c", "d"]).await;
    site.stop().await;
}

#[tokio::test]
async fn what_could_not_be_said_is_said_when_the_exchange_is_back() {
    let mut site = Site::with(&[("a", "one"), ("b", "two")]);
    site.fake.set(Mood::Down);
    site.start();
    site.stays_at(&[]).await;
    site.fake.set(Mood::Well);
    site.settles_at(&["a", "b"]).await;
    site.fake.set(Mood::Down);
    site.write("a", "one, corrected");
    site.index(&[row("a"), row("c")]);
    site.write("c", "three");
    site.stays_at(&["a", "b"]).await;
    site.fake.set(Mood::Well);
    site.settles_at(&["a@2", "c"]).await;
    assert_eq!(site.fake.documents().len(), 4);
    site.fake.set(Mood::Silent);
    site.write("a", "one, corrected again");
    tokio::time::sleep(Duration::from_millis(700)).await;
    site.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_changes_nothing() {
    let mut site = Site::with(&[("a", "one")]);
    site.start();
    site.settles_at(&["a"]).await;
    site.fake.set(Mood::Mute);
    site.write("a", "one, corrected");
    site.write("b", "two");
    site.index(&[row("a"), row("b")]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    site.fake.set(Mood::Well);
    site.settles_at(&["a@2", "b"]).await;
    assert_eq!(site.fake.documents().len(), 3);
    site.stop().await;
}

#[tokio::test]
async fn a_source_that_was_killed_goes_on_with_what_the_exchange_knows() {
    let mut site = Site::with(&[("a", "one"), ("b", "two")]);
    site.start();
    site.settles_at(&["a", "b"]).await;
    site.stop().await;
    let before = site.fake.documents();

    // Registered and not kept.
    fs::remove_file(site.journal()).unwrap();
    site.start();
    site.settles_at(&["a", "b"]).await;
    assert_eq!(site.retrieve("a").await.unwrap(), b"one");
    assert_eq!(site.fake.documents(), before);
    site.stop().await;

    // Superseded and not kept.
    let kept = fs::read(site.journal()).unwrap();
    site.start();
    site.write("a", "one, corrected");
    site.settles_at(&["a@2", "b"]).await;
    site.stop().await;
    fs::write(site.journal(), &kept).unwrap();
    site.start();
    site.settles_at(&["a@2", "b"]).await;
    assert_eq!(site.retrieve("a@2").await.unwrap(), b"one, corrected");
    site.stop().await;

    // The same, and the file changes again meanwhile.
    fs::write(site.journal(), &kept).unwrap();
    site.write("a", "one, corrected again");
    site.start();
    site.settles_at(&["a@3", "b"]).await;
    assert_eq!(site.fake.documents().len(), 4);
    site.stop().await;

    // Withdrawn and not kept.
    site.start();
    site.index(&[row("a")]);
    site.settles_at(&["a@3"]).await;
    site.stop().await;
    fs::write(site.journal(), &kept).unwrap();
    site.start();
    site.settles_at(&["a@3"]).await;
    assert_eq!(site.fake.documents().len(), 4);
    site.stop().await;
}

#[tokio::test]
async fn a_broken_state_is_made_anew() {
    let mut site = Site::with(&[("a", "one"), ("b", "two")]);
    site.start();
    site.settles_at(&["a", "b"]).await;
    site.write("a", "one, corrected");
    site.settles_at(&["a@2", "b"]).await;
    site.stop().await;
    let before = site.fake.documents();
    fs::write(site.journal(), "{\"form\":1,\"member_id\":\"north\"}\n{\"unique").unwrap();
    site.start();
    site.settles_at(&["a@2", "b"]).await;
    assert_eq!(site.fake.documents(), before);
    site.index(&[]);
    site.settles_at(&[]).await;
    site.stop().await;
    let state = fs::read_to_string(site.journal()).unwrap();
    assert!(state.contains("a.txt") && !state.contains("p1"), "no patient is named: {state}");
}

#[tokio::test]
async fn what_changed_while_it_was_stopped_is_seen_at_the_start() {
    let mut site = Site::with(&[("a", "one"), ("b", "two"), ("c", "three")]);
    site.start();
    site.settles_at(&["a", "b", "c"]).await;
    site.stop().await;
    let offered = site.fake.offered();
    site.start();
    site.settles_at(&["a", "b", "c"]).await;
    site.stays_at(&["a", "b", "c"]).await;
    assert_eq!(site.fake.offered(), offered, "nothing changed and nothing is said");
    site.stop().await;
    site.write("b", "two, corrected");
    site.index(&[row("b"), row("c")]);
    site.start();
    site.settles_at(&["b@2", "c"]).await;
    site.stop().await;
}

#[tokio::test]
async fn what_is_refused_holds_up_nothing_and_is_asked_once() {
    let bad = row("bad").replace("34133-9", fake::REFUSED_CODE);
    let mut site = Site::with(&[("a", "one")]);
    site.rescan = Duration::from_millis(100);
    site.index(&[row("a"), bad, "too,few".to_owned()]);
    site.write("bad", "bad");
    site.start();
    site.settles_at(&["a"]).await;
    site.stays_at(&["a"]).await;
    assert_eq!(site.fake.offered(), 2);
    site.index(&[row("a"), row("bad")]);
    site.settles_at(&["a", "bad"]).await;
    site.stop().await;
}

#[tokio::test]
async fn nothing_is_registered_that_could_not_be_served() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let mut site =
        Site::new(&[row("link"), row("empty"), row("up").replace("up.txt", "../up.txt"), row("a")]);
    std::os::unix::fs::symlink(outside.path().join("secret"), site.path("link")).unwrap();
    site.write("empty", "");
    site.write("a", "one");
    site.start();
    site.settles_at(&["a"]).await;
    // A document that becomes a way out.
    fs::remove_file(site.path("a")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), site.path("a")).unwrap();
    assert_eq!(site.refused("a").await, "DOCUMENT_UNKNOWN");
    site.stays_at(&["a"]).await;
    assert_eq!(site.fake.documents().len(), 1);
    site.stop().await;
}

#[tokio::test]
async fn what_the_exchange_lost_is_registered_again() {
    let mut site = Site::with(&[("a", "one")]);
    site.start();
    site.settles_at(&["a"]).await;
    site.stop().await;
    site.fake = Fake::default();
    site.start();
    site.settles_at(&["a"]).await;
    site.fake.set(Mood::Well);
    site.stop().await;
}
