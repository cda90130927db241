//! The commands for what patients directed and who was told, as a registration desk, a patient and privacy officers use them.

use std::fs;

use anyhow::{Context, ensure};
use signpost_tests::Cluster;

use crate::policy::{call, exchange, seen};

/// An id that nobody gave.
const UNKNOWN: &str = "01a2035c-2b37-7179-9aa7-7dd86f89df2f";

async fn well(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    call(cluster, arguments).await?.well()
}

/// Runs a command that fails, and returns what it complains of.
async fn badly(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    Ok(call(cluster, arguments).await?.badly()?.1)
}

/// Returns the last word of what was printed: the id of what was made.
fn id(out: &str) -> anyhow::Result<String> {
    Ok(out.lines().next().and_then(|line| line.split(' ').next_back()).context(out.to_owned())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_forbids_and_takes_it_back() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    assert_eq!(seen(&cluster).await?, 1);
    let none = well(&cluster, &["directive", "list", "N1", "--as", "north"]).await?;
    assert!(none.starts_with("N1 directed nothing at north; "), "{none}");

    let deny = ["directive", "deny", "N1", "--as", "north", "--to", "west", "--until", "2099-01-01"];
    let made = id(&well(&cluster, &[&deny[..], &["--request-id", "one"]].concat()).await?)?;
    let again = id(&well(&cluster, &[&deny[..], &["--request-id", "one"]].concat()).await?)?;
    assert_eq!(made, again, "the same attempt makes one");
    assert_eq!(seen(&cluster).await?, 0);
    let own = ["directive", "list", "N1", "--as", "north", "--user", "N1", "--role", "patient"];
    let listed = well(&cluster, &own).await?;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    for words in [&*made, "deny", "to west", "2099-01-01"] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    let stranger = ["directive", "list", "N1", "--as", "north", "--user", "N2", "--role", "patient"];
    assert!(badly(&cluster, &stranger).await?.contains("NOT_YOUR_OWN"));

    let out = well(&cluster, &["directive", "revoke", &made, "--as", "north"]).await?;
    assert!(out.starts_with(&format!("{made} is revoked, 20")), "{out}");
    assert_eq!(seen(&cluster).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patient_sees_their_own_and_nothing_else() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let own = ["--as=north", "--role=patient", "--purpose=PATRQT"];
    let located = [&["locate", "--local-id=N1", "--user=N1"][..], &own].concat();
    let out = well(&cluster, &located).await?;
    let document = out.lines().find(|line| line.contains(" north ")).context(out.clone())?;
    let document = document.split_whitespace().nth(1).context("no id")?;
    let fetched = ["fetch", "--user=N1", "--out=own.txt", document];
    well(&cluster, &[&fetched[..], &own].concat()).await?;
    assert_eq!(fs::read_to_string(cluster.dir().join("own.txt"))?, "insulin");

    let stranger = ["fetch", "--user=N2", "--out=other.txt", document];
    assert!(badly(&cluster, &[&stranger[..], &own].concat()).await?.contains("DOCUMENT_UNKNOWN"));
    let out = well(&cluster, &[&["locate", "--local-id=N1", "--user=N2"][..], &own].concat()).await?;
    assert!(out.starts_with("nobody is known who fits\n"), "{out}");
    let by_name = ["locate", "--given=Rosa", "--family=Delgado", "--birth-date=1990-09-09", "--user=N1"];
    assert!(badly(&cluster, &[&by_name[..], &own].concat()).await?.contains("NOT_YOUR_OWN"));
    let treating = ["locate", "--local-id=N1", "--user=N1", "--as=north", "--role=patient"];
    assert!(badly(&cluster, &treating).await?.contains("PURPOSE_NOT_PERMITTED"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directive_goes_through_fhir() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let psychiatry = ["directive", "deny", "N1", "--as", "north", "--label", "PSY"];
    let everything = ["directive", "deny", "N1", "--as", "north"];
    for (new, fhir) in [(&psychiatry[..], "r4"), (&everything, "r4"), (&everything, "r5")] {
        let made = id(&well(&cluster, new).await?)?;
        let export = ["directive", "export", &made, "--as", "north", "--fhir", fhir];
        let resource = well(&cluster, &export).await?;
        assert!(resource.contains("\"resourceType\""), "{resource}");
        fs::write(cluster.dir().join("consent.json"), resource)?;
        let import = ["directive", "import", "N1", "consent.json", "--as", "north", "--fhir", fhir];
        well(&cluster, &import).await?;
    }
    let listed = well(&cluster, &["directive", "list", "N1", "--as", "north"]).await?;
    let count = |words: &str| listed.matches(words).count();
    assert_eq!((count("label PSY"), count("everything")), (2, 4), "{listed}");
    let narrow = id(&well(&cluster, &psychiatry).await?)?;
    let export = ["directive", "export", &narrow, "--as", "north", "--fhir", "r5"];
    assert!(badly(&cluster, &export).await?.contains("R4 can say it"));

    fs::write(cluster.dir().join("consent.json"), "{\"resourceType\": \"Consent\"}")?;
    let import = ["directive", "import", "N1", "consent.json", "--as", "north"];
    assert!(badly(&cluster, &import).await?.contains("resource"));
    let absent = ["directive", "import", "N1", "absent.json", "--as", "north"];
    assert!(badly(&cluster, &absent).await?.starts_with("error: reading absent.json"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn emergency_access_is_told_reviewed_and_accounted_for() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    let rosa = ["--given=Rosa", "--family=Delgado", "--birth-date=1990-09-09", "--phone=212-555-0187"];
    let out = well(&cluster, &[["locate", "--as=west", "--user=dr.lee"].as_slice(), &rosa].concat()).await?;
    let person = out.split_whitespace().nth(1).context(out.clone())?.to_owned();
    let open = ["emergency", "--as=west", "--user=dr.lee", "--text=found unconscious", &person];
    let session = id(&well(&cluster, &open).await?)?;

    let notices = ["notice", "list", "--as=north", "--user=N1", "--role=patient"];
    let told = well(&cluster, &notices).await?;
    assert!(told.contains("Somebody at west opened emergency access."), "{told}");
    let line = told.lines().nth(1).context(told.clone())?;
    let notice = line.split_whitespace().next().context("no notice")?;
    let noted = ["notice", "acknowledge", notice, "--as=north", "--user=N1", "--role=patient"];
    assert!(well(&cluster, &noted).await?.starts_with("noted 20"));
    assert_eq!(well(&cluster, &notices).await?, "there is no notice\n");

    let waiting = well(&cluster, &["review", "list", "--as=west"]).await?;
    ensure!(waiting.contains(&session) && waiting.contains("west/dr.lee"), "{waiting}");
    let complete = ["review", "complete", &session, "not-justified", "--as=west", "--user=po"];
    let unfinished = call(&cluster, &complete).await?;
    assert!(unfinished.code == Some(2) && unfinished.err.contains("--follow-up"), "{unfinished:?}");
    let out = well(&cluster, &[&complete[..], &["--follow-up", "dr.lee is asked why"]].concat()).await?;
    assert!(out.contains("not-justified (west/po): dr.lee is asked why"), "{out}");
    assert_eq!(well(&cluster, &["review", "list", "--as=west"]).await?, "no session waits for a review\n");
    assert!(well(&cluster, &["review", "list", "--all", "--as=west"]).await?.contains(&session));

    let accounted = well(&cluster, &["disclosures", "N1", "--as=north"]).await?;
    for words in ["opened emergency access to the patient's records", "looked up", "by network:opt-out"] {
        assert!(accounted.contains(words), "{words}: {accounted}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_what_to_do() -> anyhow::Result<()> {
    let cluster = exchange().await?;
    for (arguments, words) in [
        (&["directive", "revoke", UNKNOWN, "--as", "north"][..], "`signpost directive list PATIENT`"),
        (&["directive", "deny", "N7", "--as", "north"], "`signpost import people`"),
        (&["directive", "permit", "N1", "--as", "north", "--overridable"], "directive.overridable"),
        (
            &["directive", "deny", "N1", "--as", "north", "--from=1000-01-01", "--until=1001-01-01"],
            "valid_to",
        ),
        (&["directive", "export", "rubbish", "--as", "north"], "directive_id"),
        (&["directive", "deny", "N1", "--as", "north", "--label", "XYZZY"], "XYZZY"),
        (&["directive", "deny", "N1", "--as", "north", "--to-role", "king"], "\"king\" is not a role"),
        (&["directive", "deny", "N1", "--as", "north", "--for", "FUN"], "\"FUN\" is not a purpose of use"),
        (&["directive", "deny", "N1", "--as", "north", "--role", "physician"], "--role says"),
        (&["review", "complete", UNKNOWN, "justified", "--as", "west"], "`signpost review list`"),
        (&["notice", "acknowledge", UNKNOWN, "--as", "west"], "`signpost notice list`"),
        (&["disclosures", "N1", "--as", "nobody"], "nobody"),
    ] {
        let told = badly(&cluster, arguments).await?;
        assert!(told.starts_with("error: ") && told.contains(words), "{arguments:?}: {told}");
    }
    Ok(())
}
