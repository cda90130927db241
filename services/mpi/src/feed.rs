//! A feed: many records over one stream, stored in batches, answered one by one.
//!
//! A batch is what arrives within a few milliseconds: a fast sender gets large batches, whose cost is shared, and a
//! slow one quick answers. A bad item fails alone. What was acknowledged is durable, whatever happens next.

use std::{sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use signpost_common::rpc::{Context, status};
use signpost_proto::mpi::v1::{
    FeedPatientsRequest, FeedPatientsResponse, ItemError, RegisterPatientRequest,
    feed_patients_response::Result as ItemResult,
};
use tonic::{Status, Streaming};

use crate::{domain::Incoming, service::Service};

/// Most items in one transaction.
const BATCH_MAX: usize = 512;

/// How long a batch waits for more items.
const BATCH_WAIT: Duration = Duration::from_millis(5);

pub(crate) type Answer = Result<FeedPatientsResponse, Status>;
pub(crate) type Answers = BoxStream<'static, Answer>;

/// Takes in a feed as fast as its answers are read.
pub(crate) fn run(service: Arc<Service>, context: Context, items: Streaming<FeedPatientsRequest>) -> Answers {
    let batches = tokio_stream::StreamExt::chunks_timeout(items, BATCH_MAX, BATCH_WAIT).then(move |batch| {
        let (service, context) = (service.clone(), context.clone());
        async move {
            let (mut items, mut broken) = (vec![], None);
            for item in batch {
                match item {
                    Ok(item) => items.push(item),
                    Err(error) => broken = Some(error),
                }
            }
            let mut answers = take_in(&service, &context, items).await;
            // What came before it is stored and answered; then the sender reads why its feed broke off.
            answers.extend(broken.map(Err));
            stream::iter(answers)
        }
    });
    batches.flatten().boxed()
}

/// Stores what is good of a batch and answers every item, in order.
async fn take_in(service: &Service, context: &Context, items: Vec<FeedPatientsRequest>) -> Vec<Answer> {
    let mut good: Vec<Incoming> = vec![];
    let mut checked: Vec<(u64, Result<(), Status>)> = vec![];
    for FeedPatientsRequest { item, record } in items {
        let record: Result<RegisterPatientRequest, Status> =
            record.ok_or_else(|| status::invalid("record", "must be set"));
        let incoming = record.and_then(|record| service.incoming(context, &record));
        checked.push((item, incoming.map(|incoming| good.push(incoming))));
    }
    let mut stored = match service.store_all(&good, None).await {
        Ok(stored) => stored.into_iter(),
        // Nothing of the batch was stored: the sender may send it again.
        Err(error) => return vec![Err(error)],
    };
    let mut answers = Vec::with_capacity(checked.len());
    for (item, outcome) in checked {
        let result = match outcome {
            Ok(()) => stored.next().map(|registered| ItemResult::Registered(registered.into())),
            Err(error) => Some(ItemResult::Error(ItemError {
                reason: status::reason(&error),
                field: status::field(&error),
                message: error.message().to_owned(),
            })),
        };
        answers.push(Ok(FeedPatientsResponse { item, result }));
    }
    answers
}
