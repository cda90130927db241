//! Obligations that come with a permit, and how the locator discharges them.
//!
//! Notices, a limit of purpose and a time to erase go to the receiver with the document, in words and as data; what is to be
//! masked is asked of the custodian, which must say that it did; who is to be told is told before the release. What is not
//! known here cannot be discharged, and nothing is released.

use signpost_proto::consent::v1::{Decision, NoticeParty};

/// What must be done with a release.
#[derive(Debug, Default)]
pub(crate) struct Duties {
    /// Texts that go with the document.
    pub(crate) notices: Vec<String>,
    /// Labels of which the custodian masks what bears them.
    pub(crate) mask: Vec<String>,
    /// Who is told.
    pub(crate) notify: Vec<NoticeParty>,
}

impl Duties {
    /// Returns what a decision asks for; `None` when some of it cannot be discharged.
    pub(crate) fn of(decision: &Decision) -> Option<Self> {
        let mut duties = Self::default();
        for obligation in &decision.obligations {
            match (obligation.kind.as_str(), obligation.value.as_str()) {
                ("REDISCLOSURE_NOTICE", text) => duties.notices.push(text.to_owned()),
                ("MASK", label) => duties.mask.push(label.to_owned()),
                ("NOTIFY", "PATIENT") => duties.notify.push(NoticeParty::Patient),
                ("NOTIFY", "PRIVACY_OFFICER") => duties.notify.push(NoticeParty::PrivacyOfficer),
                // Conveyed to the receiver as they are.
                ("PURPOSE_LIMIT" | "ERASE_AFTER_DAYS", _) => {}
                (kind, _) => {
                    tracing::error!(kind, "an obligation cannot be discharged; the document is not released");
                    return None;
                }
            }
        }
        Some(duties)
    }
}

#[cfg(test)]
mod tests {
    use signpost_proto::consent::v1::Obligation;

    use super::*;

    fn decision(obligations: &[(&str, &str)]) -> Decision {
        let obligation =
            |(kind, value): &(&str, &str)| Obligation { kind: (*kind).into(), value: (*value).into() };
        Decision { obligations: obligations.iter().map(obligation).collect(), ..Decision::default() }
    }

    #[test]
    fn what_is_known_is_discharged_and_nothing_else() {
        let known = [
            ("REDISCLOSURE_NOTICE", "not to be passed on"),
            ("MASK", "PSY"),
            ("NOTIFY", "PATIENT"),
            ("PURPOSE_LIMIT", "TREAT"),
            ("ERASE_AFTER_DAYS", "30"),
        ];
        let duties = Duties::of(&decision(&known)).unwrap();
        assert_eq!(
            (&*duties.notices, &*duties.mask),
            (&["not to be passed on".into()][..], &["PSY".into()][..])
        );
        assert_eq!(duties.notify, [NoticeParty::Patient]);
        assert!(Duties::of(&decision(&[("NOTIFY", "NEIGHBOUR")])).is_none());
        assert!(Duties::of(&decision(&[known[0], ("WATERMARK", "")])).is_none());
    }
}
