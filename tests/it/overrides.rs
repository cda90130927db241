//! What nobody gets past: law, quotas, the end of a session, and a policy that changes in mid-request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use signpost::{
    client::Client,
    config::{NetworkDefault, Service},
};
use signpost_common::rpc::{status, token::User};
use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::{EmergencyReason, OpenEmergencyAccessRequest},
    locator::v1::{LocateRequest, locate_request::Subject},
};
use signpost_tests::{
    Cluster, Topology,
    find::{Located, fetch, locate, locate_with},
    physician,
    scenario::{Paper, activate, person, publish},
    user,
};
use tonic::{Code, Status};

/// Law withholds psychiatry and makes no exception; everything else may be seen in an emergency.
const LAW: &str = "name = \"law\"\n\
    [[statutory]]\nname = \"psychiatry\"\nsource = \"a statute\"\neffect = \"deny\"\nmatch = { labels = [\"PSY\"] }\n\
    [[network]]\nname = \"closed\"\neffect = \"deny\"\noverridable = true\n\
    [[network]]\nname = \"care\"\neffect = \"permit\"\nmatch = { purposes = [\"TREAT\", \"ETREAT\"] }\n";

const OPEN: &str = "name = \"open\"\n[[network]]\nname = \"care\"\neffect = \"permit\"\nmatch = { purposes = [\"TREAT\"] }\n";
const CLOSED: &str = "name = \"closed\"\n[[network]]\nname = \"none\"\neffect = \"deny\"\n";

fn lee() -> User {
    User { encounter: "E-1".into(), ..user("dr.lee", Role::Physician, PurposeOfUse::Etreat) }
}

async fn find(client: &Client, session: &str) -> anyhow::Result<Located> {
    let request = LocateRequest {
        subject: Some(Subject::Demographics(person(1))),
        emergency_session_id: session.into(),
        ..LocateRequest::default()
    };
    locate_with(client, &lee(), request).await
}

async fn open(client: &Client, person_id: &str, ttl_seconds: u32) -> Result<String, Status> {
    let request = OpenEmergencyAccessRequest {
        person_id: person_id.into(),
        reason: EmergencyReason::Unconscious.into(),
        reason_text: "found unconscious".into(),
        ttl_seconds,
        request_id: uuid::Uuid::new_v4().to_string(),
        scope: None,
    };
    let request = client.request(&lee(), request).map_err(|error| Status::unknown(error.to_string()))?;
    let opened = client.emergency().open_emergency_access(request).await?.into_inner();
    Ok(opened.session.unwrap_or_default().session_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_emergency_goes_past_law() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::InProcess).start().await?;
    let psychiatry = Paper { labels: "PSY".into(), ..Paper::new("psychiatry.txt", 0) };
    let documents = publish(&mut cluster, "north", &[psychiatry, Paper::new("other.txt", 0)]).await?;
    activate(&cluster, LAW).await?;
    let west = cluster.client("west", Service::Locator)?;
    let before = find(&west, "").await?;
    ensure!(before.pointers.is_empty() && before.completion.emergency_could_show_more, "{before:?}");
    let session = open(&west, &before.person.person_id, 0).await?;
    let during = find(&west, &session).await?;
    assert_eq!(during.pointers.len(), 1, "what may be overridden is, and law is not");
    let refused =
        fetch(&west, &lee(), &documents[0], &session).await.map(drop).err().context("law was passed")?;
    let refused = refused.downcast::<Status>()?;
    assert_eq!((refused.code(), status::reason(&refused).as_str()), (Code::NotFound, "DOCUMENT_UNKNOWN"));
    fetch(&west, &lee(), &documents[1], &session).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn emergency_access_ends_with_its_time_and_its_quota() -> anyhow::Result<()> {
    let builder = Cluster::builder(Topology::InProcess).network_default(NetworkDefault::OptIn);
    let mut cluster =
        builder.configure(|config| config.consent.emergency_per_user_per_day = 2).start().await?;
    let documents = publish(&mut cluster, "north", &[Paper::new("list.txt", 0)]).await?;
    let west = cluster.client("west", Service::Locator)?;
    let person_id = find(&west, "").await?.person.person_id;
    let session = open(&west, &person_id, 2).await?;
    assert_eq!(find(&west, &session).await?.pointers.len(), 1);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let late = find(&west, &session).await.err().context("the session has ended")?.downcast::<Status>()?;
    assert_eq!(status::reason(&late), "EMERGENCY_SESSION_INVALID");
    let late = fetch(&west, &lee(), &documents[0], &session).await.map(drop);
    let late = late.err().context("the session has ended")?.downcast::<Status>()?;
    assert_eq!(status::reason(&late), "DOCUMENT_UNKNOWN");
    open(&west, &person_id, 0).await?;
    let third = open(&west, &person_id, 0).await.err().context("the third of a day")?;
    assert_eq!((third.code(), status::reason(&third).as_str()), (Code::ResourceExhausted, "EMERGENCY_QUOTA"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_in_mid_request_decides_all_of_it_or_nothing() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::InProcess).start().await?;
    let papers: Vec<_> = (0..12).map(|number| Paper::new(&format!("paper-{number}.txt"), 0)).collect();
    publish(&mut cluster, "north", &papers).await?;
    let client = cluster.client("west", Service::Locator)?;
    let done = Arc::new(AtomicBool::new(false));
    let looking = tokio::spawn({
        let done = done.clone();
        async move {
            let (mut all, mut none) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                match locate(&client, &physician(), &person(1)).await?.pointers.len() {
                    12 => all += 1,
                    0 => none += 1,
                    some => {
                        anyhow::bail!("{some} of 12 documents were shown: two policies decided one request")
                    }
                }
            }
            Ok((all, none))
        }
    });
    for _ in 0..6 {
        activate(&cluster, OPEN).await?;
        activate(&cluster, CLOSED).await?;
    }
    done.store(true, Ordering::Relaxed);
    let (all, none) = looking.await??;
    ensure!(all > 0 && none > 0, "both policies decided: {all} and {none}");
    Ok(())
}
