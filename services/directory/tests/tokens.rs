//! One conformance suite for the memory of tokens, on every database.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use signpost_common::db::{self, Location};
use signpost_directory::tokens::{self, Used};

fn used(number: u8, forget_us: i64) -> Used {
    Used { token: [number; 32], forget_us }
}

async fn conforms(location: &Location) {
    let tokens = tokens::open(location).await.unwrap();
    assert_eq!(tokens.note(&[]).await.unwrap(), [false; 0]);
    assert_eq!(tokens.note(&[used(1, 10)]).await.unwrap(), [true]);
    assert_eq!(tokens.note(&[used(1, 10)]).await.unwrap(), [false]);
    // The order of the answers is that of the questions, and of two that are the same one counts.
    let batch = [used(9, 30), used(1, 99), used(4, 20), used(9, 30), used(3, 20)];
    assert_eq!(tokens.note(&batch).await.unwrap(), [true, false, true, false, true]);
    let many: Vec<_> =
        (0..512).map(|i| Used { token: [i as u8 ^ (i >> 8) as u8; 32], forget_us: 5 }).collect();
    assert_eq!(tokens.note(&many).await.unwrap().iter().filter(|fresh| **fresh).count(), 256 - 4);
    // What has ended is forgotten, the oldest first, and nothing else.
    assert_eq!(tokens.forget(5, 1000).await.unwrap(), 0);
    assert_eq!(tokens.forget(6, 1000).await.unwrap(), 252);
    assert_eq!(tokens.forget(21, 1).await.unwrap(), 1);
    assert_eq!(tokens.note(&[used(1, 10), used(9, 30)]).await.unwrap(), [true, false]);
    let again = tokens::open(location).await.unwrap();
    if *location != Location::Memory {
        assert_eq!(again.note(&[used(9, 30)]).await.unwrap(), [false], "another process sees it");
    }
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&Location::Memory).await;
}

#[tokio::test]
async fn the_log_of_a_file_does_not_grow_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens::open(&Location::File(folder.path().join("directory.sqlite"))).await.unwrap();
    let log = || std::fs::metadata(folder.path().join("directory_tokens.sqlite-wal")).unwrap().len();
    let mut longest = [0, 0];
    for (turn, longest) in longest.iter_mut().enumerate() {
        for round in 0..20_u64 {
            for at in 0..20_u64 {
                let number = (turn as u64 * 20 + round) * 20 + at;
                let token = signpost_common::hash::sha256(&number.to_be_bytes());
                tokens.note(&[Used { token, forget_us: 9 }]).await.unwrap();
            }
            tokens.settle().await.unwrap();
        }
        *longest = log();
    }
    assert_eq!(longest[0], longest[1], "it begins again once it was carried over");
}

#[tokio::test]
async fn the_log_of_a_file_stays_small_while_tokens_come_without_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = tokens::open(&Location::File(folder.path().join("directory.sqlite"))).await.unwrap();
    // Scattered, as hashes are: nearly each of them changes a page of its own.
    let noting = async {
        for batch in 0..400_u64 {
            let token =
                |at: u64| signpost_common::hash::sha256(&[batch.to_be_bytes(), at.to_be_bytes()].concat());
            let batch: Vec<_> = (0..100).map(|at| Used { token: token(at), forget_us: 9 }).collect();
            tokens.note(&batch).await.unwrap();
        }
    };
    let settling = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            tokens.settle().await.unwrap();
        }
    };
    tokio::select! {
        () = noting => {}
        () = settling => {}
    }
    let log = std::fs::metadata(folder.path().join("directory_tokens.sqlite-wal")).unwrap().len();
    assert!(log < 24 << 20, "the log takes {log} bytes");
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&Location::File(folder.path().join("directory.sqlite"))).await;
    assert!(folder.path().join("directory_tokens.sqlite").exists());
}

#[tokio::test]
async fn postgres_conforms() {
    let Some(location) = db::scratch_postgres("directory") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    conforms(&location).await;
}

#[tokio::test]
async fn of_two_replicas_that_note_the_same_tokens_at_once_one_is_first() {
    let Some(location) = db::scratch_postgres("directory") else {
        eprintln!("skipped: SIGNPOST_TEST_POSTGRES is not set");
        return;
    };
    let replicas = [tokens::open(&location).await.unwrap(), tokens::open(&location).await.unwrap()];
    for round in 0..20 {
        let batch: Vec<_> = (0..200)
            .map(|i| Used { token: [[i; 16], [round; 16]].concat().try_into().unwrap(), forget_us: 5 })
            .collect();
        let backwards: Vec<_> = batch.iter().rev().cloned().collect();
        let (one, other) = tokio::join!(replicas[0].note(&batch), replicas[1].note(&backwards));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.iter().zip(other.iter().rev()).all(|(a, b)| a != b), "each counts once");
    }
}
