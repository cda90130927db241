//! Members' document sources: where they are, whatever protocol they speak, and how they are kept from harming anybody.
//!
//! Where a source is comes from the directory alone. Each member has its own bounds: so many calls at once, a rest when it
//! does not answer, a wait that follows what it usually takes. A member that hangs costs the others nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use signpost_common::rpc::{Context, reload::ClientTls};
use signpost_proto::{
    common::v1::RecordReference,
    directory::v1::{Endpoint, EndpointProtocol},
    locator::v1::SourceState,
    source::v1::RetrieveDocumentRequest,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::domain::health::{Breaker, Latencies};

mod fhir;
mod grpc;
mod https;

/// Most calls to one member that are under way at once, documents that flow included.
const AT_ONCE_MAX: usize = 64;

/// Most members whose connections are kept.
const MEMBERS_MAX: usize = 1024;

/// How long an endpoint is taken for the member's. The directory is asked again after that, so that whoever is suspended is
/// not asked for long.
const ENDPOINT_TTL: Duration = Duration::from_secs(1);

/// Less time than this says nothing of a source that did not answer within it.
pub(crate) const FAIR_TIME: Duration = Duration::from_millis(400);

/// How long it is told what a member said of a patient, when it does not answer any more.
const ANSWER_TTL: Duration = Duration::from_secs(300);

/// Most answers that are remembered for each member, and the largest.
const ANSWERS_MAX: usize = 128;
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Why a source did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does not have the document, or not of this patient.
    HasNot,
    /// It did not answer in time.
    TimedOut,
    /// It refused the exchange.
    Refused,
    /// It cannot mask what must be masked.
    CannotMask,
    /// It could not be reached.
    Unreachable,
    /// It failed.
    Failed,
    /// A document ended before it was complete.
    BrokeOff,
    /// What it sent is not of the protocol's form.
    WrongForm,
    /// It did not answer the last times and was not asked.
    Resting,
    /// Too many calls to it are under way, and it was not asked.
    Busy,
    /// Its address in the directory is of no use.
    EndpointInvalid,
}

impl Failure {
    /// Returns the stable reason that a fetch gives.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::HasNot => "SOURCE_HAS_NOT",
            Self::TimedOut => "SOURCE_TIMED_OUT",
            Self::Refused => "SOURCE_REFUSED",
            Self::CannotMask => "SOURCE_CANNOT_MASK",
            Self::Unreachable | Self::Failed => "SOURCE_UNAVAILABLE",
            Self::BrokeOff => "SOURCE_BROKE_OFF",
            Self::WrongForm => "WRONG_FORM",
            Self::Resting => "SOURCE_CIRCUIT_OPEN",
            Self::Busy => "SOURCE_TOO_BUSY",
            Self::EndpointInvalid => "SOURCE_ENDPOINT_INVALID",
        }
    }

    /// False when the source was not asked, which says nothing of the document.
    pub(crate) fn tells_of_document(self) -> bool {
        !matches!(self, Self::Resting | Self::Busy | Self::EndpointInvalid)
    }

    /// Returns how the member answered, as a locate tells it.
    pub(crate) fn outcome(self) -> (SourceState, &'static str) {
        match self {
            Self::TimedOut => (SourceState::TimedOut, "TIMED_OUT"),
            Self::Refused => (SourceState::Refused, "REFUSED"),
            Self::Unreachable => (SourceState::Unavailable, "UNREACHABLE"),
            Self::Resting => (SourceState::NotAsked, "CIRCUIT_OPEN"),
            Self::Busy => (SourceState::NotAsked, "TOO_BUSY"),
            Self::EndpointInvalid => (SourceState::NotAsked, "ENDPOINT_INVALID"),
            Self::HasNot | Self::CannotMask | Self::Failed | Self::BrokeOff | Self::WrongForm => {
                (SourceState::Unavailable, "FAILED")
            }
        }
    }
}

/// What a source announces of a document before it sends it.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    /// Its unique id.
    pub(crate) unique_id: String,
    /// MIME type.
    pub(crate) mime_type: String,
    /// Size in bytes, where the source knows it beforehand.
    pub(crate) size_bytes: Option<u64>,
    /// Labels of which everything that bears them was masked.
    pub(crate) masked_labels: Vec<String>,
}

/// The bytes of a document, as they come.
pub(crate) type Chunks = BoxStream<'static, Result<Bytes, Failure>>;

/// A document that its source has begun to send.
pub(crate) struct Retrieval {
    pub(crate) announced: Announced,
    pub(crate) chunks: Chunks,
    /// How long the source took to begin.
    pub(crate) took: Duration,
    /// Held for as long as the document flows.
    _place: OwnedSemaphorePermit,
}

/// A protocol that sources speak.
#[async_trait]
trait Connector: Send + Sync {
    /// Asks for a document, until it begins to come.
    async fn retrieve(
        &self,
        context: &Context,
        wanted: &RetrieveDocumentRequest,
    ) -> Result<(Announced, Chunks), Failure>;

    /// Asks which documents of patients the member holds; returns their unique ids.
    async fn check(&self, context: &Context, patients: &[RecordReference]) -> Result<Vec<String>, Failure>;
}

/// A member's source.
pub(crate) struct Source {
    endpoint: Endpoint,
    connector: Result<Box<dyn Connector>, Failure>,
    places: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    latencies: Mutex<Latencies>,
    answers: Mutex<HashMap<Vec<RecordReference>, Said>>,
}

/// What a member said of a patient, and when.
#[derive(Clone)]
struct Said {
    at: Instant,
    unique_ids: Arc<[String]>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call under way. However it ends, also when nobody waits for it any more, the breaker hears of it.
struct Call<'a> {
    breaker: &'a Mutex<Breaker>,
    began: Instant,
}

impl Call<'_> {
    /// Notes how the call ended that had so much time.
    fn ended<T>(self, had: Duration, ended: &Result<T, Failure>) {
        let mut breaker = locked(self.breaker);
        match ended {
            // It answers, whatever it says.
            Ok(_) | Err(Failure::HasNot | Failure::Refused) => breaker.succeeded(),
            // A caller in a hurry must not have a source left alone that others would wait for.
            Err(Failure::TimedOut) if had < FAIR_TIME => {}
            Err(Failure::TimedOut | Failure::Unreachable | Failure::BrokeOff) => {
                breaker.failed(self.began.into_std(), Instant::now().into_std());
            }
            // One bad document says nothing of the others.
            Err(_) => {}
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        locked(self.breaker).ended();
    }
}

impl Source {
    fn new(endpoint: Endpoint, connector: Result<Box<dyn Connector>, Failure>) -> Self {
        Self {
            endpoint,
            connector,
            places: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            breaker: Mutex::default(),
            latencies: Mutex::default(),
            answers: Mutex::default(),
        }
    }

    /// Returns the connector, a place for one more call, and whom to tell how it ended, unless the member is left alone for now.
    fn admit(&self) -> Result<(&dyn Connector, OwnedSemaphorePermit, Call<'_>), Failure> {
        let connector = self.connector.as_ref().map_err(|failure| *failure)?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| Failure::Busy)?;
        match locked(&self.breaker).admits(Instant::now().into_std()) {
            true => Ok((connector.as_ref(), place, Call { breaker: &self.breaker, began: Instant::now() })),
            false => Err(Failure::Resting),
        }
    }

    /// Asks which documents of patients the member holds; returns their unique ids. When no answer comes in the time that its
    /// answers usually take, it is asked once more, and the first answer counts.
    pub(crate) async fn check(
        &self,
        context: &Context,
        patients: &[RecordReference],
    ) -> Result<Arc<[String]>, Failure> {
        let (connector, _place, call) = self.admit()?;
        let began = call.began;
        let most = context.deadline.saturating_duration_since(began);
        let (again_after, patience) = {
            let latencies = locked(&self.latencies);
            (latencies.again_after(), latencies.patience(most))
        };
        let context = context.within(patience);
        let asked = async {
            let first = connector.check(&context, patients);
            let second = async {
                tokio::time::sleep(again_after).await;
                connector.check(&context, patients).await
            };
            tokio::pin!(first, second);
            tokio::select! {
                // What fails at once is not mended by waiting for the second.
                answer = &mut first => answer,
                answer = &mut second => match answer {
                    Ok(answer) => Ok(answer),
                    Err(_) => first.await,
                },
            }
        };
        let answer = tokio::time::timeout_at(context.deadline, asked).await;
        let answer = answer.unwrap_or(Err(Failure::TimedOut));
        call.ended(patience, &answer);
        // What was waited for in vain counts as well: who has become slow is waited for longer.
        if answer.is_ok() || (answer == Err(Failure::TimedOut) && patience >= FAIR_TIME) {
            locked(&self.latencies).note(began.elapsed());
        }
        let unique_ids: Arc<[String]> = answer?.into();
        self.remember(patients, unique_ids.clone());
        Ok(unique_ids)
    }

    fn remember(&self, patients: &[RecordReference], unique_ids: Arc<[String]>) {
        let mut answers = locked(&self.answers);
        answers.remove(patients);
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, said| said.at.elapsed() < ANSWER_TTL);
        }
        let bytes: usize = unique_ids.iter().map(String::len).sum();
        if answers.len() < ANSWERS_MAX && bytes <= ANSWER_BYTES_MAX {
            answers.insert(patients.to_vec(), Said { at: Instant::now(), unique_ids });
        }
    }

    /// Returns what the member said of patients lately, and how long ago.
    pub(crate) fn said(&self, patients: &[RecordReference]) -> Option<(Arc<[String]>, Duration)> {
        let Said { at, unique_ids } = locked(&self.answers).get(patients).cloned()?;
        (at.elapsed() < ANSWER_TTL).then(|| (unique_ids, at.elapsed()))
    }

    /// Asks for a document, and waits so long for it to begin to come. Nothing has come yet when a source cannot be reached: it is
    /// asked once more, on a new connection.
    pub(crate) async fn retrieve(
        &self,
        context: &Context,
        within: Duration,
        wanted: &RetrieveDocumentRequest,
    ) -> Result<Retrieval, Failure> {
        let (connector, place, call) = self.admit()?;
        let began = call.began;
        let had = within.min(context.deadline.saturating_duration_since(began));
        let asked = async {
            match connector.retrieve(context, wanted).await {
                Err(Failure::Unreachable) => connector.retrieve(context, wanted).await,
                retrieved => retrieved,
            }
        };
        let retrieved = tokio::time::timeout(had, asked).await;
        let retrieved = retrieved.unwrap_or(Err(Failure::TimedOut));
        call.ended(had, &retrieved);
        let (announced, chunks) = retrieved?;
        Ok(Retrieval { announced, chunks, took: began.elapsed(), _place: place })
    }
}

/// Returns the connector for an endpoint.
fn connect(endpoint: &Endpoint, tls: impl Into<ClientTls>) -> Result<Box<dyn Connector>, Failure> {
    let tls = tls.into();
    Ok(match EndpointProtocol::try_from(endpoint.protocol) {
        Ok(EndpointProtocol::Unspecified | EndpointProtocol::Grpc) => {
            Box::new(grpc::Grpc::new(endpoint, tls)?)
        }
        Ok(EndpointProtocol::Fhir | EndpointProtocol::Mhd) => {
            Box::new(fhir::Fhir::new(endpoint, &tls.config())?)
        }
        // A protocol that only a later release knows.
        Err(_) => return Err(Failure::EndpointInvalid),
    })
}

/// The sources of all members, each made when it is first needed.
pub(crate) struct Sources {
    tls: ClientTls,
    known: Mutex<HashMap<String, Known>>,
}

/// What the directory said of a member, and when: `None` when it serves no documents.
struct Known {
    at: Instant,
    source: Option<Arc<Source>>,
    /// What it connects with.
    generation: u64,
}

impl Sources {
    pub(crate) fn new(tls: impl Into<ClientTls>) -> Self {
        Self { tls: tls.into(), known: Mutex::default() }
    }

    /// Returns what is known of a member's source: `None` inside when it has none.
    pub(crate) fn known(&self, member_id: &str) -> Option<Option<Arc<Source>>> {
        let known = locked(&self.known);
        let Known { at, source, .. } = known.get(member_id)?;
        (at.elapsed() < ENDPOINT_TTL).then(|| source.clone())
    }

    /// Notes where the directory says a member's source is, and returns it. Its connection, and what is known of it, stay for
    /// as long as it is the same place and the exchange's certificate the same.
    pub(crate) fn learn(&self, member_id: &str, endpoint: Option<Endpoint>) -> Option<Arc<Source>> {
        let mut known = locked(&self.known);
        if known.len() >= MEMBERS_MAX && !known.contains_key(member_id) {
            known.clear();
        }
        let generation = self.tls.generation();
        let before = known.remove(member_id).filter(|known| known.generation == generation);
        let before = before.and_then(|known| known.source);
        let source = endpoint.map(|endpoint| match before {
            Some(source) if source.endpoint == endpoint => source,
            _ => {
                let connector = connect(&endpoint, self.tls.clone());
                Arc::new(Source::new(endpoint, connector))
            }
        });
        known.insert(member_id.to_owned(), Known { at: Instant::now(), source: source.clone(), generation });
        source
    }
}

#[cfg(test)]
mod tests;
