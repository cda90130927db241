//! One patient summary out of documents of two members, and what becomes of those that cannot be read.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use signpost_tests::{Cluster, DocumentFile, Topology, write_index};

use crate::{command::Ran, policy::call};

async fn well(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    call(cluster, arguments).await?.well()
}

/// An allergy to penicillin, as a FHIR resource of one member says it.
fn allergy(verification: &str, severity: &str) -> String {
    let status = |code: &str| {
        json!({"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification", "code": code
        }]})
    };
    let clinical = json!({"coding": [{
        "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": "active"
    }]});
    let mut resource = json!({
        "resourceType": "AllergyIntolerance",
        "verificationStatus": status(verification),
        "code": {"coding": [{
            "system": "http://snomed.info/sct", "code": "764146007", "display": "Penicillin"
        }]},
        "patient": {"display": "Rosa"},
        "criticality": severity,
    });
    if verification != "refuted" {
        resource["clinicalStatus"] = clinical;
    }
    resource.to_string()
}

/// Adds a member's documents of Rosa: name, MIME type and content of each.
async fn add(cluster: &Cluster, member: &str, documents: &[(&str, &str, &str, &[u8])]) -> anyhow::Result<()> {
    let people = format!(
        "mrn,given,family,birth_date,sex,phone\n{member}-1,Rosa,Delgado,1990-09-09,female,212-555-0187\n"
    );
    fs::write(cluster.dir().join("people.csv"), people)?;
    well(cluster, &["import", "people", "people.csv", "--as", member]).await?;
    let folder = cluster.documents(member);
    let mut files = vec![];
    for (file, mime_type, labels, content) in documents {
        fs::write(folder.join(file), content)?;
        files.push(DocumentFile {
            local_id: format!("{member}-1"),
            file: (*file).into(),
            mime_type: (*mime_type).into(),
            type_code: "48765-2".into(),
            labels: (*labels).into(),
        });
    }
    write_index(&folder, &files)?;
    let folder = folder.to_str().context("path")?;
    well(cluster, &["import", "documents", folder, "--as", member]).await?;
    Ok(())
}

async fn summary(cluster: &Cluster, person: &str, more: &[&str]) -> anyhow::Result<Ran> {
    let arguments = [&["summary", person, "--as=west", "--user=dr.lee", "--out=summary.json"][..], more];
    call(cluster, &arguments.concat()).await
}

fn bundle(cluster: &Cluster) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&fs::read(cluster.dir().join("summary.json"))?)?)
}

/// Returns how many resources of a type a bundle holds.
fn count(bundle: &Value, kind: &str) -> usize {
    let entries = bundle["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter(|entry| entry["resource"]["resourceType"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_holds_what_may_be_seen_and_names_what_it_could_not_read() -> anyhow::Result<()> {
    let cluster = Cluster::builder(Topology::OneProcess).start().await?;
    let (confirmed, refuted) = (allergy("confirmed", "high"), allergy("refuted", "low"));
    let fhir = "application/fhir+json";
    let north = [
        ("a.json", fhir, "N", confirmed.as_bytes()),
        ("scan.pdf", "application/pdf", "N", b"%PDF".as_slice()),
        ("broken.json", fhir, "N", b"{\"resourceType\": ".as_slice()),
    ];
    add(&cluster, "north", &north).await?;
    let again = allergy("confirmed", "high");
    let south = [("b.json", fhir, "N", again.as_bytes()), ("c.json", fhir, "R|PSY", refuted.as_bytes())];
    add(&cluster, "south", &south).await?;
    well(&cluster, &["directive", "deny", "south-1", "--as=south", "--label=PSY"]).await?;

    let rosa = ["--given=Rosa", "--family=Delgado", "--birth-date=1990-09-09", "--phone=212-555-0187"];
    let out = well(&cluster, &[["locate", "--as=west", "--user=dr.lee"].as_slice(), &rosa].concat()).await?;
    let person = out.split_whitespace().nth(1).context(out.clone())?.to_owned();
    let told = summary(&cluster, &person, &[]).await?.well()?;
    for words in ["TYPE_NOT_READ", "BROKEN_JSON", "1 entry of 2 statements", "assembled by a machine"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    ensure!(!told.contains("conflict"), "what is hidden must not show: {told}");
    let made = bundle(&cluster)?;
    assert_eq!((made["resourceType"].as_str(), made["type"].as_str()), (Some("Bundle"), Some("document")));
    assert_eq!((count(&made, "Composition"), count(&made, "AllergyIntolerance")), (1, 1));

    // What the patient hides no longer contradicts what is left.
    let listed = well(&cluster, &["directive", "list", "south-1", "--as=south"]).await?;
    let directive = listed.lines().nth(1).and_then(|line| line.split_whitespace().next());
    well(&cluster, &["directive", "revoke", directive.context("no directive")?, "--as=south"]).await?;
    let told = summary(&cluster, &person, &[]).await?.well()?;
    assert!(told.contains("conflict ") && told.contains("3 statements"), "{told}");
    assert_eq!(count(&bundle(&cluster)?, "AllergyIntolerance"), 2);

    let accounted = well(&cluster, &["disclosures", "north-1", "--as=north"]).await?;
    assert!(accounted.contains("asked for all of the patient's documents"), "{accounted}");

    // A member that is gone is named, and the others' documents are summed up.
    fs::remove_file(cluster.documents("south").join("b.json"))?;
    let told = summary(&cluster, &person, &[]).await?.well()?;
    assert!(told.contains("SOURCE_HAS_NOT"), "{told}");
    assert!(
        summary(&cluster, "01a2035c-2b37-7179-9aa7-7dd86f89df2f", &[])
            .await?
            .badly()?
            .1
            .contains("PERSON_UNKNOWN")
    );
    Ok(())
}
