use signpost_common::{clock, db::Location, hash::Blinder, id::EventId, rpc::client};
use signpost_proto::{
    audit::v1::{Event, EventKind, EventOutcome},
    common::v1::Caller,
};
use tonic::service::Routes;

use super::*;
use crate::store;

/// Kinds of a directory that answers nothing.
fn silent() -> Kinds {
    Kinds::new(Arc::new(OnceLock::from(client::in_process(Routes::default()))))
}

/// As if it had been silent for so long.
fn silent_for(kinds: &mut Kinds, time: Duration) {
    let silence = kinds.silence.as_mut().unwrap();
    silence.since = silence.since.checked_sub(time).unwrap();
}

#[tokio::test]
async fn a_directory_that_is_silent_is_waited_for_and_not_for_ever() {
    let mut kinds = silent();
    assert_eq!(kinds.of("north").await, None);
    let first = kinds.silence.unwrap();
    assert_eq!(kinds.of("south").await, None, "for nobody");
    assert_eq!(kinds.silence.unwrap().asked, first.asked, "it is not asked again at once");
    silent_for(&mut kinds, SILENT_MAX);
    assert_eq!(kinds.of("north").await, Some(MemberKind::Unspecified));
    assert!(kinds.known.is_empty(), "that it was silent is not remembered as an answer");
    assert_eq!(Kinds::new(Arc::default()).of("north").await, Some(MemberKind::Unspecified), "none yet");
}

#[tokio::test]
async fn events_are_not_passed_while_the_directory_is_silent() {
    let (store, flags) = store::open_all(&Location::Memory).await.unwrap();
    let event = Event {
        event_id: EventId::generate().to_string(),
        kind: EventKind::Locate.into(),
        outcome: EventOutcome::Success.into(),
        caller: Some(Caller { member_id: "north".into(), ..Caller::default() }),
        occurred_at: Some(clock::to_proto(clock::system().now())),
        ..Event::default()
    };
    let entry = convert::entry(Some(event), &Blinder::new(&[7; 32]).unwrap()).unwrap();
    store.append(&[entry]).await.unwrap();
    let policy = Policy::default();
    let mut watcher = Watcher { store: flags, policy, kinds: silent(), raised: Arc::default() };
    let mut reached = None;
    for _ in 0..3 {
        assert!(watcher.look(&mut reached).await.unwrap(), "it waits before it looks again");
        assert_eq!(reached.as_ref().unwrap().seen, 0);
    }
    silent_for(&mut watcher.kinds, SILENT_MAX);
    watcher.look(&mut reached).await.unwrap();
    assert_eq!(reached.unwrap().seen, 1);
}
