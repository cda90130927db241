//! Any record can be normalised, blocked and compared with itself.

use signpost_linkage::{
    Address, Date, Identifier, Model, Name, Packed, Record, Region, Sex, compare::compare, pattern::Field,
    prepare,
};

/// Makes a record of any bytes and does with it what linkage does. The first byte of each line says which field the
/// rest of the line is.
pub(crate) fn run(bytes: &[u8]) {
    let packed = prepare(&record(bytes), Region::US);
    assert!(Packed::parse(packed.as_bytes()).is_ok(), "what was packed can be read");
    super::packed::run(packed.as_bytes());
    // The two halves of the lines are two people.
    let (front, back) = bytes.split_at(bytes.len() / 2);
    let (front, back) = (prepare(&record(front), Region::US), prepare(&record(back), Region::US));
    let model = Model::shipped();
    assert_eq!(model.compare(front.view(), back.view()), model.compare(back.view(), front.view()));
    assert!(model.score(front.view(), back.view()).bits.is_finite());
    let pattern = compare(packed.view(), packed.view()).pattern;
    for field in Field::ALL {
        let level = field.levels()[usize::from(pattern.level(field))];
        assert!(!level.contains("different"), "{field:?}");
    }
}

fn record(bytes: &[u8]) -> Record {
    let mut record = Record::default();
    let (mut name, mut address) = (Name::default(), Address::default());
    for line in bytes.split(|byte| *byte == b'\n').take(100) {
        let Some((field, value)) = line.split_first() else { continue };
        let text = String::from_utf8_lossy(value).into_owned();
        let number = |at: usize| value.get(at).copied().unwrap_or_default();
        match field % 16 {
            0 => name.given.push(text),
            1 => name.family = text,
            2 => name.maternal = text,
            3 => name.suffix = text,
            4 => record.names.push(std::mem::take(&mut name)),
            5 => record.birth_dates.extend(Date::parse(&text)),
            6 => {
                let year = u16::from_le_bytes([number(0), number(1)]);
                record.birth_dates.push(Date { year, month: number(2), day: number(3) });
            }
            7 => address.line = text,
            8 => address.city = text,
            9 if value.len() < 4 => address.state = text,
            9 => address.postcode = text,
            10 => record.addresses.push(std::mem::take(&mut address)),
            11 => record.phones.push(text),
            12 => record.emails.push(text),
            13 => record.identifiers.push(Identifier { system: number(0).to_string(), value: text }),
            14 => record.mother = Some(Name { family: text, ..Name::default() }),
            _ => {
                record.sex = [None, Some(Sex::Female), Some(Sex::Male)][usize::from(number(0) % 3)];
                record.multiple_birth_order = value.get(1).copied();
            }
        }
    }
    record.names.push(name);
    record.addresses.push(address);
    record
}
