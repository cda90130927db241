//! States, cities, streets, and the telephone numbers that go with them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::draw::{Pool, chance, choose, word};

/// States: code, the first and the last three digits of their postcodes, area codes.
const STATES: [(&str, u32, u32, &[u16]); 20] = [
    ("MA", 10, 27, &[413, 508, 617, 781, 978]),
    ("NY", 100, 149, &[212, 315, 516, 518, 585, 607, 631, 716, 718, 845, 914]),
    ("NJ", 70, 89, &[201, 609, 732, 856, 908, 973]),
    ("PA", 150, 196, &[215, 412, 570, 610, 717, 724, 814]),
    ("OH", 430, 458, &[216, 330, 419, 440, 513, 614, 740, 937]),
    ("MI", 480, 499, &[231, 248, 269, 313, 517, 586, 616, 734, 810, 989]),
    ("IL", 600, 629, &[217, 309, 312, 618, 630, 708, 773, 815, 847]),
    ("IN", 460, 479, &[219, 260, 317, 574, 765, 812]),
    ("WI", 530, 549, &[262, 414, 608, 715, 920]),
    ("MN", 550, 567, &[218, 320, 507, 612, 651, 763, 952]),
    ("TX", 750, 799, &[210, 214, 254, 281, 361, 409, 432, 512, 713, 806, 817, 903, 915, 956, 972]),
    ("FL", 320, 349, &[239, 305, 321, 352, 386, 407, 561, 727, 772, 813, 850, 863, 904, 941, 954]),
    ("GA", 300, 319, &[229, 404, 478, 706, 770, 912]),
    ("NC", 270, 289, &[252, 336, 704, 828, 910, 919]),
    ("VA", 220, 246, &[276, 434, 540, 703, 757, 804]),
    ("TN", 370, 385, &[423, 615, 731, 865, 901, 931]),
    ("CO", 800, 816, &[303, 719, 970]),
    ("AZ", 850, 865, &[480, 520, 602, 623, 928]),
    ("CA", 900, 961, &[209, 213, 310, 408, 415, 510, 530, 559, 619, 626, 650, 707, 714, 760, 805, 818, 916]),
    ("WA", 980, 994, &[206, 253, 360, 425, 509]),
];
const CITIES_IN_STATE: usize = 18;
const CITY_STARTS: &str = "Spring Green Fair Oak Clear Cedar Maple Brook Lake River Stone West East \
    North South Mill Wood Ash Glen Hart Marsh Summer Pleasant Bridge New Rock Clay Frank Madi Jeffer \
    Washing Harri Clin Bur Wal Eliza Kings Queens George Charles James William Hills Red Blue White \
    Black Silver Gold Iron Eagle Fox Deer Elk Bear Wolf Pine";
const CITY_ENDS: &str = "field ville ton wood view dale brook port burg ford land mont haven side town \
    ridge water creek bury ham worth gate grove stead";
const CITY_PREFIXES: [&str; 10] =
    ["North ", "New ", "Mount ", "Port ", "Lake ", "Fort ", "Saint ", "West ", "East ", "South "];
const CITY_WITH_PREFIX: f64 = 0.15;

const STREETS: &str = "Main Oak Pine Maple Cedar Elm Washington Lake Hill Walnut Spring North Ridge \
    Church Willow Mill Sunset Railroad Jackson Cherry Forest River Center Meadow Chestnut Highland \
    Franklin Broad Park Prospect Spruce Lincoln Jefferson Madison Adams Monroe Dogwood Hickory Locust \
    Poplar Birch Laurel Canyon Summit Valley Grove Pleasant Liberty Union School Mulberry Sycamore \
    Magnolia Juniper Aspen Hawthorne Linden Beech Cypress Redwood Orchard Garden Vine Clover Heather Ivy \
    Rose Lilac Holly Fern Hazel Sherwood Lexington Concord Hamilton Harrison Cleveland Grant Sherman \
    Roosevelt Wilson Taylor Polk Pierce Tyler Hayes Garfield Arthur Warren Clinton Marion Perry Wayne \
    Clark Lewis Montgomery Fulton Howard Charles George William Henry Edward James John Albert Frederick \
    Elizabeth Virginia Caroline Charlotte Victoria Windsor Oxford Cambridge Bristol York Lancaster Essex \
    Devon Kent Surrey Sussex Stratford Canterbury Winchester Salem Plymouth Boston Richmond Savannah \
    Charleston Dover Newport Princeton Yale Harvard Columbia Cornell College University Academy Court \
    Market Front Water Bridge Canal Harbor Bay Shore Beach Ocean Island Cove Pond Creek Brook Falls \
    Rapids Stone Rock Granite Marble Quarry Slate Iron Copper Silver Gold Eagle Hawk Falcon Robin \
    Cardinal Bluebird Deer Elk Fox Bear Wolf Beaver Otter Colonial Heritage Pioneer Frontier Mission \
    Ranch Prairie Mesa Desert Vista Bella Palm Cactus Ocotillo Manzanita Sierra Alpine Sunrise Moonlight \
    Starlight Timber Woodland Fairview Lakeview Riverview Hillcrest Edgewood Oakwood Pinewood Maplewood \
    Glenwood Ridgewood Westwood";
const STREET_SECONDS: &str = "Hill Ridge Creek Lake Grove Park Valley Run Point Hollow Meadow Spring \
    Glen Crest View Brook Branch Mill Farm Trace";
/// Kinds of streets, written out and short, the frequent ones more than once.
const KINDS: [(&str, &str); 16] = [
    ("Street", "St"),
    ("Street", "St"),
    ("Street", "St"),
    ("Avenue", "Ave"),
    ("Avenue", "Ave"),
    ("Road", "Rd"),
    ("Road", "Rd"),
    ("Drive", "Dr"),
    ("Drive", "Dr"),
    ("Lane", "Ln"),
    ("Court", "Ct"),
    ("Circle", "Cir"),
    ("Boulevard", "Blvd"),
    ("Place", "Pl"),
    ("Way", "Way"),
    ("Terrace", "Ter"),
];
const DIRECTIONS: [(&str, &str); 4] = [("North", "N"), ("South", "S"), ("East", "E"), ("West", "W")];
const NUMBERED_STREET: f64 = 0.12;
const LAST_NUMBERED_STREET: u32 = 110;
const TWO_WORD_STREET: f64 = 0.15;
const WITH_DIRECTION: f64 = 0.14;
const WITH_UNIT: f64 = 0.24;
const WITH_LANDLINE: f64 = 0.6;
const HOUSE_NUMBERS: [u32; 4] = [100, 1_000, 4_000, 12_000];

/// A city with its postcodes.
#[derive(Debug)]
pub(super) struct City {
    pub(super) name: String,
    state: usize,
    /// The first of its postcodes; the others follow it.
    first_postcode: u32,
    postcodes: u32,
}

/// What stands behind the street.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    Apartment(u16),
    /// A storey and a door.
    Lettered(u16, char),
}

/// A place where people live: house, apartment, or a building for many.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) number: u32,
    direction: Option<usize>,
    pub(super) street: String,
    kind: usize,
    pub(super) unit: Option<Unit>,
    pub(super) city: usize,
    pub(super) postcode: u32,
    /// The line of the household, or of the institution.
    pub(super) landline: Option<u64>,
    /// Whether people who are no family live there.
    pub(super) institution: bool,
}

/// The map: cities and streets.
#[derive(Debug)]
pub(super) struct Atlas {
    cities: Vec<City>,
    sizes: Pool<usize>,
    streets: Pool<&'static str>,
    seconds: Vec<&'static str>,
}

impl Atlas {
    /// Returns a map drawn with the generator.
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let starts: Vec<_> = CITY_STARTS.split_whitespace().collect();
        let ends: Vec<_> = CITY_ENDS.split_whitespace().collect();
        let mut cities = vec![];
        for (state, (_, low, high, _)) in STATES.iter().enumerate() {
            for rank in 0..CITIES_IN_STATE {
                let prefix = if chance(rng, CITY_WITH_PREFIX) { word(rng, &CITY_PREFIXES) } else { "" };
                let name = format!("{prefix}{}{}", word(rng, &starts), word(rng, &ends));
                let postcodes = if rank == 0 { 12 } else { rng.random_range(1..=6) };
                let first_postcode = rng.random_range(low * 100..high * 100 + 80);
                cities.push(City { name, state, first_postcode, postcodes });
            }
        }
        let weights: Vec<u32> = (0..cities.len() as u32)
            .map(|at| {
                let rank = at % CITIES_IN_STATE as u32;
                1_000_000 / (rank + 2) / (at / CITIES_IN_STATE as u32 + 4)
            })
            .collect();
        Self {
            cities,
            sizes: Pool::weighted(weights.into_iter().enumerate()),
            streets: Pool::ranked(STREETS.split_whitespace(), 25),
            seconds: STREET_SECONDS.split_whitespace().collect(),
        }
    }

    /// Returns how many states there are.
    pub(super) fn states(&self) -> usize {
        STATES.len()
    }

    /// Returns a city, the large ones more often.
    pub(super) fn any_city(&self, rng: &mut ChaCha8Rng) -> usize {
        *self.sizes.draw(rng)
    }

    /// Returns a city of the same state.
    pub(super) fn city_near(&self, rng: &mut ChaCha8Rng, city: usize) -> usize {
        self.state_of(city) * CITIES_IN_STATE + rng.random_range(0..CITIES_IN_STATE)
    }

    /// Returns the city.
    pub(super) fn city(&self, city: usize) -> &City {
        &self.cities[city]
    }

    /// Returns which state the city is in, from 0.
    pub(super) fn state_of(&self, city: usize) -> usize {
        self.cities[city].state
    }

    /// Returns the code of the state the city is in.
    pub(super) fn state_code(&self, city: usize) -> &'static str {
        STATES[self.state_of(city)].0
    }

    /// Returns one of the postcodes of the city.
    pub(super) fn postcode(&self, rng: &mut ChaCha8Rng, city: usize) -> u32 {
        let city = &self.cities[city];
        city.first_postcode + rng.random_range(0..city.postcodes)
    }

    /// Returns a new home in the city.
    pub(super) fn home(&self, rng: &mut ChaCha8Rng, city: usize) -> Place {
        let street = if chance(rng, NUMBERED_STREET) {
            ordinal(rng.random_range(1..=LAST_NUMBERED_STREET))
        } else if chance(rng, TWO_WORD_STREET) {
            format!("{} {}", self.streets.draw(rng), word(rng, &self.seconds))
        } else {
            (*self.streets.draw(rng)).to_owned()
        };
        let most = *choose(rng, &HOUSE_NUMBERS);
        let landline = chance(rng, WITH_LANDLINE).then(|| self.phone(rng, city));
        Place {
            number: rng.random_range(1..most),
            direction: chance(rng, WITH_DIRECTION).then(|| rng.random_range(0..DIRECTIONS.len())),
            street,
            kind: rng.random_range(0..KINDS.len()),
            unit: chance(rng, WITH_UNIT).then(|| unit(rng)),
            city,
            postcode: self.postcode(rng, city),
            landline,
            institution: false,
        }
    }

    /// Returns a building for many in the city, with one address and one telephone.
    pub(super) fn institution(&self, rng: &mut ChaCha8Rng, city: usize) -> Place {
        let landline = Some(self.phone(rng, city));
        Place { unit: None, landline, institution: true, ..self.home(rng, city) }
    }

    /// Returns a telephone number of ten digits that the numbering plan allows.
    pub(super) fn phone(&self, rng: &mut ChaCha8Rng, city: usize) -> u64 {
        const FICTION: u64 = 555;
        let area = u64::from(*choose(rng, STATES[self.state_of(city)].3));
        loop {
            let exchange: u64 = rng.random_range(200..1000);
            if exchange % 100 != 11 && exchange != FICTION {
                return (area * 1000 + exchange) * 10_000 + rng.random_range(0..10_000);
            }
        }
    }
}

impl Place {
    /// Returns the number, street and unit as one line, with short or with written-out words.
    pub(super) fn line(&self, short: bool, with_unit: bool) -> String {
        let word = |(long, brief): (&'static str, &'static str)| if short { brief } else { long };
        let direction = self.direction.map(|at| format!("{} ", word(DIRECTIONS[at]))).unwrap_or_default();
        let unit = self.unit.filter(|_| with_unit).map(|unit| unit.written(short)).unwrap_or_default();
        format!("{} {direction}{} {}{unit}", self.number, self.street, word(KINDS[self.kind]))
    }
}

impl Unit {
    fn written(self, short: bool) -> String {
        match (self, short) {
            (Self::Apartment(number), true) => format!(" Apt {number}"),
            (Self::Apartment(number), false) => format!(", Apartment {number}"),
            (Self::Lettered(storey, door), true) => format!(" #{storey}{door}"),
            (Self::Lettered(storey, door), false) => format!(", Unit {storey}{door}"),
        }
    }
}

fn unit(rng: &mut ChaCha8Rng) -> Unit {
    if chance(rng, 0.6) {
        Unit::Apartment(rng.random_range(1..400))
    } else {
        Unit::Lettered(rng.random_range(1..20), *choose(rng, &['A', 'B', 'C', 'D', 'E', 'F']))
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
