use serde_json::{Value, json};

use super::*;

fn base() -> Base {
    Base::parse("https://north:8443/fhir").unwrap()
}

fn reference() -> Value {
    json!({
        "resourceType": "DocumentReference",
        "id": "d1",
        "status": "current",
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
        "identifier": [{"value": "other"}],
        "subject": {"reference": "Patient/p1"},
        "content": [{"attachment": {"contentType": "text/plain", "url": "Binary/b1"}}],
    })
}

fn patient() -> Value {
    json!({
        "fullUrl": "https://north:8443/fhir/Patient/p1",
        "resource": {"resourceType": "Patient", "id": "p1", "identifier": [{"value": "MRN1"}, {"value": "MRN2"}]},
    })
}

fn bundle(entries: &[Value]) -> Vec<u8> {
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string().into_bytes()
}

/// Returns where the document lies in a bundle of these entries.
fn found(entries: &[Value]) -> Result<Option<Place>, Failure> {
    let bytes = bundle(entries);
    let attachment = searchset(&bytes)?.document(&base(), "urn:oid:1.2.3", "MRN1")?;
    attachment.map(|attachment| attachment.place().map(|(_, place)| place)).transpose()
}

fn at(url: &str) -> Result<Option<Place>, Failure> {
    Ok(Some(Place::At(url.into())))
}

fn with(change: impl Fn(&mut Value)) -> Value {
    let mut document = reference();
    change(&mut document);
    json!({"fullUrl": "https://north:8443/fhir/DocumentReference/d1", "resource": document})
}

#[test]
fn a_document_of_the_patient_is_found() {
    assert_eq!(found(&[with(|_| ()), patient()]), at("Binary/b1"));
    let by_identifier = with(|d| {
        d["masterIdentifier"] = Value::Null;
        d["identifier"] = json!([{"value": "x"}, {"value": "urn:oid:1.2.3"}]);
    });
    assert_eq!(found(&[patient(), by_identifier]), at("Binary/b1"));
    for reference in ["https://north:8443/fhir/Patient/p1", "/fhir/Patient/p1", "Patient/p1/_history/3"] {
        let document = with(|d| d["subject"]["reference"] = reference.into());
        assert_eq!(found(&[document, patient()]), at("Binary/b1"), "{reference}");
    }
    let mut local = patient();
    local["fullUrl"] = "urn:uuid:9".into();
    assert_eq!(found(&[with(|_| ()), local.clone()]), at("Binary/b1"));
    let document = with(|d| d["subject"]["reference"] = "urn:uuid:9".into());
    assert_eq!(found(&[document, local]), at("Binary/b1"));
    let contained = with(|d| {
        d["contained"] = json!([{"resourceType": "Practitioner", "id": "p"},
            {"resourceType": "Patient", "id": "p", "identifier": [{"value": "MRN1"}]}]);
        d["subject"]["reference"] = "#p".into();
    });
    assert_eq!(found(&[contained]), at("Binary/b1"));
    let logical = with(|d| d["subject"] = json!({"identifier": {"system": "s", "value": "MRN1"}}));
    assert_eq!(found(&[logical]), at("Binary/b1"));
    // Other resources are not looked into, whatever they are made of.
    let others = [json!({"resource": {"resourceType": "OperationOutcome", "identifier": 7}}), json!({})];
    assert_eq!(found(&[with(|_| ()), patient(), others[0].clone(), others[1].clone()]), at("Binary/b1"));
}

#[test]
fn a_document_whose_patient_is_not_known_to_be_the_one_is_none() {
    let another = |identifiers: Value| {
        let mut another = patient();
        another["resource"]["identifier"] = identifiers;
        another
    };
    let cases = [
        ("no Patient", vec![with(|_| ())]),
        ("no subject", vec![with(|d| d["subject"] = Value::Null), patient()]),
        ("an empty subject", vec![with(|d| d["subject"] = json!({})), patient()]),
        ("another identifier", vec![with(|_| ()), another(json!([{"value": "MRN9"}]))]),
        (
            "a part of the identifier",
            vec![with(|_| ()), another(json!([{"value": "MRN11"}, {"value": "MRN"}]))],
        ),
        ("no identifier", vec![with(|_| ()), another(json!([]))]),
        ("another Patient", vec![with(|d| d["subject"]["reference"] = "Patient/p2".into()), patient()]),
        (
            "a Patient elsewhere",
            vec![with(|d| d["subject"]["reference"] = "https://evil/fhir/Patient/p1".into()), patient()],
        ),
        ("another logical patient", vec![with(|d| d["subject"] = json!({"identifier": {"value": "MRN9"}}))]),
        (
            "a Patient that is another than the reference says",
            vec![
                with(|d| d["subject"]["identifier"] = json!({"value": "MRN1"})),
                another(json!([{"value": "MRN9"}])),
            ],
        ),
        (
            "a Group",
            vec![
                with(|d| d["subject"]["reference"] = "Group/p1".into()),
                json!({"resource": {"resourceType": "Group", "id": "p1", "identifier": [{"value": "MRN1"}]}}),
            ],
        ),
        (
            "a contained Patient that is not there",
            vec![with(|d| d["subject"]["reference"] = "#p1".into()), patient()],
        ),
    ];
    for (what, entries) in cases {
        assert_eq!(found(&entries), Ok(None), "{what}");
    }
    let mut elsewhere = patient();
    elsewhere["fullUrl"] = "https://evil/fhir/Patient/p1".into();
    assert_eq!(found(&[with(|_| ()), elsewhere]), Ok(None));
}

#[test]
fn another_document_is_none() {
    let other = with(|d| d["masterIdentifier"]["value"] = "urn:oid:1.2.3.4".into());
    assert_eq!(found(&[other, patient()]), Ok(None));
    for status in [json!("superseded"), json!("entered-in-error"), Value::Null] {
        assert_eq!(found(&[with(|d| d["status"] = status.clone()), patient()]), Ok(None), "{status}");
    }
    assert_eq!(found(&[]), Ok(None));
    assert_eq!(found(&[with(|_| ()), with(|_| ()), patient()]), Err(Failure::WrongForm), "which of two?");
}

#[test]
fn a_document_lies_in_line_or_at_a_url() {
    let content = |content: Value| found(&[with(|d| d["content"] = content.clone()), patient()]);
    let bytes = |text: &'static str| Ok(Some(Place::Inline(Bytes::from_static(text.as_bytes()))));
    assert_eq!(
        content(json!([{"attachment": {"contentType": "a/b", "data": "aGVs\r\nbG8="}}])),
        bytes("hello")
    );
    assert_eq!(content(json!([{"attachment": {"contentType": "a/b", "data": ""}}])), bytes(""));
    assert_eq!(
        content(
            json!([{"attachment": {"title": "none"}}, {"attachment": {"contentType": "a/b", "url": "x"}}])
        ),
        at("x")
    );
    for wrong in [
        json!([]),
        json!([{"attachment": {}}]),
        json!([{"attachment": {"contentType": "a/b"}}]),
        json!([{"attachment": {"url": "x"}}]),
        json!([{"attachment": {"contentType": "a/b", "data": "aGVs!"}}]),
        json!([{"attachment": {"contentType": "a/b", "data": "aGVsbG8"}}]),
        json!([{}]),
        json!({"attachment": {"contentType": "a/b", "url": "x"}}),
    ] {
        assert_eq!(content(wrong.clone()), Err(Failure::WrongForm), "{wrong}");
    }
}

#[test]
fn what_is_no_searchset_is_of_the_wrong_form() {
    let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let ignored =
        format!(r#"{{"resourceType":"Bundle","type":"searchset","x":{deep},"entry":[{{"x":{deep}}}]}}"#);
    assert!(searchset(ignored.as_bytes()).is_ok(), "what is ignored costs no stack");
    let resource =
        format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{{"resource":{deep}}}]}}"#);
    assert_eq!(searchset(resource.as_bytes()).unwrap().unique_ids(), Err(Failure::WrongForm));
    let long =
        format!(r#"{{"resourceType":"Bundle","type":"searchset","entry":[{}{{}}]}}"#, "{},".repeat(LIST_MAX));
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "hello",
        "{\"resourceType\":\"Bundle\"",
        r#"{"resourceType":"Bundle","type":"history"}"#,
        r#"{"resourceType":"OperationOutcome","type":"searchset"}"#,
        r#"{"resourceType":"Bundle","type":"searchset","entry":7}"#,
        r#"{"resourceType":"Bundle","type":"searchset","entry":[7]}"#,
        r#"{"resourceType":"Bundle","type":"searchset"} x"#,
        deep.as_str(),
        long.as_str(),
        "\u{feff}{}",
    ] {
        assert_eq!(searchset(text.as_bytes()).map(drop), Err(Failure::WrongForm), "{}", text.len());
    }
    assert_eq!(searchset(b"\xff\xfe").map(drop), Err(Failure::WrongForm));
    let inside = bundle(&[json!({"resource": {"no": "type"}})]);
    assert_eq!(searchset(&inside).unwrap().unique_ids(), Err(Failure::WrongForm));
}

#[test]
fn all_unique_ids_of_current_documents_are_told() {
    let old = with(|d| d["status"] = "superseded".into());
    let bare = json!({"resource": {"resourceType": "DocumentReference", "status": "current"}});
    let bytes = bundle(&[with(|_| ()), old, bare, patient()]);
    assert_eq!(searchset(&bytes).unwrap().unique_ids().unwrap(), ["urn:oid:1.2.3", "other"]);
    assert_eq!(searchset(&bytes).unwrap().next(), None);
    let link = json!([{"relation": "self", "url": "a"}, {"relation": "next", "url": "b"}]);
    let bytes = json!({"resourceType": "Bundle", "type": "searchset", "link": link}).to_string();
    assert_eq!(searchset(bytes.as_bytes()).unwrap().next(), Some("b"));
}

#[test]
fn a_binary_holds_a_document() {
    let read = |value: Value| binary(value.to_string().as_bytes());
    let good = json!({"resourceType": "Binary", "id": "b", "contentType": "a/b", "data": "aGVsbG8="});
    assert_eq!(read(good), Ok(Some(("a/b".into(), Bytes::from_static(b"hello")))));
    assert_eq!(read(json!({"resourceType": "Composition"})), Ok(None));
    for wrong in [
        json!({"resourceType": "Binary"}),
        json!({"resourceType": "Binary", "contentType": "a/b"}),
        json!({"resourceType": "Binary", "contentType": "a/b", "data": "%"}),
        json!({"resourceType": "Binary", "contentType": "a/b", "data": 7}),
        json!(7),
    ] {
        assert_eq!(read(wrong.clone()), Err(Failure::WrongForm), "{wrong}");
    }
    assert_eq!(binary(b"{").map(drop), Err(Failure::WrongForm));
}
