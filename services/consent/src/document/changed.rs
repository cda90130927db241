//! What differs between two policies, rule by rule, in words. Rules are compared by their ids, and their order does not count.

use super::{
    Document,
    told::{duty, held, items, listed, narrowed, told},
};
use crate::domain::{Criterion, Effect, Exception, Obligation, Rule};

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is not there any more; what it said.
    Removed(String),
    /// It is new; what it says.
    Added(String),
    /// It says something else; what, in phrases.
    Changed(Vec<String>),
}

/// What differs between two policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// What differs apart from rules, in phrases.
    pub document: Vec<String>,
    /// Rules that differ, by id.
    pub rules: Vec<(String, Change)>,
}

impl Changes {
    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.document.is_empty() && self.rules.is_empty()
    }
}

/// Compares two policies: what is removed, then what is changed, then what is added.
pub fn changes(before: &Document, after: &Document) -> Changes {
    let of = |document: &'_ Document, id: &str| document.rules.iter().position(|rule| rule.id == id);
    let (mut removed, mut changed) = (vec![], vec![]);
    for rule in &before.rules {
        match of(after, &rule.id).map(|at| &after.rules[at]) {
            None => removed.push((rule.id.clone(), Change::Removed(told(rule)))),
            Some(now) if now != rule => {
                changed.push((rule.id.clone(), Change::Changed(rule_changes(rule, now))))
            }
            Some(_) => {}
        }
    }
    let added = after.rules.iter().filter(|rule| of(before, &rule.id).is_none());
    let added = added.map(|rule| (rule.id.clone(), Change::Added(told(rule))));
    Changes {
        document: document_changes(before, after),
        rules: removed.into_iter().chain(changed).chain(added).collect(),
    }
}

fn document_changes(before: &Document, after: &Document) -> Vec<String> {
    let mut said = vec![];
    if before.name != after.name {
        said.push(format!("its name is {}, before {}", after.name, before.name));
    }
    if before.summary != after.summary {
        said.push(format!("its summary is \"{}\", before \"{}\"", after.summary, before.summary));
    }
    said.extend(lists("labels of its own", &sorted(&before.labels), &sorted(&after.labels)));
    said
}

fn rule_changes(before: &Rule, after: &Rule) -> Vec<String> {
    let mut said = vec![];
    if before.effect != after.effect {
        let [now, then] = [after, before].map(|rule| match rule.effect {
            Effect::Permit => "permits",
            Effect::Deny => "denies",
        });
        said.push(format!("{now}, before it {then}"));
    }
    said.extend(criteria(before.matcher.criteria(), after.matcher.criteria()));
    said.extend(exceptions(&before.exceptions, &after.exceptions));
    let [then, now] = [before, after].map(|rule| words(&rule.obligations));
    said.extend(lists("duties of a release", &then, &now));
    if before.overridable != after.overridable {
        let verb = if after.overridable { "goes past it now" } else { "does not go past it any more" };
        said.push(format!("emergency access {verb}"));
    }
    if before.validity != after.validity {
        let [now, then] =
            [after, before].map(|rule| held(&rule.validity).unwrap_or_else(|| "always".to_owned()));
        said.push(format!("holds {now}, before {then}"));
    }
    if before.source != after.source {
        said.push(format!("its source is \"{}\", before \"{}\"", after.source, before.source));
    }
    if said.is_empty() {
        // Only the order of a list can be left.
        said.push("lists the same in another order".to_owned());
    }
    said
}

fn criteria(before: &[Criterion], after: &[Criterion]) -> Vec<String> {
    let alike = |list: &[Criterion], of: &Criterion| list.iter().position(|other| other.kind() == of.kind());
    let gone = before.iter().filter(|criterion| alike(after, criterion).is_none());
    let gone = gone.map(|criterion| format!("does not look at {} any more", criterion.subject()));
    let others = after.iter().filter_map(|criterion| match alike(before, criterion) {
        None if *criterion == Criterion::Consent => {
            Some("holds only for what the patient permits now".to_owned())
        }
        None => {
            let only = listed(&items(criterion), "and");
            Some(format!("looks at {} now: only {only}", criterion.subject()))
        }
        Some(at) => lists(criterion.subject(), &sorted(&items(&before[at])), &sorted(&items(criterion))),
    });
    gone.chain(others).collect()
}

fn exceptions(before: &[Exception], after: &[Exception]) -> Vec<String> {
    let say = |exception: &Exception| {
        let duties = words(&exception.obligations);
        let duties =
            if duties.is_empty() { duties } else { vec![format!("with duties: {}", listed(&duties, "and"))] };
        [vec![narrowed(&exception.matcher)], duties].concat().join(", ")
    };
    let gone = before.iter().filter(|exception| !after.contains(exception));
    let gone = gone.map(|exception| format!("has no exception any more {}", say(exception)));
    let new = after.iter().filter(|exception| !before.contains(exception));
    gone.chain(new.map(|exception| format!("has an exception now {}", say(exception)))).collect()
}

fn words(duties: &[Obligation]) -> Vec<String> {
    sorted(&duties.iter().map(duty).collect::<Vec<_>>())
}

fn sorted(list: &[String]) -> Vec<String> {
    let mut list = list.to_vec();
    list.sort();
    list
}

/// Says what a list has gained and lost.
fn lists(what: &str, before: &[String], after: &[String]) -> Option<String> {
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|item| !other.contains(item)).cloned().collect()
    };
    let (new, gone) = (only(after, before), only(before, after));
    let new = (!new.is_empty()).then(|| format!("now also {}", listed(&new, "and")));
    let gone = (!gone.is_empty()).then(|| format!("no longer {}", listed(&gone, "and")));
    let said: Vec<String> = new.into_iter().chain(gone).collect();
    (!said.is_empty()).then(|| format!("{what}: {}", said.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(more: &str) -> Document {
        let text = format!("name = \"p\"\n[[network]]\nname = \"care\"\n{more}");
        Document::parse(&text).unwrap()
    }

    fn changed(before: &str, after: &str) -> Vec<String> {
        let changes = changes(&document(before), &document(after));
        assert_eq!(changes.document, [""; 0]);
        match changes.rules.into_iter().next() {
            Some((id, Change::Changed(said))) => {
                assert_eq!(id, "network:care");
                said
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_rules_in_another_order_do_not_differ() {
        let one = "effect = \"deny\"\n[[network]]\nname = \"own\"\neffect = \"permit\"\n";
        let other = "name = \"p\"\n# A comment.\n[[network]]\nname = \"own\"\neffect = \"permit\"\n[[network]]\n\
                     name = \"care\"\neffect = \"deny\"\n";
        assert!(changes(&document(one), &Document::parse(other).unwrap()).is_empty());
    }

    #[test]
    fn rules_that_come_and_go_are_told() {
        let before = document("effect = \"permit\"\n");
        let after = Document::parse(
            "name = \"q\"\nsummary = \"new\"\nlabels = [\"OWN\"]\n[[network]]\nname = \"cure\"\neffect = \"permit\"\n",
        );
        let changes = changes(&before, &after.unwrap());
        assert_eq!(
            changes.document,
            [
                "its name is q, before p",
                "its summary is \"new\", before \"\"",
                "labels of its own: now also OWN"
            ]
        );
        let told = "Permits access to any document, whoever asks.".to_owned();
        assert_eq!(
            changes.rules,
            [
                ("network:care".to_owned(), Change::Removed(told.clone())),
                ("network:cure".to_owned(), Change::Added(told)),
            ]
        );
    }

    #[test]
    fn what_changed_in_a_rule_is_told() {
        let before = "effect = \"permit\"\nmatch = { purposes = [\"TREAT\", \"HPAYMT\"], roles = [\"nurse\"] }\n\
                      except = [{ match = { labels = [\"PSY\"] } }]\nsource = \"a\"\n";
        let after = "effect = \"deny\"\nmatch = { purposes = [\"PATRQT\", \"TREAT\"], labels = [\"HIV\"] }\n\
                     except = [{ match = { consent = true }, obligations = [{ notify = \"patient\" }] }]\n\
                     obligations = [{ mask = \"PSY\" }]\noverridable = true\nfrom = 2026-01-01\nsource = \"b\"\n";
        assert_eq!(
            changed(before, after),
            [
                "denies, before it permits",
                "does not look at roles any more",
                "purposes of use: now also the patient's own request (PATRQT); no longer payment (HPAYMT)",
                "looks at labels now: only HIV (HIV and AIDS)",
                "has no exception any more for documents that bear the label PSY (psychiatry)",
                "has an exception now when the patient's own directives permit it, with duties: the patient is told",
                "duties of a release: now also its custodian masks what bears the label PSY (psychiatry)",
                "emergency access goes past it now",
                "holds from 2026-01-01 on, before always",
                "its source is \"b\", before \"a\"",
            ]
        );
    }

    #[test]
    fn a_list_in_another_order_is_told_as_such() {
        let list = |list: &str| format!("effect = \"permit\"\nmatch = {{ roles = [{list}] }}\n");
        let said = changed(&list("\"nurse\", \"clerk\""), &list("\"clerk\", \"nurse\""));
        assert_eq!(said, ["lists the same in another order"]);
    }
}
