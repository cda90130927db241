//! No patient data in a log or an error, however much is logged.

use anyhow::Context;
use signpost::config::Service;
use signpost_proto::{
    common::v1::{Address, Demographics, HumanName, Identifier, RecordReference},
    consent::v1::{CreateDirectiveRequest, Directive, Effect, Match},
    mpi::v1::{GetPersonRequest, RegisterPatientRequest, get_person_request::By},
};
use signpost_tests::{Cluster, Topology, find::locate, patient, physician, system};

/// Values that could only come from a patient's data.
const SECRETS: [&str; 8] = [
    "Zebediah",
    "Quillfeather",
    "1931-12-30",
    "Xylophone Crossing",
    "5550177",
    "zeb@quill.example",
    "SSN-4711",
    "MRN-9001",
];

fn person() -> Demographics {
    Demographics {
        names: vec![HumanName {
            given: vec!["Zebediah".into()],
            family: "Quillfeather".into(),
            ..HumanName::default()
        }],
        birth_date: "1931-12-30".into(),
        addresses: vec![Address { line: "7 Xylophone Crossing".into(), ..Address::default() }],
        phones: vec!["617-5550177".into()],
        emails: vec!["zeb@quill.example".into()],
        identifiers: vec![Identifier { system: "urn:ssn".into(), value: "SSN-4711".into() }],
        ..Demographics::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_holds_everything_holds_no_patient() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::OneProcess).without_sources().logging_everything();
    let cluster = builder.start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let record = |local_id: &str, demographics| RegisterPatientRequest {
        local_id: local_id.into(),
        demographics: Some(demographics),
        request_id: "r1".into(),
    };
    client.mpi().register_patient(client.request(&system(), record("MRN-9001", person()))?).await?;
    locate(&client, &physician(), &person()).await?;
    // What is refused must not be quoted either.
    let mut errors = vec![];
    let wrong = Demographics { phones: vec!["617-5550177\0".into()], ..person() };
    errors.push(
        client.mpi().register_patient(client.request(&system(), record("MRN-9001", wrong))?).await.map(drop),
    );
    let wrong = Demographics { birth_date: "1931-12-30 Zebediah".into(), ..person() };
    errors.push(
        client.mpi().register_patient(client.request(&system(), record("MRN-9001", wrong))?).await.map(drop),
    );
    errors.push(
        client
            .mpi()
            .register_patient(client.request(&system(), record("MRN-9001 ", person()))?)
            .await
            .map(drop),
    );
    let reused = Demographics { emails: vec![], ..person() };
    errors.push(
        client.mpi().register_patient(client.request(&system(), record("MRN-9001", reused))?).await.map(drop),
    );
    let foreign = RecordReference { member_id: "south".into(), local_id: "MRN-9001".into() };
    let request = client
        .request(&physician(), GetPersonRequest { by: Some(By::Record(foreign.clone())), as_of: None })?;
    errors.push(client.mpi().get_person(request).await.map(drop));
    let directive = Directive {
        patient: Some(foreign),
        effect: Effect::Deny.into(),
        r#match: Some(Match::default()),
        ..Directive::default()
    };
    let request = CreateDirectiveRequest { directive: Some(directive), request_id: "r2".into() };
    errors.push(
        client.consent().create_directive(client.request(&patient("MRN-9001"), request)?).await.map(drop),
    );
    for error in errors {
        let error = error.err().context("nonsense was accepted")?;
        let shown = format!("{error} {error:?} {}", String::from_utf8_lossy(error.details()));
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let log = cluster.log()?;
    assert!(log.contains("RegisterPatient"), "the log says nothing");
    for secret in SECRETS {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
    Ok(())
}
