//! Nonsense: each is refused with the path of the field at fault; nothing of it is stored, nothing else is lost.

use anyhow::Context;
use futures_util::stream;
use signpost::config::Service;
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::{Address, Coding, Demographics, HumanName, Identifier, RecordReference, Role},
    consent::v1::{CreateDirectiveRequest, Directive, Effect, Match},
    locator::v1::{LocateRequest, locate_request::Subject},
    mpi::v1::{
        FeedPatientsRequest, GetPersonRequest, MatchPatientRequest, RegisterPatientRequest,
        feed_patients_response, get_person_request::By,
    },
    registry::v1::{DocumentEntry, RegisterDocumentRequest, SearchDocumentsRequest},
};
use signpost_tests::{Cluster, Topology, find, operator, patient, physician, system};
use tonic::{Code, Status};

fn person() -> Demographics {
    Demographics {
        names: vec![HumanName { given: vec!["Jane".into()], family: "Doe".into(), ..HumanName::default() }],
        birth_date: "1984-07-19".into(),
        ..Demographics::default()
    }
}

fn named(given: &str, family: &str) -> Vec<HumanName> {
    vec![HumanName { given: vec![given.into()], family: family.into(), ..HumanName::default() }]
}

/// Demographics that are wrong, with the path of what is wrong in them.
fn nonsense() -> Vec<(&'static str, Demographics)> {
    let p = person;
    let long = "x".repeat(257);
    vec![
        ("names", Demographics { names: vec![], ..p() }),
        ("names[0]", Demographics { names: named("", " "), ..p() }),
        ("names[0].given[0]", Demographics { names: named("Ja\0ne", "Doe"), ..p() }),
        ("names[0].family", Demographics { names: named("Jane", &long), ..p() }),
        ("names[0].use", Demographics { names: vec![HumanName { r#use: 77, ..p().names.remove(0) }], ..p() }),
        ("names", Demographics { names: vec![p().names.remove(0); 17], ..p() }),
        ("birth_date", Demographics { birth_date: "1984-02-30".into(), ..p() }),
        ("birth_date", Demographics { birth_date: "19840719".into(), ..p() }),
        ("birth_date", Demographics { birth_date: "2984-07-19".into(), ..p() }),
        ("sex", Demographics { sex: 42, ..p() }),
        (
            "addresses[0].line",
            Demographics { addresses: vec![Address { line: "\u{7}".into(), ..Address::default() }], ..p() },
        ),
        ("phones[0]", Demographics { phones: vec![long], ..p() }),
        (
            "identifiers[0].value",
            Demographics { identifiers: vec![Identifier { system: "s".into(), value: " ".into() }], ..p() },
        ),
        ("multiple_birth_order", Demographics { multiple_birth_order: 99, ..p() }),
    ]
}

fn assert_invalid(answer: Result<(), Status>, field: &str) {
    let error = answer.err().unwrap_or_else(|| Status::ok(format!("{field} was accepted")));
    assert_eq!(
        (error.code(), status::field(&error).as_str()),
        (Code::InvalidArgument, field),
        "{}",
        error.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn demographics_are_checked_wherever_they_come_in() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    for (i, (field, demographics)) in nonsense().into_iter().enumerate() {
        let path = format!("demographics.{field}");
        let request = RegisterPatientRequest {
            local_id: format!("bad-{i}"),
            demographics: Some(demographics.clone()),
            request_id: String::new(),
        };
        let answer = client.mpi().register_patient(client.request(&system(), request)?).await;
        assert_invalid(answer.map(drop), &path);
        let request = MatchPatientRequest { demographics: Some(demographics.clone()) };
        let answer = client.mpi().match_patient(client.request(&physician(), request)?).await;
        assert_invalid(answer.map(drop), &path);
        let subject = Some(Subject::Demographics(demographics));
        let request = LocateRequest { subject, ..LocateRequest::default() };
        let answer = client.locator().locate(client.request(&physician(), request)?).await;
        assert_invalid(answer.map(drop), &path);
        // Nothing of it was stored.
        let record = RecordReference { member_id: "north".into(), local_id: format!("bad-{i}") };
        let request = GetPersonRequest { by: Some(By::Record(record)), as_of: None };
        let answer = client.mpi().get_person(client.request(&physician(), request)?).await;
        assert_eq!(answer.map(drop).err().map(|error| error.code()), Some(Code::NotFound));
    }
    let alone = Demographics { birth_date: String::new(), ..person() };
    let request = MatchPatientRequest { demographics: Some(alone) };
    let answer = client.mpi().match_patient(client.request(&physician(), request)?).await;
    assert_invalid(answer.map(drop), "demographics");
    for local_id in ["", " x", "a\0b", &"x".repeat(129)] {
        let request = RegisterPatientRequest {
            local_id: local_id.into(),
            demographics: Some(person()),
            request_id: String::new(),
        };
        let answer = client.mpi().register_patient(client.request(&system(), request)?).await;
        assert_invalid(answer.map(drop), "local_id");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_goes_on_past_what_is_bad() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let mut items = vec![];
    for (i, (_, demographics)) in nonsense().into_iter().enumerate() {
        items.push((
            format!("good-{i}"),
            Some(Demographics { names: named("Jane", &format!("Doe{i}")), ..person() }),
        ));
        items.push((format!("bad-{i}"), Some(demographics)));
    }
    items.push(("nothing".into(), None));
    items.push(("good-last".into(), Some(person())));
    let requests: Vec<_> = items
        .iter()
        .zip(0..)
        .map(|((local_id, demographics), item)| FeedPatientsRequest {
            item,
            record: Some(RegisterPatientRequest {
                local_id: local_id.clone(),
                demographics: demographics.clone(),
                request_id: String::new(),
            }),
        })
        .chain([FeedPatientsRequest { item: 999, record: None }])
        .collect();
    let sent = requests.len();
    let mut answers =
        client.mpi().feed_patients(client.request(&system(), stream::iter(requests))?).await?.into_inner();
    let mut seen = 0;
    while let Some(answer) = answers.message().await? {
        let good = items.get(answer.item as usize).is_some_and(|(local_id, _)| local_id.starts_with("good"));
        match answer.result.context("an empty answer")? {
            feed_patients_response::Result::Registered(_) => {
                assert!(good, "item {} was accepted", answer.item)
            }
            feed_patients_response::Result::Error(error) => {
                assert!(!good, "item {} was refused: {}", answer.item, error.field);
                assert_eq!(error.reason, "INVALID_FIELD");
                assert!(!error.field.is_empty() && !error.message.contains("Jane"));
            }
        }
        seen += 1;
    }
    assert_eq!(seen, sent);
    Ok(())
}

fn document() -> DocumentEntry {
    DocumentEntry {
        unique_id: "urn:doc:1".into(),
        patient: Some(RecordReference { member_id: "north".into(), local_id: "1".into() }),
        type_code: Some(Coding { code: "34133-9".into(), ..Coding::default() }),
        mime_type: "application/pdf".into(),
        size_bytes: 3,
        sha256: vec![7; 32],
        ..DocumentEntry::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_are_checked() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Registry)?;
    let register = async |entry: DocumentEntry| -> anyhow::Result<Result<(), Status>> {
        let request = RegisterDocumentRequest { entry: Some(entry), request_id: String::new() };
        let answer = client.registry().register_document(client.request(&system(), request)?).await;
        Ok(answer.map(drop))
    };
    let d = document;
    let wrong = [
        ("entry.unique_id", DocumentEntry { unique_id: String::new(), ..d() }),
        ("entry.unique_id", DocumentEntry { unique_id: "a\0b".into(), ..d() }),
        ("entry.sha256", DocumentEntry { sha256: vec![1; 31], ..d() }),
        ("entry.mime_type", DocumentEntry { mime_type: "pdf".into(), ..d() }),
        ("entry.stability", DocumentEntry { stability: 9, ..d() }),
        ("entry.type_code.code", DocumentEntry { type_code: Some(Coding::default()), ..d() }),
        (
            "entry.patient.local_id",
            DocumentEntry {
                patient: Some(RecordReference { member_id: "north".into(), local_id: String::new() }),
                ..d()
            },
        ),
    ];
    for (field, entry) in wrong {
        assert_invalid(register(entry).await?, field);
    }
    assert!(register(d()).await?.is_ok());
    assert!(register(d()).await?.is_ok(), "the same again is harmless");
    let other = register(DocumentEntry { sha256: vec![8; 32], ..d() }).await?.err().context("accepted")?;
    assert_eq!((other.code(), status::reason(&other).as_str()), (Code::AlreadyExists, "NON_IDENTICAL_HASH"));
    let foreign = RecordReference { member_id: "south".into(), local_id: "1".into() };
    let foreign =
        register(DocumentEntry { patient: Some(foreign), ..d() }).await?.err().context("accepted")?;
    assert_eq!((foreign.code(), status::reason(&foreign).as_str()), (Code::PermissionDenied, "NOT_YOUR_OWN"));
    let request = SearchDocumentsRequest::default();
    let answer = client.registry().search_documents(client.request(&physician(), request)?).await;
    assert_invalid(answer.map(drop), "patients");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn directives_are_checked() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Consent)?;
    let good = || Directive {
        patient: Some(RecordReference { member_id: "north".into(), local_id: "1".into() }),
        effect: Effect::Deny.into(),
        r#match: Some(Match::default()),
        ..Directive::default()
    };
    let create = async |directive: Directive, request_id: &str| -> anyhow::Result<Result<(), Status>> {
        let request = CreateDirectiveRequest { directive: Some(directive), request_id: request_id.into() };
        let answer = client.consent().create_directive(client.request(&patient("1"), request)?).await;
        Ok(answer.map(drop))
    };
    let with = |m: Match| Directive { r#match: Some(m), ..good() };
    let wrong = [
        ("directive.effect", Directive { effect: 0, ..good() }),
        ("directive.effect", Directive { effect: 7, ..good() }),
        ("directive.match.purposes[0]", with(Match { purposes: vec![99], ..Match::default() })),
        (
            "directive.match.requesters[1]",
            with(Match { requesters: vec!["a".into(), "B B".into()], ..Match::default() }),
        ),
        ("directive.match.labels", with(Match { labels: vec!["N".into(); 65], ..Match::default() })),
    ];
    for (field, directive) in wrong {
        assert_invalid(create(directive, "r").await?, field);
    }
    assert_invalid(create(good(), "").await?, "request_id");
    let record = RegisterPatientRequest {
        local_id: "1".into(),
        demographics: Some(person()),
        request_id: String::new(),
    };
    client.mpi().register_patient(client.request(&system(), record)?).await?;
    assert!(create(good(), "r").await?.is_ok());
    let reused = create(Directive { effect: Effect::Permit.into(), ..good() }, "r")
        .await?
        .err()
        .context("accepted")?;
    assert_eq!(status::reason(&reused), "REQUEST_ID_REUSED");
    let someone = Directive {
        patient: Some(RecordReference { member_id: "north".into(), local_id: "2".into() }),
        ..good()
    };
    let refusal = create(someone, "s").await?.err().context("accepted")?;
    assert_eq!(status::reason(&refusal), "NOT_YOUR_OWN");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_5_mib_is_refused_and_the_connection_lives() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let request = RegisterPatientRequest {
        local_id: "x".repeat(5 << 20),
        demographics: Some(person()),
        request_id: String::new(),
    };
    let answer = client.mpi().register_patient(client.request(&system(), request)?).await;
    let error = answer.map(drop).err().context("it was accepted")?;
    assert!(matches!(error.code(), Code::OutOfRange | Code::ResourceExhausted), "{error:?}");
    let request = RegisterPatientRequest {
        local_id: "1".into(),
        demographics: Some(person()),
        request_id: String::new(),
    };
    client.mpi().register_patient(client.request(&system(), request)?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_tokens_and_pages_are_checked() -> anyhow::Result<()> {
    use signpost_proto::mpi::v1::{ExplainMatchRequest, LinkRequest, ListReviewTasksRequest};
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("operator", Service::Mpi)?;
    let steward = operator(Role::Steward);
    let request = LinkRequest { record_id: "1; DROP TABLE person".into(), ..LinkRequest::default() };
    assert_invalid(client.mpi().link(client.request(&steward, request)?).await.map(drop), "record_id");
    let request = ExplainMatchRequest::default();
    assert_invalid(
        client.mpi().explain_match(client.request(&steward, request)?).await.map(drop),
        "left_record_id",
    );
    let request = ListReviewTasksRequest { page_size: -1, ..ListReviewTasksRequest::default() };
    assert_invalid(
        client.mpi().list_review_tasks(client.request(&steward, request)?).await.map(drop),
        "page_size",
    );
    let request =
        ListReviewTasksRequest { page_token: "nonsense".into(), ..ListReviewTasksRequest::default() };
    assert_invalid(
        client.mpi().list_review_tasks(client.request(&steward, request)?).await.map(drop),
        "page_token",
    );
    let request = ListReviewTasksRequest { state: 12, ..ListReviewTasksRequest::default() };
    assert_invalid(
        client.mpi().list_review_tasks(client.request(&steward, request)?).await.map(drop),
        "state",
    );
    let locator = cluster.client("north", Service::Locator)?;
    let answer = find::locate_with(&locator, &physician(), LocateRequest::default()).await;
    let error = answer.map(drop).err().context("accepted")?.downcast::<Status>()?;
    assert_invalid(Err(error), "subject");
    Ok(())
}
