//! Directives as FHIR Consent, on the wire.

use signpost_common::{
    id::DirectiveId,
    rpc::{Context, status::invalid},
};
use signpost_proto::{common::v1::Role, consent::v1 as proto};
use tonic::Status;

use super::patient;
use crate::{
    domain::{Directive, Grantor},
    fhir::{self, Fault, Version},
};

/// Most faults that one error tells.
const FAULTS_MAX: usize = 10;

fn version(value: i32) -> Result<Version, Status> {
    match proto::FhirVersion::try_from(value) {
        Ok(proto::FhirVersion::R4) => Ok(Version::R4),
        Ok(proto::FhirVersion::R5) => Ok(Version::R5),
        Ok(proto::FhirVersion::Unspecified) | Err(_) => Err(invalid("version", "must be R4 or R5")),
    }
}

fn told(field: &str, faults: &[Fault]) -> Status {
    let first: Vec<String> = faults.iter().take(FAULTS_MAX).map(ToString::to_string).collect();
    invalid(field, first.join("; "))
}

/// Reads a consent to record.
pub(crate) fn imported(
    context: &Context,
    request: &proto::ImportConsentRequest,
    now_us: i64,
) -> Result<Directive, Status> {
    let patient = patient(context, request.patient.clone())?;
    let version = version(request.version)?;
    let consent = fhir::read(&request.resource, version).map_err(|faults| told("resource", &faults))?;
    // An identifier of the exchange's own must be this patient's; any other reference is the member's to know.
    if let Some(own) = fhir::patient_of(&consent.patient)
        && own != (patient.member_id.as_str(), patient.local_id())
    {
        return Err(invalid("resource", "is the consent of another patient"));
    }
    if context.is(&[Role::Patient]) && consent.grantor != Grantor::Patient
        || context.is(&[Role::Representative]) && consent.grantor != Grantor::Representative
    {
        return Err(invalid("resource", "is granted by somebody else than the caller"));
    }
    if consent.validity.to_us.is_some_and(|to_us| to_us <= now_us) {
        return Err(invalid("resource", "has ended"));
    }
    Ok(consent.directive(DirectiveId::generate(), patient, now_us, context.actor()))
}

/// Writes a directive as a FHIR Consent.
pub(crate) fn exported(directive: &Directive, version: i32) -> Result<String, Status> {
    let version = self::version(version)?;
    let resource = fhir::write(directive, version).map_err(|faults| told("directive_id", &faults))?;
    Ok(resource.to_string())
}
