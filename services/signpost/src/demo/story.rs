//! The story, as a person would read it.

use std::time::Instant;

use anyhow::{Context, bail, ensure};
use signpost_common::{hash::sha256, rpc::status};
use signpost_consent::document::NetworkDefault;
use signpost_proto::{
    audit::v1::ListDisclosuresRequest,
    common::v1::{Address, Demographics, HumanName, PurposeOfUse, RecordReference, Role},
    consent::v1::{
        CreateDirectiveRequest, Directive, Effect, EmergencyReason, Match, OpenEmergencyAccessRequest,
        RevokeDirectiveRequest,
    },
    locator::v1::{
        Completion, FetchDocumentRequest, LocateRequest, PersonOutcome, Pointer, fetch_document_response,
        locate_request::Subject, locate_response,
    },
};
use tonic::Code;

use super::{
    shown,
    world::{self, ED, HOME, World},
};
use crate::cli::{show_completion, show_person, show_pointers};

/// What can be tried by hand afterwards.
pub(super) struct Told {
    pub(super) document_id: String,
    pub(super) unconscious_person_id: String,
}

/// The answer to a locate.
struct Answer {
    person: PersonOutcome,
    pointers: Vec<Pointer>,
    completion: Completion,
}

/// Tells the story.
pub(super) async fn tell(world: &World) -> anyhow::Result<Told> {
    chapter(
        1,
        "Jane Doe decides at home, in Boston: treatment may see her records, except what is psychiatric",
    );
    let directive_id = jane_decides(world).await?;
    println!("directive {directive_id}");

    chapter(
        2,
        "A thousand miles away she lies in a Denver emergency department; a misspelt name, an old address",
    );
    let began = Instant::now();
    let found = locate(world, jane(), PurposeOfUse::Treat, "").await?;
    let took = began.elapsed();
    show(&found);
    ensure!(found.pointers.len() == 3, "the story wants three of Jane's four documents to be seen");
    println!("answered in {}; a fourth document is withheld, and nothing says so", shown(took));

    chapter(3, "What must be known before the first injection: allergies and medication");
    for pointer in &found.pointers[..2] {
        fetch_and_read(world, pointer, PurposeOfUse::Treat, "").await?;
    }

    chapter(4, "An unconscious man; his wife gives name and birth date; he never permitted anything");
    let unconscious = locate(world, john(), PurposeOfUse::Treat, "").await?;
    show(&unconscious);
    ensure!(unconscious.pointers.is_empty(), "the story wants John's documents withheld");
    let person_id = unconscious.person.person_id;
    let session = open_emergency(world, &person_id).await?;
    println!("\nDr. Lee opens emergency access (session {session}); a privacy officer will review it.\n");
    let found_again = locate(world, john(), PurposeOfUse::Etreat, &session).await?;
    show(&found_again);
    let pointer = found_again.pointers.first().context("emergency access shows nothing")?;
    fetch_and_read(world, pointer, PurposeOfUse::Etreat, &session).await?;

    chapter(
        5,
        "Jane revokes; the next fetch is refused, in the words used for a document that does not exist",
    );
    jane_revokes(world, &directive_id).await?;
    match fetch(world, &found.pointers[0].document_id, PurposeOfUse::Treat, "").await {
        Err(refusal) => {
            println!("{:?} ({}): {}", refusal.code(), status::reason(&refusal), refusal.message())
        }
        Ok(_) => bail!("a document was released after its permission had been revoked"),
    }

    chapter(6, "Jane asks who looked");
    for sentence in who_looked(world).await? {
        println!("- {sentence}");
    }
    let directive_id = jane_decides(world).await?;
    println!("\nJane permits treatment again (directive {directive_id}).");
    let document_id = found.pointers[0].document_id.clone();
    Ok(Told { document_id, unconscious_person_id: person_id })
}

/// Locates people of the population one after another and prints how long it took.
///
/// They permitted nothing, and what shows nothing is delayed: for this the network permits treatment.
pub(super) async fn measure(world: &World, samples: &[Demographics]) -> anyhow::Result<()> {
    world.activate(NetworkDefault::OptOut).await?;
    let mut took = vec![];
    for demographics in samples.iter().take(200) {
        let began = Instant::now();
        locate(world, demographics.clone(), PurposeOfUse::Treat, "").await?;
        took.push(began.elapsed());
    }
    world.activate(NetworkDefault::OptIn).await?;
    took.sort();
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or_default();
    chapter(7, "How long a locate takes, from the first byte to the statement of completeness");
    println!(
        "{} people, whose documents an operator's policy shows: p50 {}, p99 {}; each is in the audit log, on disk",
        took.len(),
        shown(at(50)),
        shown(at(99))
    );
    Ok(())
}

fn chapter(number: u32, title: &str) {
    println!("\n{number}. {title}\n");
}

fn show(answer: &Answer) {
    show_person(&answer.person);
    show_pointers(&answer.pointers);
    show_completion(&answer.completion);
}

fn named(given: &str, family: &str, birth_date: &str) -> Demographics {
    Demographics {
        names: vec![HumanName { given: vec![given.into()], family: family.into(), ..HumanName::default() }],
        birth_date: birth_date.into(),
        ..Demographics::default()
    }
}

fn jane() -> Demographics {
    let old = Address { line: "12 Chestnut St".into(), postcode: "78701".into(), ..Address::default() };
    Demographics { addresses: vec![old], ..named("Jayne", "Doe", "1984-07-19") }
}

fn john() -> Demographics {
    named("John", "Roe", "1961-02-11")
}

/// Jane at the portal of her hospital.
fn jane_at_home() -> (signpost_common::rpc::token::User, RecordReference) {
    let local_id = "B-1984".to_owned();
    let user = world::user(&local_id, Role::Patient, PurposeOfUse::Patrqt);
    (user, RecordReference { member_id: HOME.into(), local_id })
}

async fn jane_decides(world: &World) -> anyhow::Result<String> {
    let (user, patient) = jane_at_home();
    let treatment = [PurposeOfUse::Treat.into(), PurposeOfUse::Etreat.into()];
    let directive = Directive {
        patient: Some(patient),
        effect: Effect::Permit.into(),
        r#match: Some(Match { purposes: treatment.into(), ..Match::default() }),
        exceptions: vec![Match { labels: vec!["PSY".into()], ..Match::default() }],
        ..Directive::default()
    };
    let client = world.member(HOME)?;
    let request_id = crate::cli::request_id();
    let request = client.request(&user, CreateDirectiveRequest { directive: Some(directive), request_id })?;
    let created = client.consent().create_directive(request).await?.into_inner().directive;
    Ok(created.context("the answer holds no directive")?.directive_id)
}

async fn jane_revokes(world: &World, directive_id: &str) -> anyhow::Result<()> {
    let (user, _) = jane_at_home();
    let client = world.member(HOME)?;
    let request = RevokeDirectiveRequest {
        directive_id: directive_id.to_owned(),
        request_id: crate::cli::request_id(),
    };
    client.consent().revoke_directive(client.request(&user, request)?).await?;
    Ok(())
}

async fn who_looked(world: &World) -> anyhow::Result<Vec<String>> {
    let (user, patient) = jane_at_home();
    let client = world.member(HOME)?;
    let request = ListDisclosuresRequest { patient: Some(patient), ..ListDisclosuresRequest::default() };
    let listed = client.audit().list_disclosures(client.request(&user, request)?).await?.into_inner();
    Ok(listed.disclosures.into_iter().map(|disclosure| disclosure.sentence).collect())
}

async fn open_emergency(world: &World, person_id: &str) -> anyhow::Result<String> {
    let client = world.member(ED)?;
    let request = OpenEmergencyAccessRequest {
        person_id: person_id.to_owned(),
        reason: EmergencyReason::Unconscious.into(),
        reason_text: "found unconscious at the roadside".into(),
        ttl_seconds: 0,
        request_id: crate::cli::request_id(),
        scope: None,
    };
    let request = client.request(&world::user("dr.lee", Role::Physician, PurposeOfUse::Etreat), request)?;
    let opened = client.emergency().open_emergency_access(request).await?.into_inner();
    Ok(opened.session.context("the answer holds no session")?.session_id)
}

async fn locate(
    world: &World,
    demographics: Demographics,
    purpose: PurposeOfUse,
    session: &str,
) -> anyhow::Result<Answer> {
    use locate_response::Message;
    let client = world.member(ED)?;
    let request = LocateRequest {
        subject: Some(Subject::Demographics(demographics)),
        emergency_session_id: session.to_owned(),
        request_id: crate::cli::request_id(),
        ..LocateRequest::default()
    };
    let request = client.request(&world::user("dr.lee", Role::Physician, purpose), request)?;
    let mut messages = client.locator().locate(request).await?.into_inner();
    let (mut person, mut pointers) = (None, vec![]);
    while let Some(message) = messages.message().await? {
        match message.message {
            Some(Message::Person(outcome)) => person = Some(outcome),
            Some(Message::Pointer(pointer)) => pointers.push(pointer),
            Some(Message::Completion(completion)) => {
                let person = person.context("the answer names no person")?;
                return Ok(Answer { person, pointers, completion });
            }
            Some(Message::Source(_)) | None => {}
        }
    }
    bail!("the answer broke off")
}

async fn fetch(
    world: &World,
    document_id: &str,
    purpose: PurposeOfUse,
    session: &str,
) -> Result<Vec<u8>, tonic::Status> {
    use fetch_document_response::Message;
    let failed = |error: anyhow::Error| tonic::Status::internal(error.to_string());
    let client = world.member(ED).map_err(failed)?;
    let request = FetchDocumentRequest {
        document_id: document_id.to_owned(),
        emergency_session_id: session.to_owned(),
        request_id: crate::cli::request_id(),
        ..FetchDocumentRequest::default()
    };
    let user = world::user("dr.lee", Role::Physician, purpose);
    let request = client.request(&user, request).map_err(failed)?;
    let mut messages = client.locator().fetch_document(request).await?.into_inner();
    let mut bytes = vec![];
    while let Some(message) = messages.message().await? {
        match message.message {
            Some(Message::Chunk(chunk)) => bytes.extend_from_slice(&chunk),
            Some(Message::Trailer(trailer)) if sha256(&bytes) == trailer.sha256[..] => return Ok(bytes),
            Some(Message::Trailer(_)) => return Err(tonic::Status::data_loss("the hash is wrong")),
            Some(Message::Header(_)) | None => {}
        }
    }
    Err(tonic::Status::new(Code::DataLoss, "the document broke off"))
}

async fn fetch_and_read(
    world: &World,
    pointer: &Pointer,
    purpose: PurposeOfUse,
    session: &str,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let bytes = fetch(world, &pointer.document_id, purpose, session).await?;
    let took = began.elapsed();
    let bundle: serde_json::Value = serde_json::from_slice(&bytes)?;
    let composition = &bundle["entry"][0]["resource"];
    let finding = composition["section"][0]["text"]["div"].as_str().unwrap_or_default();
    let finding =
        finding.trim_start_matches("<div xmlns=\"http://www.w3.org/1999/xhtml\">").trim_end_matches("</div>");
    let title = composition["title"].as_str().unwrap_or_default();
    println!("{title} from {}: {finding}", pointer.custodian);
    println!(
        "    {} bytes in {}, SHA-256 {} verified",
        bytes.len(),
        shown(took),
        hex::encode(&pointer.sha256[..6])
    );
    Ok(())
}
