//! Bulk work on files of people, as people use it: synthesise, train, link, evaluate.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use serde_json::Value;
use signpost_tests::test_data;

use crate::command::{Ran, run};

async fn people(folder: &Path, arguments: &str) -> anyhow::Result<Ran> {
    let arguments: Vec<&str> = ["people"].into_iter().chain(arguments.split_whitespace()).collect();
    run(folder, &arguments).await
}

/// Evaluates links.csv and pairs.csv against truth.csv.
async fn evaluated(folder: &Path) -> anyhow::Result<Value> {
    let evaluate = "evaluate --links links.csv --pairs pairs.csv --truth truth.csv --json -";
    Ok(serde_json::from_str(&people(folder, evaluate).await?.well()?)?)
}

/// Returns a measure, as `/links/pairwise/f1`.
fn measure(measured: &Value, path: &str) -> anyhow::Result<f64> {
    measured.pointer(path).and_then(Value::as_f64).with_context(|| format!("no {path} in {measured}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn synthetic_people_are_found_again() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    let synth = "synth --people 2000 --seed 7 --out .";
    people(folder, synth).await?.well()?;
    let records = fs::read(folder.join("records.csv"))?;
    people(folder, synth).await?.well()?;
    ensure!(fs::read(folder.join("records.csv"))? == records, "the same seed makes other records");

    let train = "train --input records.csv --model model.json --seed 3";
    let link = "link --input records.csv --seed 3 --out links.csv --pairs pairs.csv --report report.html";
    let (trained, linked) = tokio::try_join!(people(folder, train), people(folder, link))?;
    trained.well()?;
    linked.well()?;
    let again = "link --input records.csv --model model.json --out links-again.csv --pairs pairs-again.csv";
    people(folder, again).await?.well()?;
    for (one, other) in [("links.csv", "links-again.csv"), ("pairs.csv", "pairs-again.csv")] {
        let same = fs::read(folder.join(one))? == fs::read(folder.join(other))?;
        ensure!(same, "{one} is another one with the model that was learnt of the same records");
    }

    let evaluate = "evaluate --links links.csv --pairs pairs.csv --truth truth.csv --relations relations.csv";
    let files = format!("{evaluate} --json measures.json --svg curve.svg");
    let table = people(folder, &files).await?.well()?;
    ensure!(table.contains("pairwise") && table.contains("False joins"), "{table}");
    let measured: Value = serde_json::from_slice(&fs::read(folder.join("measures.json"))?)?;
    for path in ["/links/pairwise/f1", "/links/b_cubed/f1"] {
        let found = measure(&measured, path)?;
        ensure!(found >= 0.97, "{path} is {found}");
    }
    ensure!(fs::read_to_string(folder.join("curve.svg"))?.starts_with("<svg"));

    let report = fs::read_to_string(folder.join("report.html"))?;
    ensure!(report.contains("To review") && !report.contains("<script"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_are_named_and_the_others_are_linked() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    let rows = b"record_id,given,family,birth_date,shoe_size\n\
        b,Jane Ann,Doe,1984-07-19,38\n\
        c,Jane,Doe\n\
        ,Jane,Doe,1984-07-19,\n\
        a,Jane Ann,Doe,1984-07-19,\n\
        \n\
        a,Joe,Doe,1990-01-02,\n\
        d,\xff,Doe,1990-01-02,\n\
        e,Zebulon,Roe,yesterday,\n";
    fs::write(folder.join("records.csv"), rows)?;
    fs::write(folder.join("reviews.csv"), "record_id_l,record_id_r,decision\na,b,link\na,z,link\n")?;
    let link = "link --input records.csv --reviews reviews.csv --out links.csv --rejects rejects.csv";
    let (out, err) = people(folder, link).await?.badly()?;
    ensure!(out.contains("records"), "{out}");
    for line in [
        "records.csv: the column shoe_size is not known and not read",
        "records.csv, line 3: has 3 cells where the header has 5; the row is left out",
        "records.csv, line 4: the record_id is empty; the row is left out",
        "records.csv, line 7: the record_id stands in an earlier row; the row is left out",
        "records.csv, line 8: is not UTF-8; the row is left out",
        "reviews.csv, line 3: record_id_r is no record of the input; the row is left out",
        "records.csv, line 9: birth_date is no date of the form YYYY-MM-DD; the cell counts as missing",
    ] {
        ensure!(err.lines().any(|found| found == line), "{line:?} is not in {err}");
    }
    let links = fs::read_to_string(folder.join("links.csv"))?;
    ensure!(links == "record_id,person_id\na,a\nb,a\ne,e\n", "{links}");
    let rejects = fs::read_to_string(folder.join("rejects.csv"))?;
    ensure!(rejects.lines().count() == 7, "{rejects}");

    // A cell that cannot be read is no failure.
    fs::write(folder.join("records.csv"), "record_id,sex,given\n1,?,Ann\n2,F,Bea\n")?;
    people(folder, "link --input records.csv --out links.csv").await?.well()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_work_says_what_to_do_and_changes_nothing() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    fs::write(folder.join("records.csv"), "id,given\n1,Ann\n2,Bea\n")?;
    let fails = [
        ("link --input records.csv --out links.csv", "--map record_id=COLUMN"),
        ("link --input records.csv --map record_id=id --out records.csv", "write to another file"),
        ("link --input records.csv --map record_id=id --out not/there.csv", "make it first"),
        ("link --input nothing.csv --out links.csv", "nothing.csv"),
        ("link --input records.csv --map record_id=id --map family=last --out links.csv", "no file has"),
        ("link --input records.csv --map record_id=id --model records.csv --out links.csv", "not a model"),
        ("evaluate --links records.csv --truth records.csv", "the header has no column record_id"),
    ];
    for (command, says) in fails {
        let (_, err) = people(folder, command).await?.badly()?;
        ensure!(err.contains(says), "{command} does not say {says:?}: {err}");
    }
    let names = fs::read_dir(folder)?.count();
    ensure!(names == 1, "something is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_another_program_are_linked_with_its_columns() -> anyhow::Result<()> {
    let Some(data) = test_data() else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let folder = dir.path();
    let records = fs::read_to_string(data.join("people/febrl3.csv"))?;
    let ids = records.lines().skip(1).filter_map(|line| line.split(',').next()).map(str::trim);
    let truth: Option<String> = ids.map(|id| Some(format!("{id},{}\n", id.split('-').nth(1)?))).collect();
    fs::write(folder.join("truth.csv"), format!("record_id,entity_id\n{}", truth.context("an id")?))?;
    fs::write(folder.join("records.csv"), &records)?;
    let map = "record_id=rec_id given=given_name family=surname address=street_number address=address_1 \
               address=address_2 city=suburb birth_date=date_of_birth";
    let map: String = map.split_whitespace().map(|pair| format!("--map {pair} ")).collect();
    let link = format!("link --input records.csv {map} --region AU --out links.csv --pairs pairs.csv");
    people(folder, &link).await?.well()?;
    let measured = evaluated(folder).await?;
    for (path, least) in [("/pairs/best_f1/f1", 0.998), ("/links/pairwise/f1", 0.997)] {
        let found = measure(&measured, path)?;
        ensure!(found >= least, "{path} is {found}");
    }
    Ok(())
}
