//! Trial.
use std::path::Path;
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let (out, data) = (&args[1], &args[2]);
    let (links, pairs, truth, relations) = (
        format!("{out}/links.csv"),
        format!("{out}/pairs.csv"),
        format!("{data}/truth.csv"),
        format!("{data}/relations.csv"),
    );
    let relations = Path::new(&relations);
    let e = signpost_people::evaluate::evaluate(
        signpost_people::evaluate::Inputs {
            links: Path::new(&links),
            pairs: Some(Path::new(&pairs)),
            truth: Path::new(&truth),
            relations: relations.exists().then_some(relations),
        },
        &|_, _| (),
    )?;
    println!("{}", e.table());
    Ok(())
}
