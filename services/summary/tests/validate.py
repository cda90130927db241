"""Validates FHIR bundles by the models of fhir.resources and prints how many resources each has.

The models check elements, types, cardinalities and required codes; what they leave to invariants is checked here, as
far as a summary has them (the names are those of FHIR R4).
"""

import json
import sys

from fhir.resources.R4B.bundle import Bundle


def codes(concept):
    """Returns the codes of a concept."""
    return {coding.code for coding in (concept.coding or [])} if concept else set()


def faults(resource):
    """Returns the names of the invariants that a resource breaks."""
    kind = resource.get_resource_type()
    if kind == "AllergyIntolerance":
        if not resource.clinicalStatus and "entered-in-error" not in codes(resource.verificationStatus):
            yield "ait-1"
    if kind == "Condition":
        over = {"inactive", "resolved", "remission"}
        abated = any(getattr(resource, f"abatement{of}") for of in ("DateTime", "Age", "Period", "Range", "String"))
        if abated and not codes(resource.clinicalStatus) & over:
            yield "con-4"
        if not resource.clinicalStatus:
            yield "con-3"
    if kind == "Observation":
        valued = any(name.startswith("value") for name in resource.model_dump(exclude_none=True))
        if valued and resource.dataAbsentReason:
            yield "obs-6"
        for stated in resource.referenceRange or []:
            if not (stated.low or stated.high or stated.text):
                yield "obs-3"
    if kind == "Composition":
        for section in resource.section:
            if not (section.text or section.entry):
                yield "cmp-1"
            if section.emptyReason and section.entry:
                yield "cmp-2"


def main():
    """Validates the files that are named; exits with the number of those that are not valid."""
    wrong = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            bundle = Bundle.model_validate(json.load(file))
        resources = [entry.resource for entry in bundle.entry]
        found = [f"{of.get_resource_type()}: {fault}" for of in resources for fault in faults(of)]
        if bundle.entry[0].resource.get_resource_type() != "Composition":
            found.append("bdl-11")
        if len({entry.fullUrl for entry in bundle.entry}) != len(bundle.entry):
            found.append("bdl-7")
        wrong += bool(found)
        print(f"{path.rsplit('/', 1)[-1]}: {len(bundle.entry)} resources, {'valid' if not found else found}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
