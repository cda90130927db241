//! Writes the Bundle: Composition, Patient, the Device that is its author, entries, and a DocumentReference for each
//! source (IPS 1.1, Bundle-uv-ips and Composition-uv-ips).
//!
//! Ids are UUIDs of version 5 over what a resource says, so that the same input gives the same ids.

mod entry;
mod narrative;
mod parties;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    conflict::{Found, Stance},
    fact::absence_of,
    merge::Entry,
    read::Source,
    report::{self, Report},
    section::Section,
    source::Request,
    text, value,
};

use narrative::{Notice, Row};

/// The profile that the bundle is written for.
const BUNDLE_PROFILE: &str = "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips";
const COMPOSITION_PROFILE: &str = "http://hl7.org/fhir/uv/ips/StructureDefinition/Composition-uv-ips";

/// The system of the tags that are the exchange's own.
const TAG_SYSTEM: &str = "urn:signpost:summary";
/// The extension of an entry that refers to a DocumentReference that it comes from.
const SOURCE_URL: &str = "urn:signpost:summary:source";
/// The extension of an entry that refers to another one that contradicts it.
const CONFLICT_URL: &str = "urn:signpost:summary:conflicts-with";

/// Most other entries that an entry refers to as contradicting it. The report names all.
const RIVALS_SHOWN_MAX: usize = 20;

/// What ids are made from besides content: an arbitrary value that never changes.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f0c_5b0e_3c1d_4a57_9b62_d1f4_27ae_6c90);

/// Names by which the resources of the bundle refer to each other.
struct Names {
    patient: Uuid,
    device: Uuid,
    /// By position of the source.
    documents: Vec<Uuid>,
    /// By position of the entry.
    entries: Vec<Uuid>,
}

fn url(id: Uuid) -> String {
    format!("urn:uuid:{id}")
}

fn reference(id: Uuid) -> Value {
    json!({ "reference": url(id) })
}

/// Makes an id from what a resource is and says.
fn id_of(kind: &str, content: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{kind}\n{content}").as_bytes())
}

/// What is written, while it is written.
struct Writer<'a> {
    request: &'a Request,
    sources: &'a [Source<'a>],
    entries: &'a [Entry],
    names: Names,
}

/// Writes the bundle, and names the entries and conflicts in the report.
pub(crate) fn bundle(
    request: &Request,
    sources: &[Source<'_>],
    entries: &[Entry],
    conflicts: &[Found],
    report: &mut Report,
) -> Value {
    let person = parties::person(request, sources);
    let names = names(request, sources, entries, &person);
    let writer = Writer { request, sources, entries, names };
    let sorted = writer.sorted();
    writer.tell(&sorted, conflicts, report);
    let mut resources = vec![
        (writer.names.patient, writer.resource("Patient", writer.names.patient, person)),
        (writer.names.device, writer.resource("Device", writer.names.device, parties::device(request))),
    ];
    let mut sections = vec![];
    for section in Section::ALL {
        let of = sorted.get(&section).map_or(&[][..], Vec::as_slice);
        sections.extend(writer.section(section, of, &mut resources));
    }
    sections.push(writer.about_sources(conflicts, report));
    for (source, id) in writer.sources.iter().zip(&writer.names.documents) {
        let document = parties::document(&source.document, writer.names.patient);
        resources.push((*id, writer.resource("DocumentReference", *id, document)));
    }
    writer.wrap(sections, resources)
}

fn names(request: &Request, sources: &[Source<'_>], entries: &[Entry], person: &Map<String, Value>) -> Names {
    let documents = sources.iter().map(|source| {
        let document = &source.document;
        id_of("DocumentReference", &format!("{}\n{}", document.custodian, document.id))
    });
    let documents: Vec<Uuid> = documents.collect();
    let mut used: BTreeMap<String, usize> = BTreeMap::new();
    let entries = entries.iter().map(|entry| {
        let mut content = value::canonical_body(&entry.body);
        for source in &entry.sources {
            content.push_str(&documents[*source].to_string());
        }
        let count = used.entry(format!("{}\n{content}", entry.kind.resource_type())).or_default();
        *count += 1;
        id_of(entry.kind.resource_type(), &format!("{count}\n{content}"))
    });
    Names {
        patient: id_of("Patient", &value::canonical_body(person)),
        device: id_of("Device", &request.exchange),
        entries: entries.collect(),
        documents,
    }
}

impl Writer<'_> {
    /// Adds what every resource has to the elements of one.
    fn resource(&self, kind: &str, id: Uuid, body: Map<String, Value>) -> Value {
        let mut resource = Map::new();
        resource.insert("resourceType".into(), kind.into());
        resource.insert("id".into(), id.to_string().into());
        resource.extend(body);
        resource.into()
    }

    /// Sorts the entries of each section: what holds first, then the newest, then by name.
    fn sorted(&self) -> BTreeMap<Section, Vec<usize>> {
        let mut sorted: BTreeMap<Section, Vec<usize>> = BTreeMap::new();
        for (at, entry) in self.entries.iter().enumerate() {
            sorted.entry(entry.section()).or_default().push(at);
        }
        for places in sorted.values_mut() {
            places.sort_by_cached_key(|&at| {
                let entry = &self.entries[at];
                let rank = match entry.stance() {
                    Stance::Holds | Stance::Unknown => 0,
                    Stance::Past => 1,
                    Stance::Denied => 2,
                };
                let date = std::cmp::Reverse(entry::date(entry).unwrap_or_default());
                let name = entry.code().and_then(value::words).map(text::comparable);
                (rank, date, name, self.names.entries[at])
            });
        }
        sorted
    }

    /// Puts the entries and conflicts into the report, in the order of the summary.
    fn tell(&self, sorted: &BTreeMap<Section, Vec<usize>>, conflicts: &[Found], report: &mut Report) {
        let documents = |sources: &BTreeSet<usize>| -> Vec<String> {
            sources.iter().map(|source| self.sources[*source].document.id.to_owned()).collect()
        };
        for &at in sorted.values().flatten() {
            let entry = &self.entries[at];
            report.entries.push(report::Entry {
                id: url(self.names.entries[at]),
                section: entry.section(),
                statements: entry.statements,
                documents: documents(&entry.sources),
            });
        }
        for found in conflicts {
            let mut entries: Vec<_> = found.entries.iter().map(|at| url(self.names.entries[*at])).collect();
            entries.sort();
            let documents = documents(&found.sources);
            let (kind, section) = (found.kind, found.section);
            report.conflicts.push(report::Conflict { kind, section, entries, documents });
        }
        report
            .conflicts
            .sort_by(|a, b| (a.section, a.kind, &a.entries).cmp(&(b.section, b.kind, &b.entries)));
    }

    /// Writes a section and its entries; `None` for one that may be missing and has none.
    fn section(
        &self,
        section: Section,
        places: &[usize],
        resources: &mut Vec<(Uuid, Value)>,
    ) -> Option<Value> {
        let mut references = vec![];
        let mut rows = vec![];
        for &at in places {
            let id = self.names.entries[at];
            references.push(reference(id));
            resources.push((id, self.entry(at)));
            rows.push(self.row(at));
        }
        if places.is_empty() {
            let (code, words) = section.no_information()?;
            let fact = absence_of(section, code, 0);
            let entry = Entry::alone(fact);
            let id = id_of(entry.kind.resource_type(), code);
            references.push(reference(id));
            resources.push((id, self.written(&entry, id, None)));
            rows.push(Row { item: words.to_owned(), ..Row::default() });
        }
        let coding = [json!({
            "system": value::system::LOINC, "code": section.code(), "display": section.display(),
        })];
        Some(json!({
            "title": section.title(),
            "code": { "coding": coding },
            "text": narrative::table(&rows),
            "entry": references,
        }))
    }

    /// Returns the line of an entry in the narrative of its section.
    fn row(&self, at: usize) -> Row {
        let entry = &self.entries[at];
        let kinds: BTreeSet<_> = entry.rivals.iter().map(|(_, kind)| kind.text()).collect();
        let sources = entry.sources.iter().map(|source| {
            let document = &self.sources[*source].document;
            text::line(&format!("[{}] {}", source + 1, document.custodian)).unwrap_or_default()
        });
        Row {
            item: entry.code().and_then(value::shown).unwrap_or_default(),
            status: entry::status_words(entry).to_owned(),
            date: entry::date(entry).unwrap_or_default(),
            details: entry::details(entry),
            sources: sources.collect::<Vec<_>>().join(", "),
            conflict: kinds.into_iter().collect::<Vec<_>>().join("; "),
        }
    }

    /// Writes the section that lists the sources, what contradicts itself, and what is not in the summary.
    fn about_sources(&self, conflicts: &[Found], report: &Report) -> Value {
        let documents = self.sources.iter().enumerate().map(|(at, source)| {
            let document = &source.document;
            let state = if source.read.format.is_some() { "read" } else { "not read" };
            let title = text::line(document.title).unwrap_or_default();
            let id = text::line(document.id).unwrap_or_default();
            let custodian = text::line(document.custodian).unwrap_or_default();
            format!("[{}] {custodian}: {title} ({id}), {state}", at + 1)
        });
        let conflicts = conflicts.iter().map(|found| {
            let section = found.section.map_or("Person", Section::title);
            let mut items: Vec<_> = found
                .entries
                .iter()
                .filter_map(|at| self.entries[*at].code().and_then(value::shown))
                .collect();
            items.sort_unstable();
            items.dedup();
            format!("{section}: {}: {}", found.kind.text(), items.join("; "))
        });
        let mut conflicts: Vec<_> = conflicts.collect();
        conflicts.sort();
        let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
        for item in &report.skipped {
            *skipped.entry(item.reason.text()).or_default() += item.count;
        }
        let notice = Notice {
            lead: self.lead(),
            documents: documents.collect(),
            conflicts,
            skipped: skipped.into_iter().map(|(reason, count)| format!("{count}: {reason}")).collect(),
        };
        let references: Vec<_> = self.names.documents.iter().map(|id| reference(*id)).collect();
        let mut section = json!({
            "title": "Sources of this summary",
            "code": { "text": "Source documents, conflicts and omissions" },
            "text": narrative::notice(&notice),
        });
        let (name, value) = match references.is_empty() {
            false => ("entry", references.into()),
            // FHIR R4, cmp-2: a section without entries may say why.
            true => ("emptyReason", value::status(parties::EMPTY_REASON, "unavailable")),
        };
        section[name] = value;
        section
    }

    /// Says what the summary is.
    fn lead(&self) -> String {
        format!(
            "This summary was assembled by machine from {} source documents of {}. No clinician has reviewed it. \
             Where sources contradict each other all statements are shown and marked.",
            self.sources.len(),
            text::line(&self.request.exchange).unwrap_or_else(|| "the exchange".into()),
        )
    }

    /// Puts all resources into a bundle.
    fn wrap(&self, sections: Vec<Value>, resources: Vec<(Uuid, Value)>) -> Value {
        let at = self.request.assembled_at.round(jiff::Unit::Second).unwrap_or(self.request.assembled_at);
        let lead = Notice { lead: self.lead(), ..Notice::default() };
        let mut composition = json!({
            "meta": { "profile": [COMPOSITION_PROFILE], "security": [aggregated()], "tag": [machine()] },
            "text": narrative::notice(&lead),
            "status": "final",
            "type": { "coding": [{
                "system": value::system::LOINC,
                "code": "60591-5",
                "display": "Patient summary Document",
            }] },
            "subject": reference(self.names.patient),
            "date": at.to_string(),
            "author": [reference(self.names.device)],
            "title": "International Patient Summary, assembled by machine",
        });
        composition["section"] = sections.into();
        let mut content = String::new();
        value::canonical(&composition, &mut content);
        let id = id_of("Composition", &content);
        let fields = composition.as_object().cloned().unwrap_or_default();
        let first = (id, self.resource("Composition", id, fields));
        let entries = std::iter::once(first).chain(resources);
        let entries: Vec<_> =
            entries.map(|(id, resource)| json!({ "fullUrl": url(id), "resource": resource })).collect();
        let id = id_of("Bundle", &id.to_string());
        json!({
            "resourceType": "Bundle",
            "id": id.to_string(),
            "meta": { "profile": [BUNDLE_PROFILE], "security": [aggregated()], "tag": [machine()] },
            "identifier": { "system": value::system::URI, "value": url(id) },
            "type": "document",
            "timestamp": at.to_string(),
            "entry": entries,
        })
    }
}

/// The security label for what was aggregated from several sources (HL7 v3 ObservationValue, security alteration
/// integrity).
fn aggregated() -> Value {
    json!({ "system": value::system::OBSERVATION_VALUE, "code": "AGGRED", "display": "aggregated" })
}

/// The tag for what a machine put together.
fn machine() -> Value {
    json!({ "system": TAG_SYSTEM, "code": "machine-assembled", "display": "Assembled by machine, not reviewed" })
}

/// The tag for what another entry contradicts.
fn conflicting() -> Value {
    json!({ "system": TAG_SYSTEM, "code": "conflict", "display": "Another entry contradicts this one" })
}
