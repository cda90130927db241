//! The elements of FHIR R4 resources that a summary keeps, and their shapes. References are left out: what they lead to
//! is not in the summary.

use crate::{
    fact::Kind,
    value::Shape::{self, *},
};

type Elements = &'static [(&'static str, Shape)];

/// Returns the elements that are kept of a kind.
pub(super) fn of(kind: Kind) -> Elements {
    match kind {
        Kind::Allergy => ALLERGY,
        Kind::Condition => CONDITION,
        Kind::Medication => MEDICATION,
        Kind::Immunization => IMMUNIZATION,
        Kind::Observation => OBSERVATION,
        Kind::Report => REPORT,
        Kind::Procedure => PROCEDURE,
    }
}

const ALLERGY: Elements = &[
    ("identifier", List(&Identifier)),
    ("type", Code(&["allergy", "intolerance"])),
    ("category", List(&Code(&["food", "medication", "environment", "biologic"]))),
    ("criticality", Code(&["low", "high", "unable-to-assess"])),
    ("code", Concept),
    ("onsetDateTime", DateTime),
    ("onsetAge", Quantity),
    ("onsetPeriod", Period),
    ("onsetRange", Range),
    ("onsetString", Text),
    ("recordedDate", DateTime),
    ("lastOccurrence", DateTime),
    ("note", List(&Annotation)),
    (
        "reaction",
        List(&Group(&[
            ("substance", Concept),
            ("!manifestation", List(&Concept)),
            ("description", Text),
            ("onset", DateTime),
            ("severity", Code(&["mild", "moderate", "severe"])),
            ("exposureRoute", Concept),
            ("note", List(&Annotation)),
        ])),
    ),
];

const CONDITION: Elements = &[
    ("identifier", List(&Identifier)),
    ("category", List(&Concept)),
    ("severity", Concept),
    ("code", Concept),
    ("bodySite", List(&Concept)),
    ("onsetDateTime", DateTime),
    ("onsetAge", Quantity),
    ("onsetPeriod", Period),
    ("onsetRange", Range),
    ("onsetString", Text),
    ("abatementDateTime", DateTime),
    ("abatementAge", Quantity),
    ("abatementPeriod", Period),
    ("abatementRange", Range),
    ("abatementString", Text),
    ("recordedDate", DateTime),
    ("note", List(&Annotation)),
];

/// How much and how often (FHIR R4, Dosage and Timing).
pub(super) const DOSAGE: Shape = List(&Group(&[
    ("sequence", Integer),
    ("text", Text),
    ("additionalInstruction", List(&Concept)),
    ("patientInstruction", Text),
    ("timing", TIMING),
    ("asNeededBoolean", Boolean),
    ("asNeededCodeableConcept", Concept),
    ("site", Concept),
    ("route", Concept),
    ("method", Concept),
    (
        "doseAndRate",
        List(&Group(&[
            ("type", Concept),
            ("doseRange", Range),
            ("doseQuantity", Quantity),
            ("rateRatio", Ratio),
            ("rateRange", Range),
            ("rateQuantity", Quantity),
        ])),
    ),
    ("maxDosePerPeriod", Ratio),
]));

const UNITS: Shape = Code(&["s", "min", "h", "d", "wk", "mo", "a"]);

const TIMING: Shape = Group(&[
    ("event", List(&DateTime)),
    (
        "repeat",
        Group(&[
            ("boundsPeriod", Period),
            ("count", PositiveInteger),
            ("frequency", PositiveInteger),
            ("frequencyMax", PositiveInteger),
            ("period", Decimal),
            ("periodMax", Decimal),
            ("periodUnit", UNITS),
            ("dayOfWeek", List(&Code(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"]))),
            ("timeOfDay", List(&Time)),
            (
                "when",
                List(&Code(&[
                    "MORN",
                    "MORN.early",
                    "MORN.late",
                    "NOON",
                    "AFT",
                    "AFT.early",
                    "AFT.late",
                    "EVE",
                    "EVE.early",
                    "EVE.late",
                    "NIGHT",
                    "PHS",
                    "HS",
                    "WAKE",
                    "C",
                    "CM",
                    "CD",
                    "CV",
                    "AC",
                    "ACM",
                    "ACD",
                    "ACV",
                    "PC",
                    "PCM",
                    "PCD",
                    "PCV",
                ])),
            ),
        ]),
    ),
    ("code", Concept),
]);

const MEDICATION: Elements = &[
    ("identifier", List(&Identifier)),
    ("status", Code(&["active", "completed", "intended", "stopped", "on-hold", "unknown", "not-taken"])),
    ("statusReason", List(&Concept)),
    ("category", Concept),
    ("medicationCodeableConcept", Concept),
    ("effectiveDateTime", DateTime),
    ("effectivePeriod", Period),
    ("dateAsserted", DateTime),
    ("reasonCode", List(&Concept)),
    ("note", List(&Annotation)),
    ("dosage", DOSAGE),
];

const IMMUNIZATION: Elements = &[
    ("identifier", List(&Identifier)),
    ("status", Code(&["completed", "not-done"])),
    ("statusReason", Concept),
    ("vaccineCode", Concept),
    ("occurrenceDateTime", DateTime),
    ("occurrenceString", Text),
    ("recorded", DateTime),
    ("primarySource", Boolean),
    ("lotNumber", Text),
    ("expirationDate", Date),
    ("site", Concept),
    ("route", Concept),
    ("doseQuantity", Quantity),
    ("note", List(&Annotation)),
    ("reasonCode", List(&Concept)),
];

const RANGES: Shape = List(&Group(&[
    ("low", Quantity),
    ("high", Quantity),
    ("type", Concept),
    ("appliesTo", List(&Concept)),
    ("age", Range),
    ("text", Text),
]));

const OBSERVATION: Elements = &[
    ("identifier", List(&Identifier)),
    ("status", Code(&["registered", "preliminary", "final", "amended", "corrected", "unknown"])),
    ("category", List(&Concept)),
    ("code", Concept),
    ("effectiveDateTime", DateTime),
    ("effectivePeriod", Period),
    ("effectiveInstant", Instant),
    ("issued", Instant),
    ("valueQuantity", Quantity),
    ("valueCodeableConcept", Concept),
    ("valueString", Text),
    ("valueBoolean", Boolean),
    ("valueInteger", Integer),
    ("valueRange", Range),
    ("valueRatio", Ratio),
    ("valueTime", Time),
    ("valueDateTime", DateTime),
    ("valuePeriod", Period),
    ("dataAbsentReason", Concept),
    ("interpretation", List(&Concept)),
    ("note", List(&Annotation)),
    ("bodySite", Concept),
    ("method", Concept),
    ("referenceRange", RANGES),
    (
        "component",
        List(&Group(&[
            ("!code", Concept),
            ("valueQuantity", Quantity),
            ("valueCodeableConcept", Concept),
            ("valueString", Text),
            ("valueBoolean", Boolean),
            ("valueInteger", Integer),
            ("valueRange", Range),
            ("valueRatio", Ratio),
            ("valueTime", Time),
            ("valueDateTime", DateTime),
            ("valuePeriod", Period),
            ("dataAbsentReason", Concept),
            ("interpretation", List(&Concept)),
            ("referenceRange", RANGES),
        ])),
    ),
];

const REPORT: Elements = &[
    ("identifier", List(&Identifier)),
    (
        "status",
        Code(&[
            "registered",
            "partial",
            "preliminary",
            "final",
            "amended",
            "corrected",
            "appended",
            "unknown",
        ]),
    ),
    ("category", List(&Concept)),
    ("code", Concept),
    ("effectiveDateTime", DateTime),
    ("effectivePeriod", Period),
    ("issued", Instant),
    ("conclusion", Text),
    ("conclusionCode", List(&Concept)),
];

const PROCEDURE: Elements = &[
    ("identifier", List(&Identifier)),
    ("status", Code(&["in-progress", "not-done", "on-hold", "stopped", "completed", "unknown"])),
    ("statusReason", Concept),
    ("category", Concept),
    ("code", Concept),
    ("performedDateTime", DateTime),
    ("performedPeriod", Period),
    ("performedString", Text),
    ("performedAge", Quantity),
    ("performedRange", Range),
    ("reasonCode", List(&Concept)),
    ("bodySite", List(&Concept)),
    ("outcome", Concept),
    ("complication", List(&Concept)),
    ("note", List(&Annotation)),
];

/// The person, as far as a summary names them.
pub(super) const PATIENT: Elements = &[
    ("identifier", List(&Identifier)),
    (
        "name",
        List(&Group(&[("text", Text), ("family", Text), ("given", List(&Text)), ("suffix", List(&Text))])),
    ),
    (
        "telecom",
        List(&Group(&[
            ("!system", Code(&["phone", "fax", "email", "pager", "url", "sms", "other"])),
            ("!value", Text),
            ("use", Code(&["home", "work", "temp", "old", "mobile"])),
        ])),
    ),
    ("gender", Code(&["male", "female", "other", "unknown"])),
    ("birthDate", Date),
    (
        "address",
        List(&Group(&[
            ("text", Text),
            ("line", List(&Text)),
            ("city", Text),
            ("state", Text),
            ("postalCode", Text),
            ("country", Text),
        ])),
    ),
];
