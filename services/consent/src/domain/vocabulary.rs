//! The words that rules are written in: labels, purposes of use, roles, relationships, reasons.

use signpost_proto::{
    common::v1::{PurposeOfUse, Role},
    consent::v1::EmergencyReason,
};

use super::request::Relationship;

/// Labels that every policy knows, sorted: HL7 v3 Confidentiality (`U` to `V`), and of ActCode the sensitivities of
/// information (InformationSensitivityPolicy).
pub const LABELS: [&str; 39] = [
    "ADOL", "B", "BH", "CEL", "COGN", "DIA", "DRGIS", "DVD", "EMOTDIS", "EMP", "ETH", "ETHUD", "GDIS", "HIV",
    "L", "LOCIS", "M", "MH", "MST", "N", "OPIOIDUD", "PREGNANT", "PSY", "PSYTHPN", "R", "SCA", "SDV", "SEX",
    "SICKLE", "SPI", "SSP", "STD", "SUD", "TBOO", "U", "V", "VIO", "VIP", "WORK",
];

/// HL7 codes of purposes of use (v3 ActReason, PurposeOfUse), and the exchange purpose of TEFCA (Exchange Purposes SOP)
/// that each belongs to. TEFCA has none for research.
pub const PURPOSES: [(&str, PurposeOfUse, Option<&str>); 8] = [
    ("TREAT", PurposeOfUse::Treat, Some("T-TREAT")),
    ("ETREAT", PurposeOfUse::Etreat, Some("T-TREAT")),
    ("BTG", PurposeOfUse::Btg, Some("T-TREAT")),
    ("HPAYMT", PurposeOfUse::Hpaymt, Some("T-PYMNT")),
    ("HOPERAT", PurposeOfUse::Hoperat, Some("T-HCO")),
    ("PUBHLTH", PurposeOfUse::Pubhlth, Some("T-PH")),
    ("HRESCH", PurposeOfUse::Hresch, None),
    ("PATRQT", PurposeOfUse::Patrqt, Some("T-IAS")),
];

/// Names of roles.
pub const ROLES: [(&str, Role); 9] = [
    ("physician", Role::Physician),
    ("nurse", Role::Nurse),
    ("clerk", Role::Clerk),
    ("steward", Role::Steward),
    ("privacy-officer", Role::PrivacyOfficer),
    ("operator", Role::Operator),
    ("patient", Role::Patient),
    ("representative", Role::Representative),
    ("system", Role::System),
];

/// Names of what a requester is to the patient.
pub const RELATIONSHIPS: [(&str, Relationship); 3] = [
    ("self", Relationship::Myself),
    ("representative", Relationship::Representative),
    ("treating", Relationship::Treating),
];

/// Names of reasons for emergency access.
pub const REASONS: [(&str, EmergencyReason); 3] = [
    ("unconscious", EmergencyReason::Unconscious),
    ("life-threatening", EmergencyReason::LifeThreatening),
    ("danger-to-others", EmergencyReason::DangerToOthers),
];

/// Returns the purposes that a code stands for: one by its HL7 code, all of an exchange purpose by TEFCA's.
pub fn purposes(code: &str) -> Vec<PurposeOfUse> {
    let named = PURPOSES.iter().filter(|(hl7, _, tefca)| *hl7 == code || *tefca == Some(code));
    named.map(|(_, purpose, _)| *purpose).collect()
}

/// Returns the HL7 code of a purpose.
pub fn purpose_code(purpose: PurposeOfUse) -> &'static str {
    PURPOSES.iter().find(|(_, of, _)| *of == purpose).map_or("", |(hl7, ..)| hl7)
}

/// Returns what a name stands for in one of the lists above.
pub fn named<T: Copy>(list: &[(&'static str, T)], name: &str) -> Option<T> {
    list.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Returns the name of something in one of the lists above.
pub fn name_of<T: PartialEq>(list: &[(&'static str, T)], value: &T) -> &'static str {
    list.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_to_be_found() {
        assert!(LABELS.is_sorted());
        for label in ["N", "R", "V", "ETH", "ETHUD", "OPIOIDUD", "PSY", "SDV", "HIV"] {
            assert!(LABELS.binary_search(&label).is_ok(), "{label}");
        }
    }

    #[test]
    fn a_tefca_purpose_stands_for_all_that_belong_to_it() {
        assert_eq!(purposes("T-TREAT"), [PurposeOfUse::Treat, PurposeOfUse::Etreat, PurposeOfUse::Btg]);
        assert_eq!(purposes("HPAYMT"), purposes("T-PYMNT"));
        assert_eq!(purposes("treat"), []);
        for (hl7, purpose, _) in PURPOSES {
            assert_eq!(purposes(hl7), [purpose]);
            assert_eq!(purpose_code(purpose), hl7);
        }
    }
}
