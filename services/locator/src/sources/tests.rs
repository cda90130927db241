use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use futures_util::{StreamExt, future::join_all, stream};
use signpost_common::rpc::Context;

use super::*;

mod connector;
mod server;

const MS: Duration = Duration::from_millis(1);

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(20);

/// After which time, and what.
type Line = (Duration, Result<&'static str, Failure>);

/// Answers each call as it is told to: after a time, with an id or a failure; the last word holds for all further calls.
#[derive(Clone)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Line>>>,
    calls: Arc<AtomicUsize>,
}

impl Scripted {
    async fn next(&self) -> Result<&'static str, Failure> {
        self.calls.fetch_add(1, Relaxed);
        let (time, said) = {
            let mut script = locked(&self.script);
            if script.len() > 1 { script.pop_front().unwrap() } else { script[0] }
        };
        tokio::time::sleep(time).await;
        said
    }
}

#[async_trait]
impl Connector for Scripted {
    async fn retrieve(
        &self,
        _: &Context,
        _: &RetrieveDocumentRequest,
    ) -> Result<(Announced, Chunks), Failure> {
        let unique_id = self.next().await?.to_owned();
        let (mime_type, masked_labels) = Default::default();
        let announced = Announced { unique_id, mime_type, size_bytes: None, masked_labels };
        Ok((announced, stream::empty().boxed()))
    }

    async fn check(&self, _: &Context, _: &[RecordReference]) -> Result<Vec<String>, Failure> {
        Ok(vec![self.next().await?.to_owned()])
    }
}

fn source(script: &[Line]) -> (Source, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let script = Arc::new(Mutex::new(script.iter().copied().collect()));
    let connector = Scripted { script, calls: calls.clone() };
    (Source::new(Endpoint::default(), Ok(Box::new(connector))), calls)
}

fn within(time: Duration) -> Context {
    Context::exchange("test").within(time)
}

fn patient(number: usize) -> Vec<RecordReference> {
    vec![RecordReference { member_id: "north".into(), local_id: number.to_string() }]
}

#[tokio::test]
async fn a_question_that_hangs_is_asked_once_more() {
    let (source, calls) = source(&[(LONG, Ok("late")), (MS, Ok("soon"))]);
    let answer = source.check(&within(LONG), &patient(1)).await.unwrap();
    assert_eq!(&*answer, ["soon".to_owned()]);
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test]
async fn a_second_question_that_fails_does_not_spoil_the_first() {
    let (source, _) = source(&[(400 * MS, Ok("late")), (MS, Err(Failure::Failed))]);
    let answer = source.check(&within(LONG), &patient(1)).await.unwrap();
    assert_eq!(&*answer, ["late".to_owned()]);
}

#[tokio::test]
async fn a_source_that_hangs_is_left_alone() {
    let (source, calls) = source(&[(LONG, Ok(""))]);
    let context = within(FAIR_TIME + 50 * MS);
    let asked = join_all((0..5).map(async |number| source.check(&context, &patient(number)).await)).await;
    assert!(asked.iter().all(|answer| matches!(answer, Err(Failure::TimedOut))));
    let before = calls.load(Relaxed);
    assert_eq!(source.check(&within(LONG), &patient(9)).await.map(drop).unwrap_err(), Failure::Resting);
    let wanted = RetrieveDocumentRequest::default();
    assert_eq!(source.retrieve(&within(LONG), LONG, &wanted).await.map(drop).unwrap_err(), Failure::Resting);
    assert_eq!(calls.load(Relaxed), before);
}

#[tokio::test]
async fn callers_in_a_hurry_have_nobody_left_alone() {
    let (source, _) = source(&[(FAIR_TIME, Ok("here"))]);
    let context = within(10 * MS);
    let asked = join_all((0..20).map(async |number| source.check(&context, &patient(number)).await)).await;
    assert!(asked.iter().all(|answer| matches!(answer, Err(Failure::TimedOut))));
    assert!(source.check(&within(LONG), &patient(1)).await.is_ok());
}

#[tokio::test]
async fn so_many_calls_are_under_way_and_no_more() {
    let (source, _) = source(&[(100 * MS, Ok("here"))]);
    let context = within(LONG);
    let asked = (0..AT_ONCE_MAX + 3).map(async |number| source.check(&context, &patient(number)).await);
    let answers = join_all(asked).await;
    let busy = answers.iter().filter(|answer| matches!(answer, Err(Failure::Busy))).count();
    assert_eq!((busy, answers.iter().filter(|answer| answer.is_ok()).count()), (3, AT_ONCE_MAX));
    // A document keeps its place for as long as it flows.
    let wanted = RetrieveDocumentRequest::default();
    let flowing = join_all((0..AT_ONCE_MAX).map(|_| source.retrieve(&context, LONG, &wanted))).await;
    assert!(flowing.iter().all(Result::is_ok));
    assert_eq!(source.check(&context, &patient(999)).await.map(drop).unwrap_err(), Failure::Busy);
    drop(flowing);
    assert!(source.check(&context, &patient(999)).await.is_ok());
}

#[tokio::test]
async fn what_a_member_said_of_a_patient_is_remembered_when_it_falls_silent() {
    let (source, calls) = source(&[(MS, Ok("here")), (MS, Err(Failure::Failed))]);
    let context = within(LONG);
    assert!(source.said(&patient(1)).is_none());
    source.check(&context, &patient(1)).await.unwrap();
    assert_eq!(source.check(&context, &patient(1)).await.unwrap_err(), Failure::Failed);
    let (unique_ids, age) = source.said(&patient(1)).unwrap();
    assert_eq!(&*unique_ids, ["here".to_owned()]);
    assert!(age >= MS && source.said(&patient(2)).is_none());
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test]
async fn a_document_is_asked_for_once_more_when_its_source_cannot_be_reached() {
    let wanted = RetrieveDocumentRequest::default();
    let (back, _) = source(&[(MS, Err(Failure::Unreachable)), (MS, Ok("here"))]);
    assert_eq!(back.retrieve(&within(LONG), LONG, &wanted).await.unwrap().announced.unique_id, "here");
    // What the source answered stands.
    let (refuses, calls) = source(&[(MS, Err(Failure::Refused)), (MS, Ok("here"))]);
    assert_eq!(refuses.retrieve(&within(LONG), LONG, &wanted).await.map(drop), Err(Failure::Refused));
    assert_eq!(calls.load(Relaxed), 1);
}

#[tokio::test]
async fn what_is_known_of_a_member_is_asked_for_again_and_stays_with_its_place() {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider);
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let sources = Sources::new(Arc::new(tls));
    assert!(sources.known("north").is_none());
    assert!(sources.learn("north", None).is_none());
    assert!(sources.known("north").unwrap().is_none(), "it serves nothing, and that is known");
    let at = |port: u16| {
        Some(Endpoint { uri: format!("https://localhost:{port}"), tls_server_name: "s".into(), protocol: 0 })
    };
    let one = sources.learn("north", at(1)).unwrap();
    assert!(Arc::ptr_eq(&one, &sources.known("north").unwrap().unwrap()));
    tokio::time::sleep(ENDPOINT_TTL).await;
    assert!(sources.known("north").is_none(), "the directory is asked again");
    assert!(Arc::ptr_eq(&one, &sources.learn("north", at(1)).unwrap()));
    assert!(!Arc::ptr_eq(&one, &sources.learn("north", at(2)).unwrap()), "another place, another source");
}
