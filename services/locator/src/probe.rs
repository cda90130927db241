//! Probes in the background: pointers that nobody has followed for long are checked with their members, so that an emergency is
//! not the first to find out that one leads nowhere.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, stream};
use signpost_common::rpc::Context;
use signpost_proto::{
    common::v1::RecordReference,
    registry::v1::{DocumentEntry, ListProbesRequest},
};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    clients::{Clients, Followed},
    convert,
    sources::Failure,
};

/// Pointers of one round.
const ROUND: i32 = 200;

/// Members that are asked at once.
const AT_ONCE: usize = 4;

/// Longest wait for a member.
const WAIT: Duration = Duration::from_secs(5);

/// Probes once in every interval until the service stops.
pub(crate) async fn run(clients: Clients, every: Duration, stopping: impl Future<Output = ()>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = std::pin::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = &mut stopping => return,
            () = round(&clients) => {}
        }
    }
}

async fn round(clients: &Clients) {
    let context = Context::exchange("locator");
    let request = context.request(ListProbesRequest { limit: ROUND });
    let entries = match clients.registry.clone().list_probes(request).await {
        Ok(response) => response.into_inner().entries,
        Err(error) => {
            tracing::warn!(code = ?error.code(), "the registry does not say what to probe");
            return;
        }
    };
    // One question answers for all documents of a patient at a member.
    let mut patients: BTreeMap<(String, String), Vec<DocumentEntry>> = BTreeMap::new();
    for entry in entries {
        let RecordReference { member_id, local_id } = entry.patient.clone().unwrap_or_default();
        patients.entry((member_id, local_id)).or_default().push(entry);
    }
    let questions = stream::iter(patients.into_values());
    questions.for_each_concurrent(AT_ONCE, |entries| probe(clients, entries)).await;
}

/// Checks documents of one patient at one member. One that cannot be asked now is not to be relied on now, and its pointers must
/// not keep others from being probed.
async fn probe(clients: &Clients, entries: Vec<DocumentEntry>) {
    let Some(first) = entries.first() else { return };
    let (member, patient) = (convert::custodian(first), first.patient.clone());
    // A time of its own: others that hang must not be blamed on this one.
    let context = Context::exchange("locator").within(WAIT);
    let began = Instant::now();
    let answer = match clients.source(&context, &member).await {
        // That the directory does not answer says nothing of the member.
        Err(_) => return,
        Ok(None) => Err("SOURCE_WITHOUT_ENDPOINT"),
        Ok(Some(source)) => {
            let asked = source.check(&context, patient.as_slice()).await;
            // That many ask it says nothing of its documents.
            if matches!(asked, Err(Failure::Busy)) {
                return;
            }
            asked.map_err(Failure::reason)
        }
    };
    let took = began.elapsed();
    for entry in &entries {
        let failure = match &answer {
            Ok(held) if held.contains(&entry.unique_id) => "",
            Ok(_) => Failure::HasNot.reason(),
            Err(reason) => reason,
        };
        let context = Context::exchange("locator");
        let followed = Followed { failure: failure.to_owned(), took, probe: true };
        clients.report(&context, &entry.document_id, followed).await;
    }
    tracing::debug!(member, documents = entries.len(), "probed");
}
