//! How long the steps of linkage take: one pair, one record, one file.

#[path = "../tests/people/mod.rs"]
mod people;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use signpost_linkage::{
    Model, Region,
    block::keys,
    bulk::{Constraints, Corpus, block, link},
    compare::compare,
    decide::Thresholds,
    prepare,
    text::similarity,
};

use people::{packed, people};

const RECORDS: usize = 20_000;
const SEED: u64 = 1;

fn one_pair(c: &mut Criterion) {
    let known = people(RECORDS, SEED);
    let records = packed(&known);
    let model = Model::shipped();
    let same = (1..known.len())
        .find(|at| known[*at].person == known[at - 1].person)
        .expect("somebody has two records");
    let mut group = c.benchmark_group("pair");
    let (a, b, c) = (records[same - 1].view(), records[same].view(), records[known.len() / 2].view());
    group
        .bench_function("same person scored", |bench| bench.iter(|| model.score(black_box(a), black_box(b))));
    group.bench_function("strangers scored", |bench| bench.iter(|| model.score(black_box(a), black_box(c))));
    group.bench_function("strangers compared", |bench| bench.iter(|| compare(black_box(a), black_box(c))));
    let corpus = corpus(&records);
    let blocked: Vec<(u32, u32)> =
        block(&corpus).parts.into_iter().flatten().step_by(7).take(10_000).collect();
    let strangers: Vec<(u32, u32)> = (0..10_000).map(|at| (at, (at * 7919 + 13) % RECORDS as u32)).collect();
    for (name, pairs) in
        [("10000 of random records scored", strangers), ("10000 of blocking scored", blocked)]
    {
        group.throughput(Throughput::Elements(pairs.len() as u64));
        let score = |(a, b): &(u32, u32)| model.score(corpus.view(*a), corpus.view(*b)).bits;
        group.bench_function(name, |bench| bench.iter(|| black_box(&pairs).iter().map(score).sum::<f64>()));
    }
    group.finish();
}

fn texts(c: &mut Criterion) {
    let pairs =
        [("jonathan", "jonathon"), ("smith", "brown"), ("featherstone", "fetherston"), ("mary", "maria")];
    let mut group = c.benchmark_group("similarity of 4");
    group.bench_function("ours", |bench| {
        bench.iter(|| {
            let alike = |(a, b): &(&str, &str)| similarity(a.as_bytes(), b.as_bytes()).at_least(92);
            black_box(&pairs).iter().filter(|pair| alike(pair)).count()
        });
    });
    group.bench_function("strsim", |bench| {
        bench.iter(|| black_box(&pairs).iter().filter(|(a, b)| strsim::jaro_winkler(a, b) >= 0.92).count());
    });
    group.finish();
}

fn one_record(c: &mut Criterion) {
    let known = people(1000, SEED);
    let records = packed(&known);
    let mut group = c.benchmark_group("1000 records");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("prepared", |bench| {
        bench.iter(|| {
            known
                .iter()
                .map(|known| prepare(black_box(&known.record), Region::US).as_bytes().len())
                .sum::<usize>()
        });
    });
    group.bench_function("blocking keys", |bench| {
        bench.iter(|| records.iter().map(|record| keys(black_box(record.view())).len()).sum::<usize>());
    });
    group.finish();
}

fn one_file(c: &mut Criterion) {
    let corpus = corpus(&packed(&people(RECORDS, SEED)));
    let blocked = block(&corpus);
    let mut group = c.benchmark_group("20000 records");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("blocked", |bench| {
        bench.iter_batched(|| (), |()| block(&corpus), BatchSize::LargeInput)
    });
    group.bench_function("scored and linked", |bench| {
        let constraints = Constraints::default();
        let link = |()| link(&corpus, &blocked, Model::shipped(), Thresholds::default(), &constraints);
        bench.iter_batched(|| (), link, BatchSize::LargeInput);
    });
    group.finish();
}

fn corpus(records: &[signpost_linkage::Packed]) -> Corpus {
    let mut corpus = Corpus::default();
    records.iter().for_each(|record| corpus.push(record.view()));
    corpus
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for bench in [one_pair, texts, one_record, one_file] {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
