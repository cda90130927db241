//! Trial.
use signpost_linkage::Region;
use signpost_people::{job, read};
use std::{path::PathBuf, sync::Mutex, time::Instant};
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<PathBuf> = std::env::args().skip(1).map(PathBuf::from).collect();
    let options = read::Options { renamed: vec![], region: Region::US };
    let t = Instant::now();
    let last = Mutex::new(None);
    let progress = |step, _, _| {
        let mut last = last.lock().unwrap();
        if *last != Some(step) {
            eprintln!("{step:?} from {:?}", t.elapsed());
            *last = Some(step);
        }
    };
    let records = job::Records { inputs: &args[..1], options: &options, rejects: None };
    let (out, pairs, report) = (args[1].join("links.csv"), args[1].join("pairs.csv"), args[1].join("report.html"));
    let job = job::Link { records, model: None, seed: 1, out: &out, pairs: Some(&pairs), reviews: None, report: Some(&report) };
    let s = job::link(&job, &progress)?;
    eprintln!("done {:?} {} {} {:?}", t.elapsed(), s.found.records, s.persons, s.pairs_decided);
    Ok(())
}
