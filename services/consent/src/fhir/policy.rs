//! The policies that IHE PCF names (volume 1, 53.2.1): what holds without a consent, and what a consent may agree to.

use signpost_proto::common::v1::{PurposeOfUse, Role};

use crate::domain::{Criterion, Effect, Matcher};

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implicit {
    /// What holds where it matches.
    pub effect: Effect,
    /// What it speaks of.
    pub matcher: Matcher,
    /// Where the opposite holds.
    pub exceptions: Vec<Matcher>,
    /// Whether emergency access goes past its denial.
    pub overridable: bool,
}

/// What the address of each policy begins with.
const BASE: &str = "https://profiles.ihe.net/ITI/PCF/Policy-";

/// Address of the policy that lets clinicians treat.
pub(super) const BASIC_NORMAL: &str = "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal";

/// Returns what a policy of PCF says, by its address or by the end of it, such as `basic-normal`.
///
/// - `basic-normal` permits clinicians to treat. Clinicians are physicians and nurses here, and treatment is `TREAT` alone.
/// - `all-normal` permits every use; who may ask at all is decided elsewhere.
/// - `break-glass-only` denies, and emergency access goes past it.
/// - `deny` denies.
pub fn implicit(name: &str) -> Option<Implicit> {
    let plain = |effect, overridable| Implicit {
        effect,
        matcher: Matcher::default(),
        exceptions: vec![],
        overridable,
    };
    Some(match name.strip_prefix(BASE).unwrap_or(name) {
        "basic-normal" => Implicit { matcher: clinicians_treat(), ..plain(Effect::Permit, false) },
        "all-normal" => plain(Effect::Permit, false),
        "break-glass-only" => plain(Effect::Deny, true),
        "deny" => plain(Effect::Deny, false),
        _ => return None,
    })
}

/// Returns what `basic-normal` speaks of.
pub(super) fn clinicians_treat() -> Matcher {
    Matcher::new([
        Criterion::Roles(vec![Role::Physician, Role::Nurse]),
        Criterion::Purposes(vec![PurposeOfUse::Treat]),
    ])
}
