//! Finds what contradicts itself. Nothing is resolved: all of it stays, is linked, and is flagged.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    alike::{Index, same_code},
    fact::{Kind, Read},
    merge::{Entry, differing, is_no_news},
    read::Source,
    report::{ConflictKind, Reason, Report, Skipped},
    section::Section,
    source::Subject,
    time,
    value::first_code,
};

/// Entries that contradict each other, by position. `section` is missing when it is about the person.
pub(crate) struct Found {
    pub(crate) kind: ConflictKind,
    pub(crate) section: Option<Section>,
    pub(crate) entries: BTreeSet<usize>,
    /// Positions of sources.
    pub(crate) sources: BTreeSet<usize>,
}

/// Links the entries that contradict each other, and takes out statements of no information where something is known.
pub(crate) fn find(
    entries: &mut Vec<Entry>,
    sources: &[Source<'_>],
    subject: Option<&Subject>,
    report: &mut Report,
) -> Vec<Found> {
    drop_no_news(entries, sources, report);
    let mut pairs = same_item(entries, sources, report);
    report.skipped.sort();
    pairs.extend(none_but_listed(entries));
    for (a, b, kind) in &pairs {
        entries[*a].rivals.insert((*b, *kind));
        entries[*b].rivals.insert((*a, *kind));
    }
    let mut found = groups(entries);
    found.extend(persons(sources, subject));
    found
}

/// Takes out "no information" from sections in which another source has some.
fn drop_no_news(entries: &mut Vec<Entry>, sources: &[Source<'_>], report: &mut Report) {
    let known: BTreeSet<Section> =
        entries.iter().filter(|entry| !is_no_news(entry)).map(Entry::section).collect();
    // Of sections that need not be there, "no information" is none.
    let is_dropped = |entry: &Entry| {
        let section = entry.section();
        is_no_news(entry) && (known.contains(&section) || section.no_information().is_none())
    };
    let mut moved = vec![];
    let mut kept = 0;
    for entry in entries.iter() {
        moved.push(kept);
        kept += usize::from(!is_dropped(entry));
        if !is_dropped(entry) {
            continue;
        }
        for source in &entry.sources {
            let document = sources[*source].document.id.to_owned();
            let section = Some(entry.section());
            let place = "a statement of no information".to_owned();
            let count = facts_like(&sources[*source].read, entry);
            report.skipped.push(Skipped { document, section, place, reason: Reason::NoInformation, count });
        }
    }
    entries.retain(|entry| !is_dropped(entry));
    for entry in entries.iter_mut() {
        entry.members = entry.members.iter().map(|member| moved[*member]).collect();
    }
}

/// Counts the facts of a document that went into an entry of absence.
fn facts_like(read: &Read, entry: &Entry) -> usize {
    let same = |code: Option<&Value>| same_code(code, entry.code());
    read.facts.iter().filter(|fact| fact.kind == entry.kind && same(fact.code())).count()
}

/// Finds pairs with the same code that contradict each other. Entries of which there are too many are listed.
fn same_item(
    entries: &[Entry],
    sources: &[Source<'_>],
    report: &mut Report,
) -> BTreeSet<(usize, usize, ConflictKind)> {
    let mut index = Index::default();
    let mut pairs = BTreeSet::new();
    for (at, entry) in entries.iter().enumerate() {
        match index.candidates(entry.kind, &entry.body) {
            Some(candidates) => {
                let others =
                    candidates.into_iter().filter(|other| same_code(entries[*other].code(), entry.code()));
                pairs.extend(
                    others.filter_map(|other| Some((other, at, contradiction(&entries[other], entry)?))),
                );
            }
            None => not_compared(entry, sources, report),
        }
        index.add(entry.kind, &entry.body, at);
    }
    pairs
}

/// Puts into the report that an entry was not compared with others.
fn not_compared(entry: &Entry, sources: &[Source<'_>], report: &mut Report) {
    for source in &entry.sources {
        let document = sources[*source].document.id;
        let section = Some(entry.section());
        let before = report.skipped.iter_mut().find(|skipped| {
            skipped.reason == Reason::NotCompared
                && skipped.document == document
                && skipped.section == section
        });
        match before {
            Some(before) => before.count += 1,
            None => report.skipped.push(Skipped {
                document: document.to_owned(),
                section,
                place: "entries of one code".to_owned(),
                reason: Reason::NotCompared,
                count: 1,
            }),
        }
    }
}

/// What an entry says about whether something is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    Holds,
    Past,
    Denied,
    Unknown,
}

impl Entry {
    pub(crate) fn stance(&self) -> Stance {
        let code = |field: &str| first_code(self.body.get(field));
        match self.kind {
            Kind::Allergy | Kind::Condition => match (code("verificationStatus"), code("clinicalStatus")) {
                (Some("refuted"), _) => Stance::Denied,
                (_, Some("active" | "recurrence" | "relapse")) => Stance::Holds,
                (_, Some(_)) => Stance::Past,
                (_, None) => Stance::Unknown,
            },
            _ => match self.body.get("status").and_then(Value::as_str) {
                Some("not-taken" | "not-done") => Stance::Denied,
                Some("completed" | "stopped" | "on-hold") if self.kind == Kind::Medication => Stance::Past,
                Some(_) => Stance::Holds,
                None => Stance::Unknown,
            },
        }
    }

    /// Returns when it began and when it ended, as far as that is stated.
    fn span(&self) -> (Option<&str>, Option<&str>) {
        let text = |name: &str| self.body.get(name).and_then(Value::as_str);
        let bound = |name: &str, bound: &str| self.body.get(name)?.get(bound)?.as_str();
        match self.kind {
            Kind::Condition => (
                text("onsetDateTime").or_else(|| bound("onsetPeriod", "start")),
                text("abatementDateTime").or_else(|| bound("abatementPeriod", "end")),
            ),
            _ => (
                text("effectiveDateTime").or_else(|| bound("effectivePeriod", "start")),
                bound("effectivePeriod", "end"),
            ),
        }
    }
}

/// Returns in what two entries with the same code, that are not one, contradict each other.
fn contradiction(a: &Entry, b: &Entry) -> Option<ConflictKind> {
    let differs: Vec<_> = differing(a.kind, &a.body, &b.body).collect();
    if differs.is_empty() {
        // They agree; that they are two entries has another reason, such as a third that either may be.
        return None;
    }
    let status =
        differs.iter().any(|name| matches!(*name, "status" | "clinicalStatus" | "verificationStatus"));
    let differs_in = |of: &str| differs.iter().any(|name| name.starts_with(of));
    let kind = if status { ConflictKind::StatusDiffers } else { ConflictKind::DetailDiffers };
    match a.kind {
        Kind::Allergy => Some(kind),
        Kind::Condition | Kind::Medication => {
            let ((a_start, a_end), (b_start, b_end)) = (a.span(), b.span());
            let apart = |end: Option<&str>, start: Option<&str>| {
                end.zip(start).is_some_and(|(end, start)| time::before(end, start))
            };
            // One was over before the other began: twice the same, at two times.
            if apart(a_end, b_start) || apart(b_end, a_start) {
                return None;
            }
            let both_past = a.stance() == Stance::Past && b.stance() == Stance::Past;
            let other_time = differs_in("onset") || differs_in("effective");
            (!(both_past && other_time)).then_some(kind)
        }
        // Another time is another dose, or another operation.
        Kind::Immunization => (!differs_in("occurrence")).then_some(kind),
        Kind::Procedure => (!differs_in("performed")).then_some(kind),
        Kind::Observation | Kind::Report => {
            // One source may measure twice at the same time.
            let is_other_source = a.sources.is_disjoint(&b.sources);
            let is_same_time = !differs_in("effective") && a.span().0.is_some() && b.span().0.is_some();
            let value = differs_in("value") || differs_in("dataAbsent") || differs_in("component");
            let kind = if value { ConflictKind::ValueDiffers } else { kind };
            (is_other_source && is_same_time).then_some(kind)
        }
    }
}

/// Finds statements that there is none, next to what contradicts them.
fn none_but_listed(entries: &[Entry]) -> Vec<(usize, usize, ConflictKind)> {
    let mut pairs = vec![];
    for (at, none) in entries.iter().enumerate() {
        let Some(absence) = none.absence().filter(|_| !is_no_news(none)) else { continue };
        let category = match absence {
            "no-known-medication-allergies" => Some("medication"),
            "no-known-environmental-allergies" => Some("environment"),
            "no-known-food-allergies" => Some("food"),
            _ => None,
        };
        for (other, listed) in entries.iter().enumerate() {
            let stated = listed.body.get("category").and_then(Value::as_array);
            let of_category = match (category, stated) {
                // An allergy of no stated category may be of this one.
                (Some(category), Some(stated)) => stated.iter().any(|stated| stated == category),
                _ => true,
            };
            // "No known medications" is about now; that nothing was ever done or given is about all times.
            let contradicts = match listed.section() {
                Section::Immunizations | Section::Procedures => listed.stance() != Stance::Denied,
                _ => matches!(listed.stance(), Stance::Holds | Stance::Unknown),
            };
            let is_listed = listed.section() == none.section() && listed.absence().is_none();
            if is_listed && of_category && contradicts {
                pairs.push((at.min(other), at.max(other), ConflictKind::NoneKnownButListed));
            }
        }
    }
    pairs
}

/// Gathers what is linked, in each kind of conflict by itself.
fn groups(entries: &[Entry]) -> Vec<Found> {
    let mut found = vec![];
    let mut seen = BTreeSet::new();
    for (at, entry) in entries.iter().enumerate() {
        for (_, kind) in &entry.rivals {
            if !seen.insert((at, *kind)) {
                continue;
            }
            let mut group = BTreeSet::from([at]);
            let mut open = vec![at];
            while let Some(next) = open.pop() {
                for (rival, _) in entries[next].rivals.iter().filter(|(_, of)| of == kind) {
                    if group.insert(*rival) {
                        seen.insert((*rival, *kind));
                        open.push(*rival);
                    }
                }
            }
            let sources = group.iter().flat_map(|at| entries[*at].sources.iter().copied()).collect();
            found.push(Found { kind: *kind, section: Some(entry.section()), entries: group, sources });
        }
    }
    found
}

/// Finds documents that may be about another person.
fn persons(sources: &[Source<'_>], subject: Option<&Subject>) -> Option<Found> {
    let mut born: Vec<String> =
        subject.and_then(|s| s.birth_date).map(|date| date.to_string()).into_iter().collect();
    let mut genders: BTreeSet<&str> = subject.map(|s| s.gender.as_str()).into_iter().collect();
    let mut naming = BTreeSet::new();
    for (at, source) in sources.iter().enumerate() {
        let Some(patient) = &source.read.patient else { continue };
        naming.insert(at);
        let text = |name: &str| patient.get(name).and_then(Value::as_str);
        born.extend(text("birthDate").map(str::to_owned));
        genders.extend(text("gender"));
    }
    let differs = born.iter().any(|one| born.iter().any(|other| !time::agree(one, other)))
        || (genders.contains("male") && genders.contains("female"));
    let (kind, entries) = (ConflictKind::SubjectDiffers, BTreeSet::new());
    differs.then_some(Found { kind, section: None, entries, sources: naming })
}
