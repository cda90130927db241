//! The situations of the example consents of IHE PCF come out as the profile says.

use std::collections::BTreeMap;

use signpost_consent::{
    document::{Cases, Document},
    domain::Effect,
};

/// Situations of section 3:5.8 of the profile, and two examples of a basic consent that it does not list there.
const SITUATIONS: usize = 21 + 2;

#[test]
fn each_situation_comes_out_as_the_profile_says() {
    let policy = Document::parse(include_str!("pcf/policy.toml")).unwrap().policy("pcf");
    let cases = Cases::parse(include_str!("pcf/cases.toml"), 0).unwrap();
    let outcomes = cases.run(&policy);
    let mut situations: BTreeMap<_, [usize; 2]> = BTreeMap::new();
    for outcome in &outcomes {
        let counts = situations.entry(&outcome.source).or_default();
        counts[usize::from(outcome.effect == Effect::Deny)] += 1;
    }
    for (source, [permits, denials]) in &situations {
        println!("{source}: {permits} permitted, {denials} denied");
    }
    println!("{} situations in {} cases", situations.len(), outcomes.len());
    let differing: Vec<_> = outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    assert_eq!(situations.len(), SITUATIONS);
    assert!(outcomes.iter().all(|outcome| !outcome.source.is_empty()));
}
