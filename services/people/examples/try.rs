//! Trial.
use signpost_linkage::{Region, bulk, decide::Thresholds};
use signpost_people::read::*;
use std::{
    fs::File,
    io::{BufWriter, Write},
    time::Instant,
};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let (input, out) = (&args[1], &args[2]);
    let t = Instant::now();
    let options = Options { renamed: vec![], region: Region::US };
    let input_ = Input::new(input, File::open(input)?, &options)?;
    let mut problems = signpost_people::problems::Problems::default();
    let people = read(vec![input_], &options, &mut problems, &|_| ())?;
    eprintln!("read {:?}: {} records", t.elapsed(), people.corpus.len());
    let People { corpus, ids, .. } = people;
    let (corpus, placeholders) = without_placeholders(corpus, None);
    eprintln!("placeholders {:?}: {}", t.elapsed(), placeholders.len());
    let blocked = bulk::block(&corpus);
    eprintln!("blocked {:?}: {} pairs", t.elapsed(), blocked.len());
    for p in &blocked.passes {
        eprintln!("  {:?}", p);
    }
    let model =
        bulk::learn(&corpus, &blocked, placeholders, &bulk::Options { version: "try".into(), seed: 1 });
    eprintln!("learnt {:?}: {:?} rates {:?}", t.elapsed(), model.facts, model.rates);
    std::fs::write(format!("{out}/model.json"), model.to_json()?)?;
    let linked = bulk::link(&corpus, &blocked, &model, Thresholds::default(), &Default::default());
    eprintln!("linked {:?}: {} pairs", t.elapsed(), linked.pairs.len());
    if let Ok(text) = std::fs::read_to_string(format!("{out}/truth.csv")) {
        let truth: std::collections::HashMap<&str, &str> =
            text.lines().skip(1).filter_map(|l| l.split_once(',')).collect();
        let mut stats: std::collections::BTreeMap<(String, u32), (u64, u64)> = Default::default();
        for p in &linked.pairs {
            let same = truth[&*ids[p.a as usize]] == truth[&*ids[p.b as usize]];
            let together = linked.persons[p.a as usize] == linked.persons[p.b as usize];
            let bin = if p.bits > 10.0 {
                3
            } else if p.bits > 6.6 {
                2
            } else if p.bits > 3.3 {
                1
            } else {
                0
            };
            let e = stats.entry((format!("{:?} together {together}", p.stop), bin)).or_default();
            if same { e.0 += 1 } else { e.1 += 1 }
        }
        for ((s, bin), (t, f)) in stats {
            eprintln!("{s:45} {bin} true {t:8} false {f:8}");
        }
    }
    let mut w = BufWriter::new(File::create(format!("{out}/links.csv"))?);
    writeln!(w, "record_id,person_id")?;
    for (i, p) in linked.persons.iter().enumerate() {
        writeln!(w, "{},{}", ids[i], ids[*p as usize])?;
    }
    w.flush()?;
    let mut w = BufWriter::new(File::create(format!("{out}/pairs.csv"))?);
    writeln!(w, "record_id_l,record_id_r,probability,decision")?;
    for p in &linked.pairs {
        writeln!(
            w,
            "{},{},{:.6},{}",
            ids[p.a as usize],
            ids[p.b as usize],
            p.probability(),
            if linked.persons[p.a as usize] == linked.persons[p.b as usize] { "link" } else { "review" }
        )?;
    }
    w.flush()?;
    eprintln!("written {:?}", t.elapsed());
    Ok(())
}
