//! Placeholders that only the data can tell: a phone number that fifty families share is the hospital's own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    packed::{Packed, Packer, Section, View},
    text,
};

/// Values that make no key and no evidence, as hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placeholders {
    /// Phone numbers.
    pub phones: BTreeSet<u64>,
    /// E-mail addresses.
    pub emails: BTreeSet<u64>,
    /// Identifiers with their authority.
    pub identifiers: BTreeSet<u64>,
    /// Addresses: number, street, area.
    pub addresses: BTreeSet<u64>,
    /// Birth dates.
    pub birth_dates: BTreeSet<u64>,
}

impl Placeholders {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        let Self { phones, emails, identifiers, addresses, birth_dates } = self;
        [phones, emails, identifiers, addresses, birth_dates].iter().map(|set| set.len()).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds those of another.
    pub fn extend(&mut self, other: &Self) {
        let Self { phones, emails, identifiers, addresses, birth_dates } = other;
        self.phones.extend(phones);
        self.emails.extend(emails);
        self.identifiers.extend(identifiers);
        self.addresses.extend(addresses);
        self.birth_dates.extend(birth_dates);
    }

    /// Returns the record without its placeholders, when it has any.
    pub fn strip(&self, record: View<'_>) -> Option<Packed> {
        if self.is_empty() || values(record).all(|(kind, value)| !self.of(kind).contains(&value)) {
            return None;
        }
        let mut packer = Packer::default();
        packer.copy(record, |kind, value| !self.of(kind).contains(&value));
        Some(packer.finish(record.flags(), record.sex(), record.suffix(), record.birth_order()))
    }

    fn of(&self, kind: Kind) -> &BTreeSet<u64> {
        match kind {
            Kind::Phone => &self.phones,
            Kind::Email => &self.emails,
            Kind::Identifier => &self.identifiers,
            Kind::Address => &self.addresses,
            Kind::BirthDate => &self.birth_dates,
        }
    }

    /// Adds a value.
    pub(crate) fn insert(&mut self, kind: Kind, value: u64) {
        match kind {
            Kind::Phone => self.phones.insert(value),
            Kind::Email => self.emails.insert(value),
            Kind::Identifier => self.identifiers.insert(value),
            Kind::Address => self.addresses.insert(value),
            Kind::BirthDate => self.birth_dates.insert(value),
        };
    }
}

/// A field whose values may be placeholders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Phone,
    Email,
    Identifier,
    Address,
    BirthDate,
}

/// Returns the values of a record that may be placeholders.
pub(crate) fn values(record: View<'_>) -> impl Iterator<Item = (Kind, u64)> {
    let phones = record.numbers(Section::Phone).map(|phone| (Kind::Phone, text::mix(phone)));
    let emails = record.pairs(Section::Email).map(|(whole, _)| (Kind::Email, whole));
    let identifiers = record.identifiers().map(|id| (Kind::Identifier, identifier(id)));
    let addresses = record
        .places()
        .filter(|place| !place.street.is_empty())
        .map(|place| (Kind::Address, address(&place)));
    let dates = record.birth_dates().map(|date| (Kind::BirthDate, date.into()));
    phones.chain(emails).chain(identifiers).chain(addresses).chain(dates)
}

pub(crate) fn identifier((system, value): (u32, &[u8])) -> u64 {
    text::mix(text::hash(value) ^ u64::from(system))
}

pub(crate) fn address(place: &crate::packed::Place<'_>) -> u64 {
    let area = match place.postcode {
        [0, ..] => place.city,
        code => u64::from_le_bytes(code),
    };
    text::mix(
        text::hash(place.street) ^ text::mix(area ^ u64::from(place.number) << 32) ^ u64::from(place.unit),
    )
}
