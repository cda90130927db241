//! Whose records a person is made of: asked of the index when emergency access is recorded.

use signpost_common::rpc::{Context, Transport, page, status};
use signpost_proto::{
    common::v1::RecordReference,
    mpi::v1::{
        ListPersonRecordsRequest, list_person_records_request::By,
        master_patient_index_service_client::MasterPatientIndexServiceClient,
    },
};
use tonic::{Code, Status};

/// Knows the source records of persons.
#[tonic::async_trait]
pub trait Patients: Send + Sync + 'static {
    /// Returns the records of a person, or `None` when there is no such person.
    async fn records(
        &self,
        context: &Context,
        person_id: String,
    ) -> Result<Option<Vec<RecordReference>>, Status>;
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

#[tonic::async_trait]
impl Patients for Index {
    async fn records(
        &self,
        context: &Context,
        person_id: String,
    ) -> Result<Option<Vec<RecordReference>>, Status> {
        let by = Some(By::PersonId(person_id));
        let request = ListPersonRecordsRequest { by, page_size: page::SIZE_MAX, page_token: String::new() };
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
