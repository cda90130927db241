//! What a FHIR R4 server says: bundles of DocumentReferences and Patients, and Binaries. Only the fields that are needed are
//! read; every list is bounded, and so, by its caller, is the whole.

use std::{fmt, marker::PhantomData};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::super::Failure;
use super::base::Base;

/// Most items of a list.
const LIST_MAX: usize = 1000;

/// Longest unique id that can be registered, in bytes.
const UNIQUE_ID_BYTES_MAX: usize = 1024;

/// An answer to a search.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bundle<'a> {
    resource_type: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "few")]
    link: Vec<Link>,
    #[serde(default, borrow, deserialize_with = "few")]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Link {
    relation: String,
    url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    full_url: Option<String>,
    #[serde(borrow)]
    resource: Option<&'a RawValue>,
}

/// What every resource says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    resource_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentReference<'a> {
    status: Option<String>,
    master_identifier: Option<Identifier>,
    #[serde(default, deserialize_with = "few")]
    identifier: Vec<Identifier>,
    subject: Option<Reference>,
    #[serde(default, borrow, deserialize_with = "few")]
    contained: Vec<&'a RawValue>,
    #[serde(default, deserialize_with = "few")]
    content: Vec<Content>,
}

#[derive(Deserialize)]
struct Identifier {
    value: Option<String>,
}

#[derive(Deserialize)]
struct Reference {
    reference: Option<String>,
    identifier: Option<Identifier>,
}

#[derive(Deserialize)]
struct Patient {
    id: Option<String>,
    #[serde(default, deserialize_with = "few")]
    identifier: Vec<Identifier>,
}

#[derive(Deserialize)]
struct Content {
    attachment: Attachment,
}

/// Where the bytes of a document are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attachment {
    content_type: Option<String>,
    data: Option<String>,
    url: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binary {
    content_type: String,
    data: String,
}

/// The bytes of a document, or where they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Inline(Bytes),
    At(String),
}

/// Reads a list of at most [`LIST_MAX`] items: a few bytes of text can be a large value.
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {LIST_MAX} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut items = vec![];
            while let Some(item) = list.next_element()? {
                if items.len() == LIST_MAX {
                    return Err(A::Error::custom("a list is too long"));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Few(PhantomData))
}

fn read<'a, T: Deserialize<'a>>(text: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(text.get()).map_err(|_| Failure::WrongForm)
}

/// Reads a resource when it is of this type.
fn read_as<'a, T: Deserialize<'a>>(text: &'a RawValue, resource_type: &str) -> Result<Option<T>, Failure> {
    let Kind { resource_type: is } = read(text)?;
    if is == resource_type { read(text).map(Some) } else { Ok(None) }
}

fn any_is(identifiers: &[Identifier], value: &str) -> bool {
    identifiers.iter().any(|identifier| identifier.value.as_deref() == Some(value))
}

/// Reads the answer to a search.
pub(crate) fn searchset(bytes: &[u8]) -> Result<Bundle<'_>, Failure> {
    let bundle: Bundle<'_> = serde_json::from_slice(bytes).map_err(|_| Failure::WrongForm)?;
    match (bundle.resource_type.as_str(), bundle.kind.as_str()) {
        ("Bundle", "searchset") => Ok(bundle),
        _ => Err(Failure::WrongForm),
    }
}

impl Bundle<'_> {
    /// Returns where the next page is said to be.
    pub(crate) fn next(&self) -> Option<&str> {
        self.link.iter().find(|link| link.relation == "next").map(|link| link.url.as_str())
    }

    /// Returns the unique ids of all current documents.
    pub(crate) fn unique_ids(&self) -> Result<Vec<String>, Failure> {
        let mut unique_ids = vec![];
        for document in self.documents()? {
            let identifiers = document.master_identifier.into_iter().chain(document.identifier);
            let values = identifiers.filter_map(|identifier| identifier.value);
            unique_ids.extend(values.filter(|value| value.len() <= UNIQUE_ID_BYTES_MAX));
        }
        Ok(unique_ids)
    }

    /// Returns where the one current document is that has this unique id and is known to be of this patient.
    pub(crate) fn document(
        &self,
        base: &Base,
        unique_id: &str,
        local_id: &str,
    ) -> Result<Option<Attachment>, Failure> {
        let mut found = None;
        for document in self.documents()? {
            let master = document.master_identifier.as_slice();
            let is_it = any_is(master, unique_id) || any_is(&document.identifier, unique_id);
            if !is_it || !self.is_of(base, &document, local_id)? {
                continue;
            }
            let attachments = document.content.into_iter().map(|content| content.attachment);
            let attachment = attachments.into_iter().find(|a| a.data.is_some() || a.url.is_some());
            if found.replace(attachment.ok_or(Failure::WrongForm)?).is_some() {
                // Nobody can say which of two is meant.
                return Err(Failure::WrongForm);
            }
        }
        Ok(found)
    }

    fn documents(&self) -> Result<Vec<DocumentReference<'_>>, Failure> {
        let mut documents = vec![];
        for text in self.entry.iter().filter_map(|entry| entry.resource) {
            let document: Option<DocumentReference<'_>> = read_as(text, "DocumentReference")?;
            documents.extend(document.filter(|document| document.status.as_deref() == Some("current")));
        }
        Ok(documents)
    }

    /// True when the subject of a document is known to be the patient. What the Patient itself says counts more than what the
    /// reference says of it.
    fn is_of(&self, base: &Base, document: &DocumentReference<'_>, local_id: &str) -> Result<bool, Failure> {
        let Some(Reference { reference, identifier }) = &document.subject else { return Ok(false) };
        let patient = match reference.as_deref() {
            None => None,
            Some(reference) => match reference.strip_prefix('#') {
                Some(id) => contained(document, id)?,
                None => self.included(base, reference)?,
            },
        };
        Ok(match (patient, identifier) {
            (Some(patient), _) if !patient.identifier.is_empty() => any_is(&patient.identifier, local_id),
            (_, Some(identifier)) => identifier.value.as_deref() == Some(local_id),
            (_, None) => false,
        })
    }

    /// Returns the Patient that a reference stands for, when it came along.
    fn included(&self, base: &Base, reference: &str) -> Result<Option<Patient>, Failure> {
        // A version is one of the same Patient.
        let reference = reference.split("/_history/").next().unwrap_or_default();
        let referred = base.within(reference);
        for Entry { full_url, resource } in &self.entry {
            let Some(text) = resource else { continue };
            let Some(patient): Option<Patient> = read_as(text, "Patient")? else { continue };
            let local = format!("Patient/{}", patient.id.as_deref().unwrap_or_default());
            let place = match full_url.as_deref() {
                Some(url) if url == reference => return Ok(Some(patient)),
                Some(url) if !url.starts_with("urn:") => base.within(url),
                _ => base.within(&local),
            };
            if place.is_some() && place == referred {
                return Ok(Some(patient));
            }
        }
        Ok(None)
    }
}

fn contained(document: &DocumentReference<'_>, id: &str) -> Result<Option<Patient>, Failure> {
    for text in &document.contained {
        let patient: Option<Patient> = read_as(text, "Patient")?;
        if let Some(patient) = patient.filter(|patient| patient.id.as_deref() == Some(id)) {
            return Ok(Some(patient));
        }
    }
    Ok(None)
}

impl Attachment {
    /// Returns the MIME type that is announced, and where the bytes are.
    pub(crate) fn place(self) -> Result<(String, Place), Failure> {
        let mime_type = self.content_type.ok_or(Failure::WrongForm)?;
        match (self.data, self.url) {
            (Some(data), _) => Ok((mime_type, Place::Inline(decode(&data)?))),
            (None, Some(url)) => Ok((mime_type, Place::At(url))),
            (None, None) => Err(Failure::WrongForm),
        }
    }
}

/// Reads a Binary: its MIME type and its bytes; `None` when it is something else.
pub(crate) fn binary(bytes: &[u8]) -> Result<Option<(String, Bytes)>, Failure> {
    let text: &RawValue = serde_json::from_slice(bytes).map_err(|_| Failure::WrongForm)?;
    let Some(Binary { content_type, data }) = read_as(text, "Binary")? else { return Ok(None) };
    Ok(Some((content_type, decode(&data)?)))
}

fn decode(data: &str) -> Result<Bytes, Failure> {
    // Lines may be broken.
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(data).map(Into::into).map_err(|_| Failure::WrongForm)
}

#[cfg(test)]
mod tests;
