//! Given names that stand for one another in English-speaking records.

use std::{collections::HashMap, sync::LazyLock};

/// Version of the table; a model states the one it was made with.
pub const VERSION: &str = "en-1";

/// Each row lists names of which any may stand for any other.
const ROWS: &[&str] = &[
    "abigail abby gail",
    "albert al bert bertie",
    "alexander alex alec sandy xander",
    "alexandra alex sandra sandy",
    "alfred alf fred freddie",
    "amanda mandy",
    "andrew andy drew",
    "anthony tony",
    "barbara barb barbie babs",
    "benjamin ben benny",
    "bradley brad",
    "cassandra cassie sandra",
    "catherine katherine kathryn cathy kathy kate katie kath cate kitty",
    "charles charlie chuck chas",
    "charlotte charlie lottie",
    "christina christine chris chrissy tina",
    "christopher chris kit topher",
    "cynthia cindy",
    "daniel dan danny",
    "david dave davey",
    "deborah deb debbie debra",
    "donald don donnie",
    "dorothy dot dottie dolly",
    "douglas doug",
    "edward ed eddie ted ned teddy",
    "eleanor ellie nell nora",
    "elizabeth liz lizzie beth betty eliza libby lisa betsy elisabeth",
    "emily em emmy",
    "frances fran frankie",
    "francis frank frankie",
    "frederick fred freddie",
    "gabriel gabe",
    "gabrielle gabby",
    "geoffrey jeffrey geoff jeff",
    "gerald gerry jerry",
    "gregory greg",
    "harold harry hal",
    "henry harry hank",
    "isabella bella izzy isabel",
    "jacob jake",
    "jacqueline jackie",
    "james jim jimmy jamie",
    "jennifer jen jenny",
    "jessica jess jessie",
    "john jack johnny jon",
    "jonathan jon jonny nathan",
    "joseph joe joey",
    "joshua josh",
    "judith judy",
    "kenneth ken kenny",
    "kimberly kim",
    "lawrence larry laurie",
    "leonard len leo lenny",
    "margaret maggie meg peggy marge greta",
    "martin marty",
    "matthew matt matty",
    "megan meg",
    "michael mike mick mikey",
    "mitchell mitch",
    "nancy nan",
    "natalie nat",
    "nathaniel nate nathan nat",
    "nicholas nick nicky nicolas",
    "nicole nicky nikki",
    "oliver ollie",
    "olivia liv livvy",
    "pamela pam",
    "patricia pat patty trish tricia",
    "patrick pat paddy",
    "peter pete",
    "philip phil phillip",
    "rachel rach rachael",
    "raymond ray",
    "rebecca becky becca",
    "richard rick dick rich ricky",
    "robert rob bob bobby robbie bert",
    "ronald ron ronnie",
    "russell russ",
    "samantha sam sammy",
    "samuel sam sammy",
    "sarah sara sally",
    "stephanie steph stephie",
    "stephen steven steve stevie",
    "susan sue susie suzy",
    "tabitha tabby",
    "theodore ted teddy theo",
    "theresa teresa terry tess",
    "thomas tom tommy",
    "timothy tim timmy",
    "valerie val",
    "victoria vicky tori",
    "vincent vince vinny",
    "virginia ginny",
    "walter walt wally",
    "william bill will billy willy liam",
    "zachary zach zack zac",
];

/// Most rows in which one name stands.
pub const ROWS_MAX: usize = 4;

/// Returns the numbers of the rows in which a normalised name stands, from 1; 0 fills up.
pub fn rows(name: &str) -> [u8; ROWS_MAX] {
    static INDEX: LazyLock<HashMap<&str, [u8; ROWS_MAX]>> = LazyLock::new(|| {
        let mut index: HashMap<&str, [u8; ROWS_MAX]> = HashMap::new();
        for (number, row) in (1u8..).zip(ROWS) {
            for name in row.split(' ') {
                let free = index.entry(name).or_default().iter_mut().find(|slot| **slot == 0);
                *free.expect("invariant: no name stands in more than four rows") = number;
            }
        }
        index
    });
    INDEX.get(name).copied().unwrap_or_default()
}

/// True when two names share a row.
pub fn related(a: [u8; ROWS_MAX], b: [u8; ROWS_MAX]) -> bool {
    a != [0; ROWS_MAX] && a.iter().any(|row| *row != 0 && b.iter().any(|other| other == row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn related_names_are_found_both_ways() {
        let related = |a, b| related(rows(a), rows(b));
        assert!(related("bob", "robert") && related("robert", "bob"));
        assert!(related("kate", "kathy"));
        assert!(!related("bob", "bill"));
        assert!(!related("", ""));
        assert!(ROWS.len() < 256);
    }
}
