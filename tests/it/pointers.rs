//! Pointers over time: replaced, appended to, watched, and found to lead nowhere.

use std::time::Duration;

use anyhow::{Context, ensure};
use signpost::{client::Client, config::Service};
use signpost_common::rpc::status;
use signpost_proto::{
    common::v1::Role,
    consent::v1::RevokeDirectiveRequest,
    registry::v1::{
        ChangeKind, DeprecateDocumentRequest, DocumentEntry, DocumentRelation, DocumentStatus,
        GetDocumentRequest, GetScoreboardRequest, Liveness, MemberScore, RelationKind,
        ReplaceDocumentRequest, WatchDocumentsRequest, WatchDocumentsResponse,
    },
};
use signpost_tests::{
    Cluster, Topology,
    find::{failed, fetch, locate},
    operator, patient, physician,
    scenario::{Paper, deny, fill, person, publish, register},
    system,
};
use tonic::{Code, Streaming};

const PATIENCE: Duration = Duration::from_secs(20);

/// Has north replace a document by one that it serves too.
async fn replace(cluster: &Cluster, document_id: &str, papers: &[Paper]) -> anyhow::Result<String> {
    fill(cluster, "north", papers)?;
    let north = cluster.client("north", Service::Registry)?;
    let newest = papers.last().context("no document")?;
    let request = ReplaceDocumentRequest {
        document_id: document_id.into(),
        entry: Some(newest.entry("north")),
        request_id: newest.file.clone(),
    };
    let replaced = north.registry().replace_document(north.request(&system(), request)?).await?;
    Ok(replaced.into_inner().document_id)
}

async fn withdraw(cluster: &Cluster, document_id: &str) -> anyhow::Result<()> {
    let north = cluster.client("north", Service::Registry)?;
    let request = DeprecateDocumentRequest { document_id: document_id.into(), request_id: String::new() };
    north.registry().deprecate_document(north.request(&system(), request)?).await?;
    Ok(())
}

/// Returns what west may see of person 1.
async fn visible(west: &Client) -> anyhow::Result<Vec<String>> {
    let located = locate(west, &physician(), &person(1)).await?;
    let mut ids: Vec<_> = located.pointers.into_iter().map(|pointer| pointer.document_id).collect();
    ids.sort();
    Ok(ids)
}

async fn is_unknown(west: &Client, document_id: &str) -> anyhow::Result<()> {
    let refusal = failed(fetch(west, &physician(), document_id, "").await)?;
    assert_eq!((refusal.code(), status::reason(&refusal).as_str()), (Code::NotFound, "DOCUMENT_UNKNOWN"));
    Ok(())
}

async fn entry(cluster: &Cluster, document_id: &str) -> anyhow::Result<DocumentEntry> {
    let north = cluster.client("north", Service::Registry)?;
    let request = GetDocumentRequest { document_id: document_id.into(), as_of: None };
    let answer = north.registry().get_document(north.request(&system(), request)?).await?;
    answer.into_inner().entry.context("no entry")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_patient_said_of_a_document_holds_for_those_that_replace_it() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut papers = vec![Paper::new("1.txt", 0)];
    let first = publish(&mut cluster, "north", &papers).await?.remove(0);
    let west = cluster.client("west", Service::Locator)?;
    assert_eq!(visible(&west).await?, std::slice::from_ref(&first));
    let directive_id = deny(&cluster, "north", &[&first]).await?;
    assert!(visible(&west).await?.is_empty());
    // Replaced twice: the directive names the document that was before the last.
    let mut newest = first.clone();
    for file in ["2.txt", "3.txt"] {
        papers.push(Paper::new(file, 0));
        newest = replace(&cluster, &newest, &papers).await?;
        assert!(visible(&west).await?.is_empty(), "{file} is shown");
        is_unknown(&west, &newest).await?;
    }
    is_unknown(&west, &first).await?;
    let request = RevokeDirectiveRequest { directive_id, request_id: String::new() };
    let north = cluster.client("north", Service::Consent)?;
    north.consent().revoke_directive(north.request(&patient("P1"), request)?).await?;
    assert_eq!(visible(&west).await?, [newest.clone()]);
    assert_eq!(fetch(&west, &physician(), &newest, "").await?.bytes, b"3.txt");
    // A superseded document may still be fetched by who knows of it.
    assert_eq!(fetch(&west, &physician(), &first, "").await?.bytes, b"1.txt");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_addendum_goes_down_with_its_document() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let mut papers = vec![Paper::new("a.txt", 0), Paper::new("b.txt", 0)];
    let documents = publish(&mut cluster, "north", &papers).await?;
    let mut addenda = vec![];
    for (of, kind) in documents.iter().zip([RelationKind::Appends, RelationKind::Transforms]) {
        let paper = Paper::new(&format!("{of}.txt"), 0);
        let relation = DocumentRelation { kind: kind.into(), document_id: of.clone() };
        let related = DocumentEntry { relations: vec![relation], ..paper.entry("north") };
        addenda.push(register(&cluster, "north", related).await?);
        papers.push(paper);
    }
    fill(&cluster, "north", &papers)?;
    let west = cluster.client("west", Service::Locator)?;
    assert_eq!(visible(&west).await?.len(), 4);
    // One is withdrawn, the other replaced.
    withdraw(&cluster, &documents[0]).await?;
    let mut left = vec![documents[1].clone(), addenda[1].clone()];
    left.sort();
    assert_eq!(visible(&west).await?, left);
    is_unknown(&west, &addenda[0]).await?;
    assert_eq!(entry(&cluster, &addenda[0]).await?.status(), DocumentStatus::Deprecated);
    papers.push(Paper::new("c.txt", 0));
    let newer = replace(&cluster, &documents[1], &papers).await?;
    assert_eq!(visible(&west).await?, [newer]);
    assert_eq!(entry(&cluster, &addenda[1]).await?.status(), DocumentStatus::Superseded);
    Ok(())
}

type Changes = Streaming<WatchDocumentsResponse>;

async fn watch(client: &Client, resume_token: &str) -> anyhow::Result<Changes> {
    let request = WatchDocumentsRequest { resume_token: resume_token.into() };
    Ok(client.registry().watch_documents(client.request(&system(), request)?).await?.into_inner())
}

/// Returns the next change: of which document, what, and the token to go on after it.
async fn next(changes: &mut Changes) -> anyhow::Result<(String, ChangeKind, String)> {
    loop {
        let change = tokio::time::timeout(PATIENCE, changes.message()).await.context("no change comes")??;
        let change = change.context("the stream ended")?;
        let kind = change.kind();
        if let Some(entry) = change.entry {
            return Ok((entry.unique_id, kind, change.resume_token));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_follows_its_own_pointers() -> anyhow::Result<()> {
    let mut cluster = Cluster::start().await?;
    let papers = [Paper::new("n1", 0), Paper::new("n2", 0)];
    let documents = publish(&mut cluster, "north", &papers).await?;
    publish(&mut cluster, "south", &[Paper::new("s1", 0)]).await?;
    let north = cluster.client("north", Service::Registry)?;
    let mut changes = watch(&north, "").await?;
    let (document, kind, first) = next(&mut changes).await?;
    assert_eq!((document.as_str(), kind), ("n1", ChangeKind::Registered));
    assert_eq!(next(&mut changes).await?.0, "n2");
    // It comes when it is made, and nothing of what south does.
    register(&cluster, "south", Paper::new("s2", 0).entry("south")).await?;
    withdraw(&cluster, &documents[0]).await?;
    let (document, kind, _) = next(&mut changes).await?;
    assert_eq!((document.as_str(), kind), ("n1", ChangeKind::Deprecated));
    drop(changes);
    let west = cluster.client("west", Service::Locator)?;
    fetch(&west, &physician(), &documents[1], "").await?;
    let mut resumed = watch(&north, &first).await?;
    for expected in
        [("n2", ChangeKind::Registered), ("n1", ChangeKind::Deprecated), ("n2", ChangeKind::Liveness)]
    {
        let (document, kind, _) = next(&mut resumed).await?;
        assert_eq!((document.as_str(), kind), expected);
    }
    let south = cluster.client("south", Service::Registry)?;
    assert_eq!(next(&mut watch(&south, "").await?).await?.0, "s1");
    for token in [first.as_str(), "nonsense"] {
        let refusal = failed(watch(&south, token).await)?;
        let field = status::field(&refusal);
        assert_eq!((refusal.code(), field.as_str()), (Code::InvalidArgument, "resume_token"));
    }
    Ok(())
}

/// Waits until a pointer is known to be as it is; returns it.
async fn becomes(cluster: &Cluster, document_id: &str, liveness: Liveness) -> anyhow::Result<DocumentEntry> {
    let becomes = async {
        loop {
            let entry = entry(cluster, document_id).await?;
            if entry.liveness() == liveness {
                return Ok(entry);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes).await.with_context(|| format!("it is not {liveness:?}"))?
}

/// Returns how good north's pointers are, as the operator sees them.
async fn score(cluster: &Cluster, days: u32) -> anyhow::Result<MemberScore> {
    let client = cluster.client("operator", Service::Registry)?;
    let request = client.request(&operator(Role::Operator), GetScoreboardRequest { days })?;
    let scores = client.registry().get_scoreboard(request).await?.into_inner().scores;
    scores.into_iter().find(|score| score.member_id == "north").context("north has no score")
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_find_out_without_a_fetch_what_leads_nowhere() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder(Topology::InProcess).probe_seconds(1).start().await?;
    let papers = [Paper::new("gone.txt", 0), Paper::new("there.txt", 0)];
    let documents = publish(&mut cluster, "north", &papers).await?;
    let file = cluster.documents("north").join("gone.txt");
    std::fs::remove_file(&file)?;
    let suspect = becomes(&cluster, &documents[0], Liveness::Suspect).await?;
    assert_eq!(suspect.liveness_reason, "SOURCE_HAS_NOT");
    becomes(&cluster, &documents[0], Liveness::Dead).await?;
    becomes(&cluster, &documents[1], Liveness::Alive).await?;
    let north = score(&cluster, 1).await?;
    assert_eq!((north.current, north.alive, north.suspect, north.dead), (2, 1, 0, 1));
    ensure!(north.failed_probes >= 3 && north.probes > north.failed_probes, "{north:?}");
    assert_eq!((north.retrievals, north.failures), (0, 0), "nobody has fetched anything");
    std::fs::write(&file, &papers[0].bytes)?;
    let alive = becomes(&cluster, &documents[0], Liveness::Alive).await?;
    assert_eq!(alive.liveness_reason, "");
    // A scoreboard stands for a minute; one of other days is made anew.
    let north = score(&cluster, 2).await?;
    assert_eq!((north.current, north.alive, north.dead), (2, 2, 0));
    Ok(())
}
