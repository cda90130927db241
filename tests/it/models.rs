//! A model is learnt from the index, shown, and put in force; what stewards decided stands, and what was decided before is
//! explained by the model of its day.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::stream;
use signpost::{client::Client, config::Service, population};
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::{Demographics, HumanName, Role},
    mpi::v1::{
        DiscardModelRequest, ExplainMatchRequest, FeedPatientsRequest, GetModelRequest, LinkOutcome,
        ListLinkEventsRequest, ListModelChangesRequest, ListModelsRequest, ListReviewTasksRequest, Model,
        ModelState, PromoteModelRequest, RegisterPatientRequest, RegisterPatientResponse,
        ResolveReviewTaskRequest, ReviewState, TrainModelRequest, feed_patients_response,
        list_link_events_request::Of,
    },
};
use signpost_tests::{Cluster, MEMBERS, Topology, operator, system, user};

/// People of the population that a model is learnt from.
const PEOPLE: usize = 1_500;

/// How long learning may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn twin(given: &str) -> Demographics {
    let name = HumanName { given: vec![given.into()], family: "Holdsworth".into(), ..HumanName::default() };
    Demographics {
        names: vec![name],
        birth_date: "2015-03-04".into(),
        phones: vec!["617-555-0101".into()],
        ..Demographics::default()
    }
}

async fn register(
    cluster: &Cluster,
    member: &str,
    demographics: Demographics,
) -> anyhow::Result<RegisterPatientResponse> {
    let client = cluster.client(member, Service::Mpi)?;
    let request = RegisterPatientRequest {
        local_id: "1".into(),
        demographics: Some(demographics),
        request_id: String::new(),
    };
    Ok(client.mpi().register_patient(client.request(&system(), request)?).await?.into_inner())
}

async fn feed_population(cluster: &Cluster) -> anyhow::Result<usize> {
    let records = population::generate(PEOPLE, MEMBERS.len(), 5);
    for (number, member) in MEMBERS.iter().enumerate() {
        let client = cluster.client(member, Service::Mpi)?;
        let items = records.iter().filter(|record| record.member == number).zip(0..);
        let items = items.map(|(record, item)| FeedPatientsRequest {
            item,
            record: Some(RegisterPatientRequest {
                local_id: record.local_id.clone(),
                demographics: Some(record.demographics.clone()),
                request_id: String::new(),
            }),
        });
        let request = client.request(&system(), stream::iter(items.collect::<Vec<_>>()))?;
        let mut answers = client.mpi().feed_patients(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            let registered = matches!(answer.result, Some(feed_patients_response::Result::Registered(_)));
            ensure!(registered, "an item was refused");
        }
    }
    Ok(records.len())
}

/// Asks for a model until it is as it should be.
async fn model_when(
    stewards: &Client,
    version: &str,
    is_there: impl Fn(&Model) -> bool,
) -> anyhow::Result<Model> {
    let began = Instant::now();
    loop {
        let request = GetModelRequest { version: version.into() };
        let request = stewards.request(&operator(Role::Steward), request)?;
        let model = stewards.models().get_model(request).await?.into_inner().model.context("no model")?;
        if is_there(&model) {
            return Ok(model);
        }
        ensure!(model.failure.is_empty(), "{}", model.failure);
        if began.elapsed() > PATIENCE {
            bail!("{:?} is not there after {PATIENCE:?}: {}", model.state(), model.step);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn train(stewards: &Client, version: &str) -> Result<Model, tonic::Status> {
    let request = TrainModelRequest { version: version.into(), request_id: format!("train {version}") };
    let request = stewards
        .request(&operator(Role::Steward), request)
        .map_err(|e| tonic::Status::internal(e.to_string()))?;
    let response = stewards.models().train_model(request).await?.into_inner();
    response.model.ok_or_else(|| tonic::Status::internal("no model"))
}

fn promotion(version: &str) -> PromoteModelRequest {
    PromoteModelRequest { version: version.into(), reason: "better".into(), request_id: String::new() }
}

/// Lets a steward keep a pair of twins apart, and returns the two records.
async fn keep_twins_apart(
    cluster: &Cluster,
    stewards: &Client,
) -> anyhow::Result<[RegisterPatientResponse; 2]> {
    let first = register(cluster, "north", twin("Emma")).await?;
    let second = register(cluster, "south", twin("Ella")).await?;
    assert_eq!(second.outcome(), LinkOutcome::Review);
    let steward = operator(Role::Steward);
    let list = ListReviewTasksRequest { reason: "TWIN_PATTERN".into(), ..ListReviewTasksRequest::default() };
    let tasks = stewards.mpi().list_review_tasks(stewards.request(&steward, list)?).await?.into_inner().tasks;
    let task = tasks.into_iter().find(|task| task.record_id == second.record_id).context("no task")?;
    let (resolution, request_id) = (ReviewState::KeptApart.into(), String::new());
    let reason = String::new();
    let request = ResolveReviewTaskRequest { task_id: task.task_id, resolution, request_id, reason };
    stewards.mpi().resolve_review_task(stewards.request(&steward, request)?).await?;
    Ok([first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn twins_that_were_kept_apart_stay_apart_when_a_model_is_learnt() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let stewards = cluster.client("operator", Service::Mpi)?;
    let steward = operator(Role::Steward);
    let [first, second] = keep_twins_apart(&cluster, &stewards).await?;
    let fed = feed_population(&cluster).await?;
    let shipped = model_when(&stewards, "", |_| true).await?;
    assert_eq!(shipped.state(), ModelState::InForce);

    let begun = train(&stewards, "learnt-1").await?;
    assert_eq!((begun.state(), &begun.compared_with), (ModelState::Training, &shipped.version));
    assert_eq!(train(&stewards, "learnt-1").await?.created_at, begun.created_at, "the same request replays");
    let ready = model_when(&stewards, "learnt-1", |model| model.state() == ModelState::Ready).await?;
    assert_eq!(ready.records, fed as i64 + 2);
    let in_force = model_when(&stewards, "", |_| true).await?;
    assert_eq!(in_force.version, shipped.version, "nothing flips by itself");

    let request =
        ListModelChangesRequest { version: "learnt-1".into(), page_size: 500, ..Default::default() };
    let request = stewards.request(&steward, request)?;
    let changes = stewards.models().list_model_changes(request).await?.into_inner().changes;
    let counted: i64 = ready.changes.iter().map(|count| count.records).sum();
    assert_eq!(counted, changes.len() as i64);
    let twins = [&first.record_id, &second.record_id];
    assert!(!changes.iter().any(|c| twins.contains(&&c.record_id) && c.after == "MOVE"), "pinned");

    let request = stewards.request(&steward, promotion("learnt-1"))?;
    stewards.models().promote_model(request).await?;
    model_when(&stewards, "learnt-1", |model| model.step.is_empty()).await?;
    let again = register(&cluster, "south", twin("Emma")).await?;
    assert_eq!(again.person_id, second.person_id, "however alike they become, by the new model, too");
    let moved = changes.iter().find(|change| change.after == "MOVE").context("it moves nobody")?;
    let by_new = register(&cluster, "west", twin("Emma")).await?;
    let of = |record: &str| ListLinkEventsRequest {
        of: Some(Of::RecordId(record.to_owned())),
        ..ListLinkEventsRequest::default()
    };
    for record in [&by_new.record_id, &moved.record_id] {
        let request = stewards.request(&steward, of(record))?;
        let events = stewards.mpi().list_link_events(request).await?.into_inner().events;
        assert_eq!(events.first().context("no decision")?.model_version, "learnt-1");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_explained_by_the_model_of_their_day() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let stewards = cluster.client("operator", Service::Mpi)?;
    let steward = operator(Role::Steward);
    let first = register(&cluster, "north", twin("Emma")).await?;
    let second = register(&cluster, "south", twin("Emma")).await?;
    assert_eq!(first.person_id, second.person_id);
    feed_population(&cluster).await?;
    let of = Some(Of::RecordId(second.record_id.clone()));
    let list = ListLinkEventsRequest { of, ..ListLinkEventsRequest::default() };
    let events =
        stewards.mpi().list_link_events(stewards.request(&steward, list)?).await?.into_inner().events;
    let linked = events.first().context("no decision")?;
    let explain = |sequence| ExplainMatchRequest { sequence, ..ExplainMatchRequest::default() };
    let request = stewards.request(&steward, explain(linked.sequence))?;
    let before = stewards.mpi().explain_match(request).await?.into_inner();
    assert_eq!((before.rule.as_str(), &before.other_record_id), ("LINK", &first.record_id));
    assert!((before.total_bits - linked.weight_bits).abs() < 1e-6, "it is the weight that decided");
    assert!(!before.changed_since);

    train(&stewards, "learnt-2").await?;
    model_when(&stewards, "learnt-2", |model| model.state() == ModelState::Ready).await?;
    stewards.models().promote_model(stewards.request(&steward, promotion("learnt-2"))?).await?;
    model_when(&stewards, "learnt-2", |model| model.step.is_empty()).await?;
    register(&cluster, "north", Demographics { phones: vec![], ..twin("Emma") }).await?;
    let request = stewards.request(&steward, explain(linked.sequence))?;
    let after = stewards.mpi().explain_match(request).await?.into_inner();
    assert_eq!(after.model_version, before.model_version);
    assert!(after.changed_since, "what is compared is what they say now");
    let pair = ExplainMatchRequest {
        left_record_id: first.record_id,
        right_record_id: second.record_id,
        sequence: 0,
    };
    let today = stewards.mpi().explain_match(stewards.request(&steward, pair)?).await?.into_inner();
    assert_eq!(today.model_version, "learnt-2");
    let founded = stewards.mpi().explain_match(stewards.request(&steward, explain(1))?).await;
    assert_eq!(status::reason(&founded.err().context("nobody was there")?), "NOTHING_COMPARED");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_about_models_is_refused_with_a_reason() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let stewards = cluster.client("operator", Service::Mpi)?;
    let steward = operator(Role::Steward);
    for version in ["", "no spaces", "straße", &"v".repeat(65)] {
        let error = train(&stewards, version).await.err().context("a bad name")?;
        assert_eq!(status::field(&error), "version");
    }
    let error = stewards.models().promote_model(stewards.request(&steward, promotion("none"))?).await;
    assert_eq!(status::reason(&error.err().context("no such model")?), "MODEL_UNKNOWN");
    // Three people teach nothing.
    train(&stewards, "small").await?;
    let failed = model_when(&stewards, "small", |model| model.state() == ModelState::Failed).await?;
    assert_eq!(failed.failure, "TOO_FEW_RECORDS");
    let error = stewards.models().promote_model(stewards.request(&steward, promotion("small"))?).await;
    assert_eq!(status::reason(&error.err().context("a failed model")?), "MODEL_NOT_READY");
    let discard = DiscardModelRequest { version: "small".into(), reason: "x".into(), ..Default::default() };
    let error = stewards.models().discard_model(stewards.request(&steward, discard)?).await;
    assert_eq!(status::reason(&error.err().context("nothing to discard")?), "MODEL_NOT_READY");
    let list = stewards.request(&steward, ListModelsRequest::default())?;
    let models = stewards.models().list_models(list).await?.into_inner().models;
    let states: Vec<_> = models.iter().map(Model::state).collect();
    assert_eq!(states, [ModelState::Failed, ModelState::InForce]);
    let member = cluster.client("north", Service::Mpi)?;
    let clerk = user("kim", Role::Clerk, steward.purpose);
    let refused = member.models().promote_model(member.request(&clerk, promotion("small"))?).await;
    assert_eq!(refused.err().context("a member")?.code(), tonic::Code::PermissionDenied);
    Ok(())
}
