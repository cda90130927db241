//! The order of usefulness in an emergency, and which documents are copies of one another.
//!
//! What changes treatment in the first minutes comes first: allergies, medication, problems, wishes, and the summaries that
//! hold all of them; then what the last hospital found. Of each kind the newest counts most, so that twenty old lists of
//! medication do not hide the one discharge summary. Age lowers a document, by how soon its kind is out of date.
//! What was done in the last days rises. All of it is a sum of points, and the reasons say which.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use signpost_proto::registry::v1::{DocumentEntry, Liveness};

/// A kind of documents: what it is worth, and how soon it is out of date.
struct Kind {
    /// Reason that names it.
    name: &'static str,
    /// LOINC type codes.
    codes: &'static [&'static str],
    /// Points of the newest document of the kind.
    points: f64,
    /// Points that a year of age takes, up to [`AGE_POINTS_MAX`].
    per_year: f64,
    /// More points while the service is at most [`RECENT_DAYS`] past.
    recent: f64,
}

const fn kind(
    name: &'static str,
    codes: &'static [&'static str],
    points: f64,
    per_year: f64,
    recent: f64,
) -> Kind {
    Kind { name, codes, points, per_year, recent }
}

/// Kinds by LOINC type code. Allergies and wishes stay true for years; a list of medication does not.
const KINDS: [Kind; 13] = [
    kind("ALLERGIES", &["48765-2", "48768-6"], 100.0, 1.0, 0.0),
    kind("PATIENT_SUMMARY", &["60591-5", "34133-9", "68609-7"], 98.0, 8.0, 0.0),
    kind("MEDICATIONS", &["10160-0", "56445-0", "29549-3", "57828-6", "10183-2"], 96.0, 8.0, 0.0),
    kind("ADVANCE_DIRECTIVE", &["42348-3", "81334-5", "75320-2", "84095-9", "45473-6"], 90.0, 0.5, 0.0),
    kind("PROBLEMS", &["11450-4", "11348-0"], 88.0, 3.0, 0.0),
    kind("DEVICES", &["46264-8"], 82.0, 0.5, 0.0),
    kind("DISCHARGE_SUMMARY", &["18842-5", "28655-9", "34105-7", "11490-0"], 76.0, 6.0, 22.0),
    kind("ECG", &["11524-6", "28010-7", "34534-8"], 72.0, 4.0, 18.0),
    kind(
        "IMAGING_REPORT",
        &["18748-4", "18782-3", "18747-6", "24627-2", "24725-4", "30799-1"],
        62.0,
        6.0,
        20.0,
    ),
    kind("OPERATIVE_NOTE", &["11504-8", "28570-0"], 60.0, 3.0, 26.0),
    kind("EMERGENCY_NOTE", &["34111-5", "34878-9"], 56.0, 10.0, 30.0),
    kind("LABORATORY_REPORT", &["11502-2", "26436-6"], 44.0, 12.0, 26.0),
    kind("CONSULTATION", &["11488-4", "34117-2"], 36.0, 6.0, 14.0),
];

/// Points of a document whose type says nothing here.
const OTHER_POINTS: f64 = 10.0;
const OTHER_PER_YEAR: f64 = 1.0;

/// Most points that age takes.
const AGE_POINTS_MAX: f64 = 40.0;

/// Days for which a service is recent.
const RECENT_DAYS: f64 = 30.0;

/// Points that a document loses to each newer one of its kind, up to four of them.
const NEWER_POINTS: f64 = 30.0;
const NEWER_MAX: usize = 4;

/// Points that a pointer loses that led nowhere the last times.
const DEAD_POINTS: f64 = 35.0;
const SUSPECT_POINTS: f64 = 5.0;

const DAY_S: f64 = 86_400.0;
const YEAR_S: f64 = 365.25 * DAY_S;

/// A document with its place in the order.
#[derive(Debug, PartialEq)]
pub(crate) struct Ranked {
    /// The document.
    pub(crate) entry: DocumentEntry,
    /// Why it stands where it stands.
    pub(crate) reasons: Vec<String>,
    /// Documents that are copies of it, each with how that shows.
    pub(crate) copies: Vec<(DocumentEntry, &'static str)>,
}

/// Puts documents in order, as of a moment, seconds since 1970. Copies stand with the document that they are copies of.
pub(crate) fn rank(entries: Vec<DocumentEntry>, now_s: i64) -> Vec<Ranked> {
    let mut groups = collapse(entries);
    // The newest of a kind first; documents of one kind and one moment keep a stable order by id.
    groups.sort_by_cached_key(|group| {
        let entry = &group.entry;
        (kind_of(entry), Reverse(moment(entry)), entry.document_id.clone())
    });
    let mut newer: HashMap<Option<usize>, usize> = HashMap::new();
    let mut scored: Vec<(f64, usize, Ranked)> = vec![];
    for (place, mut group) in groups.into_iter().enumerate() {
        let before = newer.entry(kind_of(&group.entry)).or_default();
        let points = points(&group.entry, *before, now_s, &mut group.reasons);
        *before += 1;
        scored.push((points, place, group));
    }
    scored.sort_by(|(a, one, _), (b, other, _)| b.total_cmp(a).then(one.cmp(other)));
    scored.into_iter().map(|(_, _, group)| group).collect()
}

/// Returns what a document is worth that has so many newer ones of its kind, and says why.
fn points(entry: &DocumentEntry, newer: usize, now_s: i64, reasons: &mut Vec<String>) -> f64 {
    let kind = kind_of(entry).and_then(|kind| KINDS.get(kind));
    let age_s = moment(entry).map(|moment| (now_s - moment).max(0) as f64);
    let mut points = kind.map_or(OTHER_POINTS, |kind| kind.points);
    reasons.extend(kind.map(|kind| kind.name.to_owned()));
    if newer == 0 {
        reasons.push("NEWEST_OF_KIND".to_owned());
    }
    points -= NEWER_POINTS * newer.min(NEWER_MAX) as f64;
    // A document that does not say when is taken for old.
    let aged = age_s
        .map_or(AGE_POINTS_MAX, |age_s| age_s / YEAR_S * kind.map_or(OTHER_PER_YEAR, |kind| kind.per_year));
    points -= aged.min(AGE_POINTS_MAX);
    if age_s.is_some_and(|age_s| age_s <= RECENT_DAYS * DAY_S) {
        points += kind.map_or(0.0, |kind| kind.recent);
        reasons.push("RECENT".to_owned());
    }
    match entry.liveness() {
        Liveness::Dead => {
            points -= DEAD_POINTS;
            reasons.push("LED_NOWHERE".to_owned());
        }
        Liveness::Suspect => points -= SUSPECT_POINTS,
        Liveness::Alive | Liveness::Unspecified => {}
    }
    points
}

/// Puts copies with the document that they are copies of: the one whose pointer works, then the newest.
fn collapse(mut entries: Vec<DocumentEntry>) -> Vec<Ranked> {
    entries.sort_by_cached_key(|entry| {
        let dead = entry.liveness() == Liveness::Dead;
        (dead, Reverse(moment(entry)), entry.document_id.clone())
    });
    let mut groups: Vec<Ranked> = vec![];
    let mut seen: HashMap<Mark, usize> = HashMap::new();
    for entry in entries {
        let marks = marks(&entry);
        let found = marks.iter().find_map(|mark| Some((*seen.get(mark)?, mark.reason())));
        let at = found.map_or(groups.len(), |(at, _)| at);
        match found {
            Some((at, reason)) => groups[at].copies.push((entry, reason)),
            None => groups.push(Ranked { entry, reasons: vec![], copies: vec![] }),
        }
        for mark in marks {
            seen.entry(mark).or_insert(at);
        }
    }
    groups
}

/// What two copies have in common.
#[derive(PartialEq, Eq, Hash)]
enum Mark {
    /// The bytes.
    Hash(Vec<u8>),
    /// Type, and the id that whoever made it gave it, where two members hold it.
    UniqueId(String, String),
    /// Type, author and the moment of the service: one content, exported twice.
    Service(String, String, i64),
}

impl Mark {
    fn reason(&self) -> &'static str {
        match self {
            Self::Hash(_) => "SAME_BYTES",
            Self::UniqueId(..) => "SAME_UNIQUE_ID",
            Self::Service(..) => "SAME_SERVICE",
        }
    }
}

fn marks(entry: &DocumentEntry) -> Vec<Mark> {
    let mut marks = vec![];
    if !entry.sha256.is_empty() {
        marks.push(Mark::Hash(entry.sha256.clone()));
    }
    let code = entry.type_code.as_ref().map(|code| code.code.clone()).unwrap_or_default();
    marks.push(Mark::UniqueId(code.clone(), entry.unique_id.clone()));
    let start = entry.service_start_time.as_ref().map(|time| time.seconds);
    // At midnight a service says its day alone, on which there may be several.
    if let Some(start) = start.filter(|start| start % DAY_S as i64 != 0)
        && !entry.author_institution.is_empty()
        && kind_of(entry).is_some()
    {
        marks.push(Mark::Service(code, entry.author_institution.clone(), start));
    }
    marks
}

fn kind_of(entry: &DocumentEntry) -> Option<usize> {
    let code = entry.type_code.as_ref().map_or("", |coding| coding.code.as_str());
    KINDS.iter().position(|kind| kind.codes.contains(&code))
}

/// When the service began, or else when the document was made: seconds since 1970.
fn moment(entry: &DocumentEntry) -> Option<i64> {
    let time = entry.service_start_time.as_ref().or(entry.creation_time.as_ref());
    time.map(|time| time.seconds)
}

/// Returns the ids of a document and of its copies.
pub(crate) fn ids(ranked: &[Ranked]) -> HashSet<String> {
    let of = |ranked: &Ranked| {
        let copies = ranked.copies.iter().map(|(entry, _)| entry.document_id.clone());
        copies.chain([ranked.entry.document_id.clone()]).collect::<Vec<_>>()
    };
    ranked.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests;
