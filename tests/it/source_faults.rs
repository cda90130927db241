//! Sources that hang, break off, or send something else than what was registered: nothing of it is taken for the document.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use signpost::{client, client::Client, config::Service, pki};
use signpost_common::rpc::{status, tls};
use signpost_proto::{
    audit::v1::EventOutcome,
    locator::v1::{
        FetchDocumentRequest, LocateRequest, SourceOutcome, SourceState, fetch_document_response::Message,
        locate_request::Subject,
    },
    source::v1::RetrieveHeader,
};
use signpost_tests::{
    Cluster,
    fake_source::{FakeSource, Step},
    find::{Attempt, Located, attempt, fetch, locate_with, logged},
    physician,
    scenario::{person, two_documents},
};
use tonic::{Code, Status};

/// Time for a fetch; a source has a second less to begin.
const DEADLINE: Duration = Duration::from_millis(1_700);

/// What north registered: 360,000 bytes.
fn document() -> Vec<u8> {
    "document of north ".repeat(20_000).into()
}

fn header() -> RetrieveHeader {
    let size_bytes = document().len() as u64;
    RetrieveHeader {
        unique_id: "north.txt".into(),
        mime_type: "text/plain".into(),
        size_bytes,
        ..RetrieveHeader::default()
    }
}

fn chunks(bytes: &[u8]) -> Vec<Step> {
    bytes.chunks(60_000).map(|chunk| Step::Chunk(chunk.into())).collect()
}

/// West, which fetches north's document from a source that a test plays.
struct Play {
    cluster: Cluster,
    source: FakeSource,
    west: Client,
    documents: Vec<String>,
}

impl Play {
    async fn begin() -> anyhow::Result<Self> {
        let (cluster, documents) = two_documents().await?;
        let source = FakeSource::start(&cluster, "north").await?;
        let west = cluster.client("west", Service::Locator)?;
        Ok(Self { cluster, source, west, documents })
    }

    fn request(&self, request_id: &str) -> FetchDocumentRequest {
        FetchDocumentRequest {
            document_id: self.documents[0].clone(),
            request_id: request_id.into(),
            ..FetchDocumentRequest::default()
        }
    }

    async fn fetch(&self, request_id: &str) -> anyhow::Result<Attempt> {
        self.fetch_within(request_id, DEADLINE).await
    }

    async fn fetch_within(&self, request_id: &str, deadline: Duration) -> anyhow::Result<Attempt> {
        attempt(&self.west, &physician(), self.request(request_id), deadline).await
    }

    /// Returns the outcomes in the audit log, newest first; a failure with its reason.
    async fn logged(&self, request_id: &str) -> anyhow::Result<Vec<(EventOutcome, String)>> {
        let events = logged(&self.cluster, "west", request_id).await?;
        Ok(events.into_iter().map(|event| (event.outcome(), event.reason)).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_source_should_not_have_begun_is_not_released() -> anyhow::Result<()> {
    let play = Play::begin().await?;
    let good = header();
    for (case, steps, code, reason) in [
        ("first byte", vec![Step::Hang], Code::Unavailable, "SOURCE_TIMED_OUT"),
        (
            "type",
            vec![Step::Header(RetrieveHeader { mime_type: "text/html".into(), ..good.clone() })],
            Code::DataLoss,
            "WRONG_TYPE",
        ),
        (
            "another patient's",
            vec![Step::Header(RetrieveHeader { unique_id: "other.txt".into(), ..good.clone() })],
            Code::DataLoss,
            "WRONG_DOCUMENT",
        ),
        (
            "size",
            vec![Step::Header(RetrieveHeader { size_bytes: good.size_bytes - 1, ..good.clone() })],
            Code::DataLoss,
            "WRONG_SIZE",
        ),
        ("no header", chunks(&document()), Code::DataLoss, "WRONG_FORM"),
        ("refusal", vec![Step::Fail(Status::permission_denied("no"))], Code::Unavailable, "SOURCE_REFUSED"),
        ("failure", vec![Step::Fail(Status::internal("oops"))], Code::Unavailable, "SOURCE_UNAVAILABLE"),
    ] {
        // What is announced wrong is followed by the right bytes: they must not get through.
        play.source.plays(steps.into_iter().chain(chunks(&document())));
        let attempt = play.fetch(case).await?;
        assert_eq!(attempt.failure(), Some((code, reason.to_owned())), "{case}");
        ensure!(attempt.shows_nothing(), "{case}: something was released");
        assert_eq!(play.logged(case).await?, [(EventOutcome::Failed, reason.to_owned())], "{case}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_off_has_no_trailer_and_ends_by_the_deadline() -> anyhow::Result<()> {
    let play = Play::begin().await?;
    let (all, head) = (document(), vec![Step::Header(header())]);
    let part = chunks(&all[..120_000]);
    for (case, steps, code, reason) in [
        ("fails", vec![Step::Fail(Status::internal("oops"))], Code::Unavailable, "SOURCE_BROKE_OFF"),
        ("ends early", vec![], Code::DataLoss, "WRONG_SIZE"),
        ("sends more", vec![Step::Chunk(vec![7; 60_000]), Step::Again], Code::DataLoss, "WRONG_SIZE"),
        ("begins again", vec![Step::Header(header())], Code::DataLoss, "WRONG_FORM"),
        ("hangs", vec![Step::Hang], Code::Unavailable, "SOURCE_TIMED_OUT"),
        ("sends nothing for ever", vec![Step::Nothings], Code::Unavailable, "SOURCE_TIMED_OUT"),
    ] {
        play.source.plays([&head[..], &part, &steps].concat());
        let attempt = play.fetch(case).await?;
        assert_eq!(attempt.failure(), Some((code, reason.to_owned())), "{case}");
        ensure!(attempt.bytes.len() <= all.len(), "{case}: {} bytes", attempt.bytes.len());
        let failed = (EventOutcome::Failed, format!("{code:?} {reason}"));
        assert_eq!(play.logged(case).await?, [failed, (EventOutcome::Success, String::new())], "{case}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_mid_document_is_told() -> anyhow::Result<()> {
    let play = Play::begin().await?;
    let part = chunks(&document()[..120_000]);
    play.source.plays([&[Step::Header(header())][..], &part, &[Step::Hang]].concat());
    let request = play.west.request(&physician(), play.request("cut"))?;
    let mut messages = play.west.locator().fetch_document(request).await?.into_inner();
    let mut bytes = 0;
    while bytes < 120_000 {
        let message = messages.message().await?.context("it ended")?.message;
        if let Some(Message::Chunk(chunk)) = message {
            bytes += chunk.len();
        }
    }
    play.source.cut();
    let ended = tokio::time::timeout(Duration::from_secs(5), messages.message()).await;
    let ended = ended.context("the stream is stuck")?.err().context("it goes on")?;
    assert_eq!((ended.code(), status::reason(&ended).as_str()), (Code::Unavailable, "SOURCE_BROKE_OFF"));
    // The next one comes on a new connection.
    play.source.plays([&[Step::Header(header())][..], &chunks(&document())].concat());
    assert_eq!(fetch(&play.west, &physician(), &play.documents[0], "").await?.bytes, document());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_slow_is_waited_for() -> anyhow::Result<()> {
    let play = Play::begin().await?;
    let slowly = Step::Wait(Duration::from_millis(150));
    let mut steps = vec![Step::Wait(Duration::from_millis(300)), Step::Header(header())];
    // Empty chunks are no error either.
    steps.push(Step::Chunk(vec![]));
    steps.extend(chunks(&document()).into_iter().flat_map(|chunk| [slowly.clone(), chunk]));
    play.source.plays(steps);
    let began = Instant::now();
    let attempt = play.fetch_within("slow", 10 * DEADLINE).await?;
    ensure!(attempt.ended.is_ok() && attempt.bytes == document(), "{:?}", attempt.ended);
    ensure!(began.elapsed() > Duration::from_secs(1), "it was not slow");
    Ok(())
}

/// Longest that a source may take to begin.
const TO_BEGIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_document_flows_for_longer_than_its_source_may_take_to_begin() -> anyhow::Result<()> {
    let play = Play::begin().await?;
    let all = document();
    let (begin, end) = all.split_at(120_000);
    let wait = Step::Wait(TO_BEGIN + Duration::from_millis(500));
    play.source.plays([&[Step::Header(header())][..], &chunks(begin), &[wait], &chunks(end)].concat());
    let attempt = play.fetch_within("long", 4 * TO_BEGIN).await?;
    ensure!(attempt.ended.is_ok() && attempt.bytes == all, "{:?}", attempt.ended);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_certificate_does_not_verify_is_not_asked() -> anyhow::Result<()> {
    let mut play = Play::begin().await?;
    let (own, expired, other) = (play.cluster.pki(), tempfile::tempdir()?, tempfile::tempdir()?);
    let north = "north".parse()?;
    pki::issue(expired.path(), &pki::open_authority(&own)?, &north, -1)?;
    pki::issue(other.path(), &pki::open_authority(other.path())?, &north, 30)?;
    let of = |folder: &Path| tls::Files {
        ca: own.join("ca.pem"),
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        crl: vec![],
    };
    for (case, files) in [
        ("expired", of(expired.path())),
        ("another authority's", of(other.path())),
        // The certificate alone makes the difference.
        ("good", client::files(&own, "north")),
    ] {
        play.source = FakeSource::start_with(&files).await?;
        play.source.plays([&[Step::Header(header())][..], &chunks(&document())].concat());
        play.cluster.set_endpoint("north", &play.source.uri()).await?;
        let mut attempt = play.fetch(case).await?;
        // The locator may go on to look where the source was before, for a second.
        for _ in 0..100 {
            if play.source.connections() > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            attempt = play.fetch(case).await?;
        }
        ensure!(play.source.connections() > 0, "{case}: the source was not tried");
        if case == "good" {
            ensure!(attempt.ended.is_ok() && attempt.bytes == document(), "{:?}", attempt.ended);
            break;
        }
        let unavailable = "SOURCE_UNAVAILABLE".to_owned();
        assert_eq!(attempt.failure(), Some((Code::Unavailable, unavailable.clone())), "{case}");
        ensure!(attempt.shows_nothing(), "{case}: something was released");
        let logged = play.logged(case).await?;
        assert_eq!(logged.first(), Some(&(EventOutcome::Failed, unavailable)), "{case}");
        ensure!(logged.iter().all(|(outcome, _)| *outcome == EventOutcome::Failed), "{case}: {logged:?}");
    }
    Ok(())
}

async fn locate_north(client: &Client) -> anyhow::Result<(Located, SourceOutcome)> {
    let request = LocateRequest {
        subject: Some(Subject::Demographics(person(1))),
        source_timeout_ms: 500,
        ..LocateRequest::default()
    };
    let located = locate_with(client, &physician(), request).await?;
    let north = located.sources.iter().find(|source| source.member_id == "north");
    let north = north.context("north is not named")?.clone();
    Ok((located, north))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_is_left_alone_for_a_while() -> anyhow::Result<()> {
    let play = Play::begin().await?;
    for _ in 0..5 {
        let (located, north) = locate_north(&play.west).await?;
        assert_eq!(north.state(), SourceState::TimedOut);
        assert_eq!((located.completion.answered, located.completion.degraded), (1, true));
    }
    let asked = play.source.checks();
    ensure!(asked >= 5, "it was asked {asked} times");
    let (located, north) = locate_north(&play.west).await?;
    assert_eq!((north.state(), north.reason.as_str()), (SourceState::NotAsked, "CIRCUIT_OPEN"));
    let completion = &located.completion;
    assert_eq!((completion.asked, completion.answered, completion.not_asked), (1, 1, 1));
    ensure!(completion.degraded && located.pointers.len() == 2, "{completion:?}");
    // Who would fetch is not kept waiting either, and it says nothing of the pointer.
    let attempt = play.fetch("resting").await?;
    assert_eq!(attempt.failure(), Some((Code::Unavailable, "SOURCE_CIRCUIT_OPEN".to_owned())));
    assert_eq!(play.source.checks(), asked, "it was asked again");
    fetch(&play.west, &physician(), &play.documents[1], "").await?;
    // After its rest one call finds that it is back.
    play.source.holds(&["north.txt"]);
    let back = async {
        while locate_north(&play.west).await?.1.state() != SourceState::Answered {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.context("it is left alone for good")??;
    assert!(!locate_north(&play.west).await?.0.completion.degraded);
    Ok(())
}
