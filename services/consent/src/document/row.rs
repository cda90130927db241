//! One rule as it is written, and what it speaks of.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Deserialize;
use signpost_common::id::{DocumentId, MemberId};
use toml::{Spanned, value::Datetime};

use super::{Reader, Span};
use crate::domain::{
    Criterion, Effect, Exception, Layer, Matcher, Obligation, Party, Rule, Validity,
    vocabulary::{self, LABELS, PURPOSES, REASONS, RELATIONSHIPS, ROLES},
};

/// Most things that one list has.
const LIST_MAX: usize = 64;

/// Most exceptions of one rule.
const EXCEPTIONS_MAX: usize = 16;

/// Longest text of an obligation, in characters.
const NOTICE_CHARS_MAX: usize = 2000;

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    name: Spanned<String>,
    #[serde(default)]
    source: String,
    effect: EffectWord,
    #[serde(default, rename = "match")]
    matcher: Condition,
    #[serde(default)]
    except: Vec<Spanned<Except>>,
    #[serde(default)]
    overridable: bool,
    #[serde(default)]
    obligations: Vec<Spanned<Duty>>,
    from: Option<Spanned<Datetime>>,
    to: Option<Spanned<Datetime>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EffectWord {
    Permit,
    Deny,
}

impl From<EffectWord> for Effect {
    fn from(word: EffectWord) -> Self {
        match word {
            EffectWord::Permit => Self::Permit,
            EffectWord::Deny => Self::Deny,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Except {
    #[serde(rename = "match")]
    matcher: Condition,
    #[serde(default)]
    obligations: Vec<Spanned<Duty>>,
}

/// A list that may be left out.
type Words = Option<Spanned<Vec<Spanned<String>>>>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Condition {
    requesters: Words,
    roles: Words,
    purposes: Words,
    relationships: Words,
    emergency: Words,
    consent: Option<Spanned<bool>>,
    custodians: Words,
    authors: Words,
    types: Words,
    categories: Words,
    labels: Words,
    documents: Words,
    service_from: Option<Spanned<Datetime>>,
    service_to: Option<Spanned<Datetime>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Duty {
    Notice(String),
    Mask(Spanned<String>),
    Notify(PartyWord),
    PurposeLimit(Spanned<String>),
    EraseAfterDays(u32),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PartyWord {
    Patient,
    PrivacyOfficer,
}

impl Row {
    pub(super) fn name(&self) -> &Spanned<String> {
        &self.name
    }

    /// Reads a rule of a layer.
    pub(super) fn read(&self, reader: &mut Reader<'_>, layer: Layer, span: Span) -> Rule {
        reader.name("a rule", &self.name);
        if self.except.len() > EXCEPTIONS_MAX {
            reader.problem(span, format!("a rule has at most {EXCEPTIONS_MAX} exceptions; make it two"));
        }
        let validity = Validity {
            from_us: self.from.as_ref().and_then(|time| reader.time(time)),
            to_us: self.to.as_ref().and_then(|time| reader.time(time)),
            revoked_us: None,
        };
        reader.in_order("to", "from", validity.from_us, validity.to_us, self.to.as_ref());
        Rule {
            matcher: reader.matcher(&self.matcher, layer),
            exceptions: self.except.iter().map(|except| reader.exception(except, layer)).collect(),
            overridable: self.overridable,
            obligations: reader.duties(&self.obligations),
            validity,
            source: self.source.clone(),
            ..Rule::new(&format!("{}:{}", layer.name(), self.name.get_ref()), layer, self.effect.into())
        }
    }
}

impl Reader<'_> {
    fn exception(&mut self, except: &Spanned<Except>, layer: Layer) -> Exception {
        let known = self.problems.len();
        let matcher = self.matcher(&except.get_ref().matcher, layer);
        // What could not be read is told already.
        if matcher.is_everything() && self.problems.len() == known {
            self.problem(except.span(), "an exception from everything leaves nothing; state what it is for");
        }
        Exception { matcher, obligations: self.duties(&except.get_ref().obligations) }
    }

    fn matcher(&mut self, from: &Condition, layer: Layer) -> Matcher {
        if layer == Layer::Patient {
            let first = from.emergency.as_ref().map(Spanned::span);
            if let Some(span) = first.or(from.consent.as_ref().map(Spanned::span)) {
                self.problem(
                    span,
                    "a directive does not look at consent or emergency access; make it `overridable` or not",
                );
            }
        }
        if let Some(consent) = from.consent.as_ref().filter(|consent| !*consent.get_ref()) {
            self.problem(
                consent.span(),
                "`consent` is true or left out; deny what needs consent and except `consent = true`",
            );
        }
        let (service_from, service_to) = (from.service_from.as_ref(), from.service_to.as_ref());
        let from_us = service_from.and_then(|time| self.time(time));
        let to_us = service_to.and_then(|time| self.time(time));
        self.in_order("service-to", "service-from", from_us, to_us, service_to);
        let consent = from.consent.as_ref().is_some_and(|consent| *consent.get_ref());
        let criteria = [
            Criterion::Requesters(self.list(&from.requesters, Self::member)),
            Criterion::Roles(self.named("role", &from.roles, &ROLES)),
            Criterion::Purposes(self.purposes(&from.purposes)),
            Criterion::Relationships(self.named("relationship", &from.relationships, &RELATIONSHIPS)),
            Criterion::Emergency(self.named("reason for emergency access", &from.emergency, &REASONS)),
            Criterion::Custodians(self.list(&from.custodians, Self::member)),
            Criterion::Authors(self.list(&from.authors, Self::text)),
            Criterion::TypeCodes(self.list(&from.types, Self::text)),
            Criterion::ClassCodes(self.list(&from.categories, Self::text)),
            Criterion::Labels(self.list(&from.labels, Self::label)),
            Criterion::Documents(self.list(&from.documents, Self::document)),
            Criterion::Period { from_us, to_us },
        ];
        Matcher::new(criteria.into_iter().chain(consent.then_some(Criterion::Consent)))
    }

    fn list<T>(&mut self, words: &Words, read: impl Fn(&mut Self, &Spanned<String>) -> Option<T>) -> Vec<T> {
        let Some(words) = words else { return vec![] };
        match words.get_ref().len() {
            0 => self.problem(words.span(), "an empty list would speak of all; name one, or remove the key"),
            1..=LIST_MAX => {}
            _ => {
                self.problem(words.span(), format!("a list has at most {LIST_MAX} items; make it two rules"))
            }
        }
        words.get_ref().iter().filter_map(|word| read(self, word)).collect()
    }

    fn named<T: Copy>(&mut self, what: &str, words: &Words, known: &[(&'static str, T)]) -> Vec<T> {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.list(words, |reader, word| {
            reader.word(what, word, &names, |text| vocabulary::named(known, text))
        })
    }

    fn purposes(&mut self, words: &Words) -> Vec<signpost_proto::common::v1::PurposeOfUse> {
        let known: Vec<&str> =
            PURPOSES.iter().flat_map(|(hl7, _, tefca)| [Some(*hl7), *tefca]).flatten().collect();
        let read = |text: &str| Some(vocabulary::purposes(text)).filter(|purposes| !purposes.is_empty());
        let all = self.list(words, |reader, word| reader.word("purpose of use", word, &known, read));
        all.into_iter().flatten().collect()
    }

    pub(super) fn label(&mut self, word: &Spanned<String>) -> Option<String> {
        let own = self.labels.clone();
        let known: Vec<&str> = LABELS.into_iter().chain(own.iter().map(String::as_str)).collect();
        let read = |text: &str| known.contains(&text).then(|| text.to_owned());
        let label = self.word("label that is known here", word, &known, read);
        if label.is_none()
            && let Some(problem) = self.problems.last_mut()
        {
            problem.message.push_str(" (a label of your own is listed in `labels` at the top)");
        }
        label
    }

    pub(super) fn member(&mut self, word: &Spanned<String>) -> Option<MemberId> {
        let member = word.get_ref().parse();
        member
            .map_err(|error| self.problem(word.span(), format!("{:?}: a member id {error}", word.get_ref())))
            .ok()
    }

    pub(super) fn document(&mut self, word: &Spanned<String>) -> Option<DocumentId> {
        let document = word.get_ref().parse();
        document
            .map_err(|error| {
                self.problem(word.span(), format!("{:?}: a document id {error}", word.get_ref()))
            })
            .ok()
    }

    pub(super) fn text(&mut self, word: &Spanned<String>) -> Option<String> {
        let text = word.get_ref();
        let plain =
            !text.is_empty() && text.trim() == text && !text.chars().any(signpost_common::text::is_unfit);
        if !plain || text.chars().count() > 256 {
            self.problem(
                word.span(),
                "a code or an author is 1 to 256 printable characters, without space at its ends",
            );
            return None;
        }
        Some(text.clone())
    }

    /// Reads a moment, microseconds since 1970; a date is its midnight UTC.
    pub(super) fn time(&mut self, time: &Spanned<Datetime>) -> Option<i64> {
        let text = time.get_ref().to_string();
        let read = match time.get_ref() {
            Datetime { date: Some(_), time: None, .. } => text
                .parse::<Date>()
                .and_then(|date| date.to_zoned(TimeZone::UTC))
                .map(|zoned| zoned.timestamp()),
            _ => text.parse::<Timestamp>(),
        };
        match read {
            Ok(at) => Some(at.as_microsecond()),
            Err(_) => {
                self.problem(
                    time.span(),
                    format!(
                        "{text} is no moment; write a date, or a time with its offset: 2026-01-31T00:00:00Z"
                    ),
                );
                None
            }
        }
    }

    fn in_order(
        &mut self,
        to: &str,
        from: &str,
        from_us: Option<i64>,
        to_us: Option<i64>,
        at: Option<&Spanned<Datetime>>,
    ) {
        if let (Some(from_us), Some(to_us), Some(at)) = (from_us, to_us, at)
            && to_us <= from_us
        {
            self.problem(at.span(), format!("`{to}` must be after `{from}`; as it is, this never holds"));
        }
    }

    fn duties(&mut self, duties: &[Spanned<Duty>]) -> Vec<Obligation> {
        let read = |duty: &Spanned<Duty>| {
            Some(match duty.get_ref() {
                Duty::Notice(text) if text.trim().is_empty() || text.chars().count() > NOTICE_CHARS_MAX => {
                    self.problem(duty.span(), format!("a notice is 1 to {NOTICE_CHARS_MAX} characters"));
                    return None;
                }
                Duty::Notice(text) => Obligation::RedisclosureNotice(text.clone()),
                Duty::Mask(label) => Obligation::Mask(self.label(label)?),
                Duty::Notify(PartyWord::Patient) => Obligation::Notify(Party::Patient),
                Duty::Notify(PartyWord::PrivacyOfficer) => Obligation::Notify(Party::PrivacyOfficer),
                Duty::PurposeLimit(purpose) => {
                    let known = PURPOSES.map(|(hl7, ..)| hl7);
                    let read = |text: &str| known.contains(&text).then(|| text.to_owned());
                    Obligation::PurposeLimit(self.word("purpose of use", purpose, &known, read)?)
                }
                Duty::EraseAfterDays(0) => {
                    self.problem(duty.span(), "`erase-after-days` is at least 1");
                    return None;
                }
                Duty::EraseAfterDays(days) => Obligation::EraseAfterDays(*days),
            })
        };
        duties.iter().filter_map(read).collect()
    }
}
