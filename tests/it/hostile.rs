//! What a hostile member sends: another's records, text that is code elsewhere, characters that look like others, addresses
//! inside of the exchange.

use anyhow::{Context, ensure};
use signpost::config::Service;
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::{Demographics, HumanName, Identifier, RecordReference},
    directory::v1::{Endpoint, EndpointProtocol, SetEndpointRequest},
    mpi::v1::{GetPersonRequest, RegisterPatientRequest, get_person_request::By},
    registry::v1::{
        DeprecateDocumentRequest, GetDocumentRequest, RegisterDocumentRequest, ReplaceDocumentRequest,
    },
};
use signpost_tests::{
    Cluster, Topology,
    find::locate,
    physician,
    scenario::{Paper, person, record, register, two_documents},
    system,
};
use tonic::{Code, Status};

fn refusal<T>(answer: Result<T, Status>) -> anyhow::Result<(Code, String)> {
    let error = answer.err().context("it was accepted")?;
    Ok((error.code(), status::reason(&error)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_cannot_write_what_is_anothers() -> anyhow::Result<()> {
    let (cluster, documents) = two_documents().await?;
    let (north, south) =
        (cluster.client("north", Service::Registry)?, cluster.client("south", Service::Registry)?);
    let of_north = Paper::new("forged.txt", 0).entry("north");
    // A pointer to another's patient, in another's name, and in place of another's.
    let request = RegisterDocumentRequest { entry: Some(of_north.clone()), request_id: String::new() };
    let written = south.registry().register_document(south.request(&system(), request)?).await;
    assert_eq!(refusal(written)?, (Code::PermissionDenied, "NOT_YOUR_OWN".into()));
    for entry in [of_north, Paper::new("forged.txt", 0).entry("south")] {
        let (document_id, request_id) = (documents[0].clone(), "replace".to_owned());
        let request = ReplaceDocumentRequest { document_id, entry: Some(entry), request_id };
        let replaced = south.registry().replace_document(south.request(&system(), request)?).await;
        let (code, reason) = refusal(replaced)?;
        ensure!(
            [(Code::NotFound, "DOCUMENT_UNKNOWN"), (Code::PermissionDenied, "NOT_YOUR_OWN")]
                .contains(&(code, &*reason)),
            "{code:?} {reason}"
        );
    }
    let request = DeprecateDocumentRequest { document_id: documents[0].clone(), request_id: "gone".into() };
    let withdrawn = south.registry().deprecate_document(south.request(&system(), request)?).await;
    assert_eq!(refusal(withdrawn)?, (Code::NotFound, "DOCUMENT_UNKNOWN".into()), "as if it were not there");
    let request = GetDocumentRequest { document_id: documents[0].clone(), as_of: None };
    let entry = north.registry().get_document(north.request(&system(), request)?).await?.into_inner();
    assert_eq!(entry.entry.context("no entry")?.unique_id, "north.txt", "it stands as it stood");
    // A patient is always the caller's own: the same local id at south is another record.
    let changed = RegisterPatientRequest { demographics: Some(person(7)), ..record(1) };
    south.mpi().register_patient(south.request(&system(), changed)?).await?;
    let located = locate(&north, &physician(), &person(1)).await?;
    let shown = located.pointers.iter().any(|pointer| pointer.document_id == documents[0]);
    ensure!(shown, "north's patient is north's");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_code_elsewhere_is_text_here() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    let texts = [
        "Robert'); DROP TABLE source_record;--",
        "' OR '1'='1",
        "100%_x\\",
        "$1 ${jndi:ldap://x} {{7*7}}",
        "\"><script>alert(1)</script>",
        "../../etc/passwd",
    ];
    for (at, text) in texts.into_iter().enumerate() {
        let demographics = Demographics {
            names: vec![HumanName {
                given: vec![text.into()],
                family: format!("Smith{at}"),
                ..HumanName::default()
            }],
            birth_date: format!("1970-01-{:02}", at + 2),
            identifiers: vec![Identifier { system: "urn:x".into(), value: text.into() }],
            ..Demographics::default()
        };
        let request = RegisterPatientRequest {
            local_id: text.into(),
            demographics: Some(demographics.clone()),
            request_id: text.into(),
        };
        let registered =
            client.mpi().register_patient(client.request(&system(), request)?).await?.into_inner();
        let by = Some(By::Record(RecordReference { member_id: "north".into(), local_id: text.into() }));
        let person = client
            .mpi()
            .get_person(client.request(&physician(), GetPersonRequest { by, as_of: None })?)
            .await?;
        let person = person.into_inner().person.context("no person")?;
        assert_eq!(person.person_id, registered.person_id, "{text}");
        let located = locate(&client, &physician(), &demographics).await?;
        assert_eq!(located.person.person_id, registered.person_id, "{text}");
        let mut entry = Paper::new("file", 0).entry("north");
        entry.unique_id = text.into();
        entry.patient = Some(RecordReference { member_id: "north".into(), local_id: text.into() });
        let document_id = register(&cluster, "north", entry).await?;
        let got = client
            .registry()
            .get_document(client.request(&system(), GetDocumentRequest { document_id, as_of: None })?)
            .await?;
        assert_eq!(got.into_inner().entry.context("no entry")?.unique_id, text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn characters_that_deceive_the_eye_are_refused_or_make_no_one_else() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Mpi)?;
    // Overrides of direction, and what is not seen at all.
    for (at, family) in
        ["Smi\u{202e}th", "\u{2066}Smith", "Smi\u{200b}th", "Smith\u{7}", "Smi\0th"].into_iter().enumerate()
    {
        let names =
            vec![HumanName { given: vec!["Jane".into()], family: family.into(), ..HumanName::default() }];
        let demographics = Some(Demographics { names, ..person(1) });
        let request =
            RegisterPatientRequest { local_id: format!("B{at}"), demographics, request_id: String::new() };
        let answer = client.mpi().register_patient(client.request(&system(), request)?).await;
        let error = answer.err().with_context(|| format!("{family:?} was accepted"))?;
        assert_eq!(
            (error.code(), status::field(&error).as_str()),
            (Code::InvalidArgument, "demographics.names[0].family")
        );
        ensure!(!error.message().contains("Smi"), "patient data in an error");
    }
    // Letters of another alphabet that look the same are another local id, and never another member.
    let latin = RegisterPatientRequest { local_id: "PA".into(), ..record(1) };
    let names =
        vec![HumanName { given: vec!["Otto".into()], family: "Zweig".into(), ..HumanName::default() }];
    let other = Demographics { names, birth_date: "1931-03-02".into(), ..Demographics::default() };
    let greek =
        RegisterPatientRequest { local_id: "P\u{391}".into(), demographics: Some(other), ..record(2) };
    let mut persons = vec![];
    for request in [latin, greek] {
        let answer = client.mpi().register_patient(client.request(&system(), request)?).await?;
        persons.push(answer.into_inner().person_id);
    }
    ensure!(persons[0] != persons[1], "two local ids are two records");
    let member_id = "n\u{43e}rth".to_owned();
    let by = Some(By::Record(RecordReference { member_id, local_id: "PA".into() }));
    let answer =
        client.mpi().get_person(client.request(&physician(), GetPersonRequest { by, as_of: None })?).await;
    assert_eq!(refusal(answer)?.0, Code::InvalidArgument, "a member's id is of Latin letters");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_comes_again_with_another_body_is_told() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Registry)?;
    client.mpi().register_patient(client.request(&system(), record(1))?).await?;
    let first = Paper::new("a.txt", 0).entry("north");
    register(&cluster, "north", first.clone()).await?;
    let replayed = register(&cluster, "north", first.clone()).await?;
    for (change, reason) in [
        (
            signpost_proto::registry::v1::DocumentEntry { sha256: vec![9; 32], ..first.clone() },
            "NON_IDENTICAL_HASH",
        ),
        (
            signpost_proto::registry::v1::DocumentEntry { mime_type: "text/html".into(), ..first.clone() },
            "NON_IDENTICAL_ENTRY",
        ),
    ] {
        let request = RegisterDocumentRequest { entry: Some(change), request_id: String::new() };
        let answer = client.registry().register_document(client.request(&system(), request)?).await;
        assert_eq!(refusal(answer)?, (Code::AlreadyExists, reason.into()));
    }
    let replace = |file: &str| ReplaceDocumentRequest {
        document_id: replayed.clone(),
        entry: Some(Paper::new(file, 0).entry("north")),
        request_id: "once".into(),
    };
    let once =
        client.registry().replace_document(client.request(&system(), replace("b.txt"))?).await?.into_inner();
    let again =
        client.registry().replace_document(client.request(&system(), replace("b.txt"))?).await?.into_inner();
    assert_eq!(once, again, "the same is done once");
    let other = client.registry().replace_document(client.request(&system(), replace("c.txt"))?).await;
    assert_eq!(refusal(other)?, (Code::AlreadyExists, "REQUEST_ID_REUSED".into()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_leads_to_the_metadata_of_a_machine() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::InProcess).without_sources().start().await?;
    let client = cluster.client("north", Service::Directory)?;
    for (uri, protocol) in [
        ("https://169.254.169.254:80", EndpointProtocol::Grpc),
        ("https://169.254.169.254:443/fhir", EndpointProtocol::Fhir),
        ("https://[fe80::1]:443/fhir", EndpointProtocol::Mhd),
        ("https://[::ffff:169.254.169.254]:443", EndpointProtocol::Grpc),
        ("https://[fd00:ec2::254]:443", EndpointProtocol::Grpc),
        ("https://0.0.0.0:7443", EndpointProtocol::Grpc),
        ("https://2852039166:443", EndpointProtocol::Grpc),
        ("https://0xa9fea9fe:443", EndpointProtocol::Grpc),
        ("https://169.254.43518:443/fhir", EndpointProtocol::Fhir),
        ("https://0251.0376.0251.0376:443", EndpointProtocol::Grpc),
        ("https://169.254.169.254.:443", EndpointProtocol::Grpc),
        ("https://[64:ff9b::a9fe:a9fe]:443", EndpointProtocol::Grpc),
        ("http://north.example:80", EndpointProtocol::Grpc),
        ("file:///etc/passwd", EndpointProtocol::Fhir),
        ("https://user@north.example:443/fhir", EndpointProtocol::Fhir),
    ] {
        let endpoint =
            Endpoint { uri: uri.into(), tls_server_name: "north".into(), protocol: protocol.into() };
        let request = SetEndpointRequest {
            member_id: "north".into(),
            endpoint: Some(endpoint),
            request_id: String::new(),
        };
        let answer = client.directory().set_endpoint(client.request(&system(), request)?).await;
        let error = answer.err().with_context(|| format!("{uri} was accepted"))?;
        assert_eq!(
            (error.code(), status::field(&error).as_str()),
            (Code::InvalidArgument, "endpoint.uri"),
            "{uri}"
        );
    }
    Ok(())
}
