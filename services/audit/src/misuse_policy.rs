//! What counts as misuse, as people write it: a TOML file in which everything may be left out.
//!
//! Staff and watched patients are named by their records at a member. They are hashed as the log hashes them, and the file is as
//! secret as any list of patients.

use jiff::SignedDuration;
use serde::Deserialize;
use signpost_common::{
    hash::Blinder,
    id::{MemberId, RecordRef},
    rpc::token,
};
use signpost_proto::directory::v1::MemberKind;
use toml::Spanned;

use crate::{
    convert,
    domain::misuse::{Count, Policy, Reason, Staff},
};

/// Longest file, in bytes.
pub const BYTES_MAX: usize = 4 << 20;

/// Longest time within which something is counted.
const WITHIN_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

/// Something that is wrong with a file. Values are not repeated: they may be of patients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    velocity: Option<Within>,
    breadth: Option<Within>,
    enumeration: Option<Within>,
    member_velocity: Option<Within>,
    member_breadth: Option<Within>,
    member_enumeration: Option<Within>,
    takes_only: Option<Within>,
    quiet: Option<Spanned<String>>,
    #[serde(default)]
    off: Vec<Spanned<String>>,
    #[serde(default)]
    purposes: Purposes,
    #[serde(default)]
    watched: Vec<Record>,
    #[serde(default)]
    staff: Vec<Employee>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Within {
    most: u32,
    within: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Purposes {
    provider: Option<Vec<Spanned<String>>>,
    payer: Option<Vec<Spanned<String>>>,
    public_health: Option<Vec<Spanned<String>>>,
    operator: Option<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    member: Spanned<String>,
    record: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Employee {
    member: Spanned<String>,
    user: String,
    record: Option<Spanned<String>>,
    #[serde(default)]
    household: Vec<Spanned<String>>,
}

/// Reads a file.
///
/// # Errors
/// With the first line that is wrong.
pub fn read(text: &str, blinder: &Blinder) -> Result<Policy, Problem> {
    let reader = Reader { text, blinder };
    if text.len() > BYTES_MAX {
        return Err(Problem { line: 1, message: format!("a file has at most {BYTES_MAX} bytes") });
    }
    let file: File = toml::from_str(text).map_err(|error| {
        // The parser's own words: the name of a key, or what it expected.
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        reader.problem(error.span().map_or(0, |span| span.start), message)
    })?;
    let mut policy = Policy::default();
    let counts = [
        (file.velocity, &mut policy.velocity),
        (file.breadth, &mut policy.breadth),
        (file.enumeration, &mut policy.enumeration),
        (file.member_velocity, &mut policy.member_velocity),
        (file.member_breadth, &mut policy.member_breadth),
        (file.member_enumeration, &mut policy.member_enumeration),
        (file.takes_only, &mut policy.takes_only),
    ];
    for (within, count) in counts {
        if let Some(within) = within {
            *count = Count { most: within.most, within_us: reader.time(&within.within)? };
        }
    }
    if let Some(quiet) = &file.quiet {
        policy.quiet_us = reader.time(quiet)?;
    }
    for name in &file.off {
        policy.off.insert(reader.reason(name)?);
    }
    let Purposes { provider, payer, public_health, operator } = file.purposes;
    let kinds = [
        (MemberKind::Provider, provider),
        (MemberKind::Payer, payer),
        (MemberKind::PublicHealth, public_health),
        (MemberKind::Operator, operator),
    ];
    for (kind, codes) in kinds {
        if let Some(codes) = codes {
            let purposes = codes.iter().map(|code| {
                token::purpose(code.get_ref()).ok_or_else(|| reader.at(code, "is no HL7 purpose of use"))
            });
            policy.fitting.insert(kind, purposes.collect::<Result<_, _>>()?);
        }
    }
    for Record { member, record } in &file.watched {
        let subject = reader.record(&reader.member(member)?, record)?;
        policy.watched.insert(subject);
    }
    for Employee { member, user, record, household } in &file.staff {
        let member = reader.member(member)?;
        let record = record.as_ref().map(|record| reader.record(&member, record)).transpose()?;
        let household =
            household.iter().map(|record| reader.record(&member, record)).collect::<Result<_, _>>()?;
        policy.staff.employ(member.as_str(), user, Staff { record, household });
    }
    Ok(policy)
}

struct Reader<'a> {
    text: &'a str,
    blinder: &'a Blinder,
}

impl Reader<'_> {
    fn problem(&self, at: usize, message: impl Into<String>) -> Problem {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        Problem { line: before.iter().filter(|byte| **byte == b'\n').count() + 1, message: message.into() }
    }

    fn at<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> Problem {
        self.problem(value.span().start, message)
    }

    /// Reads a time such as `90s`, `10m`, `1d`, as microseconds.
    fn time(&self, text: &Spanned<String>) -> Result<i64, Problem> {
        let wrong =
            || self.at(text, "is no time from 1 second to 366 days; write it as \"90s\", \"10m\" or \"24h\"");
        let time: SignedDuration = text.get_ref().parse().map_err(|_| wrong())?;
        if time < SignedDuration::from_secs(1) || time > WITHIN_MAX {
            return Err(wrong());
        }
        i64::try_from(time.as_micros()).map_err(|_| wrong())
    }

    fn reason(&self, name: &Spanned<String>) -> Result<Reason, Problem> {
        let upper = name.get_ref().to_ascii_uppercase().replace('-', "_");
        let known =
            || Reason::ALL.map(|reason| reason.name().to_ascii_lowercase().replace('_', "-")).join(", ");
        Reason::read(&upper)
            .ok_or_else(|| self.at(name, format!("is no sign of misuse; it is one of {}", known())))
    }

    fn member(&self, id: &Spanned<String>) -> Result<MemberId, Problem> {
        id.get_ref().parse().map_err(|error| self.at(id, format!("`member` {error}")))
    }

    fn record(&self, member: &MemberId, local_id: &Spanned<String>) -> Result<i64, Problem> {
        let record = RecordRef::new(member.clone(), local_id.get_ref());
        let record = record.map_err(|error| self.at(local_id, format!("the record {error}")))?;
        Ok(convert::subject(self.blinder, &record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blinder() -> Blinder {
        Blinder::new(&[7; 32]).unwrap()
    }

    fn fault(text: &str) -> String {
        read(text, &blinder()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_is_as_by_default() {
        assert_eq!(read("", &blinder()), Ok(Policy::default()));
        let tuned =
            read("velocity = { most = 5, within = \"10m\" }\noff = [\"takes-only\"]\n", &blinder()).unwrap();
        assert_eq!(tuned.velocity, Count { most: 5, within_us: 600_000_000 });
        assert!(tuned.off.contains(&Reason::TakesOnly));
        assert_eq!(tuned.breadth, Policy::default().breadth);
    }

    #[test]
    fn the_file_that_is_shipped_says_what_holds_by_default() {
        let shipped = include_str!("../../../deploy/policies/misuse.toml");
        assert_eq!(read(shipped, &blinder()), Ok(Policy::default()));
    }

    #[test]
    fn people_are_hashed_as_the_log_hashes_them() {
        let text = "[[watched]]\nmember = \"north\"\nrecord = \"1\"\n\
                    [[staff]]\nmember = \"north\"\nuser = \"dr.lee\"\nrecord = \"2\"\nhousehold = [\"3\"]\n";
        let policy = read(text, &blinder()).unwrap();
        let record = RecordRef::new("north".parse().unwrap(), "1").unwrap();
        assert!(policy.watched.contains(&convert::subject(&blinder(), &record)));
        let mut employed = Policy::default();
        let hash = |id| convert::subject(&blinder(), &RecordRef::new("north".parse().unwrap(), id).unwrap());
        employed.staff.employ(
            "north",
            "dr.lee",
            Staff { record: Some(hash("2")), household: vec![hash("3")] },
        );
        employed.watched = policy.watched.clone();
        assert_eq!(policy, employed);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_its_value() {
        assert!(fault("\nvelocty = 1").starts_with("line 2: unknown field `velocty`"));
        assert!(fault("quiet = \"soon\"").starts_with("line 1: is no time"));
        assert!(fault("quiet = \"0s\"").starts_with("line 1: is no time"));
        assert!(fault("\n\noff = [\"velocity\", \"haste\"]").starts_with("line 3: is no sign of misuse"));
        assert!(fault("[purposes]\npayer = [\"FUN\"]").starts_with("line 2: is no HL7 purpose"));
        let secret = fault("[[watched]]\nmember = \"north\"\nrecord = \"MRN\\n778\"");
        assert!(secret.starts_with("line 3: the record ") && !secret.contains("778"), "{secret}");
        assert!(fault("[[staff]]\nmember = \"NO RTH\"\nuser = \"x\"").starts_with("line 2: `member`"));
    }
}
