//! How often what goes wrong when people are written down. Each is per record, before a source's own quality.

/// One slip of the fingers in the given name, and likewise in the family name.
pub(super) const NAME_TYPED: f64 = 0.013;
/// One shape taken for another in the given or the family name.
pub(super) const NAME_SCANNED: f64 = 0.003;
/// The given or the family name spelt by ear.
pub(super) const NAME_HEARD: f64 = 0.008;
/// The same three together, for the middle name.
pub(super) const MIDDLE_WRONG: f64 = 0.015;
/// A nickname for a person who goes by it.
pub(super) const NICKNAME_USUAL: f64 = 0.5;
/// A nickname for a person who does not go by it.
pub(super) const NICKNAME_ELSE: f64 = 0.012;
/// The middle name first for a person who goes by it.
pub(super) const MIDDLE_FIRST_USUAL: f64 = 0.4;
/// The middle name first for a person who does not go by it.
pub(super) const MIDDLE_FIRST_ELSE: f64 = 0.001;
/// Nothing but the initial of the given name.
pub(super) const INITIAL_ONLY: f64 = 0.005;
/// Given and family name in each other's place.
pub(super) const NAMES_SWAPPED: f64 = 0.003;
/// The middle name left out although the source asks for it.
pub(super) const MIDDLE_MISSING: f64 = 0.2;
/// The suffix written down, of those who have one.
pub(super) const SUFFIX_KNOWN: f64 = 0.25;
/// The family name of before, when it changed lately.
pub(super) const FAMILY_STALE: f64 = 0.25;
/// Years in which a family name changed lately.
pub(super) const FAMILY_STALE_YEARS: i16 = 5;
/// One half of a family name of two.
pub(super) const FAMILY_HALVED: f64 = 0.25;
/// A placeholder for the family name.
pub(super) const FAMILY_UNKNOWN: f64 = 0.0006;

/// Day and month in each other's place.
pub(super) const DATE_SWAPPED: f64 = 0.003;
/// One digit of the birth date wrong.
pub(super) const DATE_DIGIT: f64 = 0.008;
/// The birth year off by one or by ten.
pub(super) const DATE_YEAR: f64 = 0.004;
/// The birth month wrong.
pub(super) const DATE_MONTH: f64 = 0.002;
/// The first of January of a round year instead of the birth date.
pub(super) const DATE_PLACEHOLDER: f64 = 0.003;
/// A day that is in no calendar.
pub(super) const DATE_IMPOSSIBLE: f64 = 0.0005;
/// The wrong sex.
pub(super) const SEX_WRONG: f64 = 0.003;

/// One slip of the fingers in the address.
pub(super) const ADDRESS_TYPED: f64 = 0.025;
/// One digit of the house number wrong.
pub(super) const HOUSE_NUMBER: f64 = 0.01;
/// The apartment left out, of addresses that have one.
pub(super) const UNIT_DROPPED: f64 = 0.22;
/// The address of before, when the move was lately.
pub(super) const ADDRESS_STALE: f64 = 0.18;
/// Years in which a move was lately.
pub(super) const ADDRESS_STALE_YEARS: i16 = 6;
/// One slip of the fingers in the city.
pub(super) const CITY_TYPED: f64 = 0.01;
/// Another postcode of the same city.
pub(super) const POSTCODE_NEIGHBOUR: f64 = 0.015;
/// One digit of the postcode wrong.
pub(super) const POSTCODE_DIGIT: f64 = 0.005;
/// The postcode alone left out.
pub(super) const POSTCODE_MISSING: f64 = 0.01;

/// One digit of the telephone number wrong.
pub(super) const PHONE_DIGIT: f64 = 0.012;
/// The telephone of the employer.
pub(super) const PHONE_OF_WORK: f64 = 0.035;
/// The mobile number of before, when it changed lately.
pub(super) const PHONE_STALE: f64 = 0.3;
/// Years in which a number changed lately.
pub(super) const PHONE_STALE_YEARS: i16 = 8;
/// The mobile of a parent, for a child, rather than the line of the household.
pub(super) const PHONE_OF_PARENT: f64 = 0.65;
/// The mother's rather than the father's.
pub(super) const PARENT_IS_MOTHER: f64 = 0.75;
/// The mobile of the spouse.
pub(super) const PHONE_OF_SPOUSE: f64 = 0.03;
/// A placeholder for the telephone number.
pub(super) const PHONE_PLACEHOLDER: f64 = 0.006;
/// The e-mail address of a parent, for a child.
pub(super) const EMAIL_OF_PARENT: f64 = 0.5;
/// One slip of the fingers in the e-mail address.
pub(super) const EMAIL_TYPED: f64 = 0.01;

/// One digit of the national identifier wrong.
pub(super) const ID_DIGIT: f64 = 0.007;
/// Two digits of the national identifier in each other's place.
pub(super) const ID_SWAPPED: f64 = 0.003;
/// The identifier of the spouse or of a parent.
pub(super) const ID_OF_RELATIVE: f64 = 0.002;
/// A placeholder for the identifier.
pub(super) const ID_PLACEHOLDER: f64 = 0.005;
/// The identifier known of a child, of those whose source would ask.
pub(super) const ID_KNOWN_OF_CHILD: f64 = 0.4;

/// A cell that lists what was before as well, at a source that does so.
pub(super) const CELL_LISTS: f64 = 0.06;
/// Cells of a repeated encounter left as the first encounter wrote them.
pub(super) const CELLS_KEPT: f64 = 0.55;

/// A row of somebody whom nobody could identify, at a hospital.
pub(super) const UNIDENTIFIED: f64 = 0.005;
/// A row of the newborn, of births in the years of the records.
pub(super) const NEWBORN: f64 = 0.4;
/// Rows of nobody, made to try the system out, for each row of the population.
pub(super) const TEST_ROW: f64 = 0.0003;
