//! Temporary driver.
use std::path::Path;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let options =
        signpost_people::synth::Options { people: args[1].parse().unwrap(), seed: args[2].parse().unwrap() };
    let start = std::time::Instant::now();
    let s = signpost_people::synth::write(options, Path::new(&args[3]), &|_, _| {}).unwrap();
    println!("{s:?} {:?}", start.elapsed());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for l in status.lines().filter(|l| l.starts_with("VmHWM")) {
        println!("{l}");
    }
}
