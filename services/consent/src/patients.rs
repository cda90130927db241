//! Whose records a person is made of, and whether a patient is known: asked of the index.

use signpost_common::{
    id::RecordRef,
    rpc::{Context, Transport, page, status},
};
use signpost_proto::{
    common::v1::RecordReference,
    mpi::v1::{
        ListPersonRecordsRequest, list_person_records_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
};
use tonic::{Code, Status};

use crate::convert;

/// Knows the source records of persons.
#[tonic::async_trait]
pub trait Patients: Send + Sync + 'static {
    /// Returns the records of a person, or `None` when there is no such person.
    async fn records(
        &self,
        context: &Context,
        person_id: String,
    ) -> Result<Option<Vec<RecordReference>>, Status>;

    /// Returns whether a record is known.
    async fn knows(&self, context: &Context, record: &RecordRef) -> Result<bool, Status>;
}

/// Asks the master patient index.
#[derive(Debug)]
pub struct Index(MasterPatientIndexServiceClient<Transport>);

impl Index {
    /// Asks through a transport.
    pub fn new(mpi: Transport) -> Self {
        Self(MasterPatientIndexServiceClient::new(mpi))
    }
}

impl Index {
    async fn list(
        &self,
        context: &Context,
        by: By,
        page_size: i32,
    ) -> Result<Option<Vec<RecordReference>>, Status> {
        let request = ListPersonRecordsRequest { by: Some(by), page_size, page_token: String::new() };
        match self.0.clone().list_person_records(context.request(request)).await {
            Ok(answer) => {
                Ok(Some(answer.into_inner().records.into_iter().filter_map(|r| r.record).collect()))
            }
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => {
                tracing::error!(code = ?error.code(), "index does not answer");
                Err(status::unavailable("INDEX_UNAVAILABLE", "the index does not answer; try again"))
            }
        }
    }
}

#[tonic::async_trait]
impl Patients for Index {
    async fn records(
        &self,
        context: &Context,
        person_id: String,
    ) -> Result<Option<Vec<RecordReference>>, Status> {
        self.list(context, By::PersonId(person_id), page::SIZE_MAX).await
    }

    async fn knows(&self, context: &Context, record: &RecordRef) -> Result<bool, Status> {
        let by = By::Record(convert::record_to_proto(record));
        Ok(self.list(context, by, 1).await?.is_some())
    }
}
