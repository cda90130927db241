use super::*;
use crate::domain::{Criterion, Obligation};

fn problems(text: &str) -> Vec<(u32, String)> {
    let found = Document::parse(text).unwrap_err();
    found.into_iter().map(|problem| (problem.line, problem.message)).collect()
}

#[test]
fn what_is_shipped_can_be_read() {
    for (name, source) in TEMPLATES {
        let document = Document::parse(source).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        assert_eq!(document.name, name);
        assert!(!document.summary.is_empty(), "{name}");
        let policy = document.policy("1");
        assert!(
            policy.rules.iter().all(|rule| !rule.source.is_empty()),
            "{name}: a rule does not state its source"
        );
    }
}

#[test]
fn a_rule_is_read_with_all_it_states() {
    let document = Document::parse(
        "name = \"all\"\nlabels = [\"OWN\"]\n[[statutory]]\nname = \"law\"\nsource = \"the law\"\neffect = \"deny\"\n\
         match = { labels = [\"OWN\", \"ETH\"], service-from = 2020-01-01 }\n\
         except = [{ match = { consent = true }, obligations = [{ erase-after-days = 30 }] }]\n\
         obligations = [{ notice = \"no\" }, { purpose-limit = \"TREAT\" }]\nfrom = 1970-01-02\n",
    );
    let policy = document.unwrap().policy("all@1");
    let rule = &policy.rules[0];
    assert_eq!((rule.id.as_str(), rule.layer), ("statutory:law", Layer::Statutory));
    assert_eq!(rule.validity.from_us, Some(86_400_000_000));
    assert_eq!(rule.obligations.len(), 2);
    assert_eq!(rule.exceptions[0].matcher.criteria(), [Criterion::Consent]);
    assert_eq!(rule.exceptions[0].obligations, [Obligation::EraseAfterDays(30)]);
    let labels = Criterion::Labels(vec!["OWN".into(), "ETH".into()]);
    assert_eq!(rule.matcher.criteria()[0], labels);
    assert!(policy.knows("OWN") && policy.knows("N") && !policy.knows("OTHER"));
}

#[test]
fn everything_that_is_wrong_is_told_with_its_line() {
    let text = "name = \"Bad Name\"\n\
                labels = [\"PSY\"]\n\
                \n\
                [[network]]\n\
                name = \"one\"\n\
                effect = \"permit\"\n\
                overridable = true\n\
                match = { purposes = [\"TREATMENT\"], roles = [\"doctor\"] }\n\
                from = 2026-01-02\n\
                to = 2026-01-01\n\
                \n\
                [[network]]\n\
                name = \"one\"\n\
                effect = \"deny\"\n\
                match = { labels = [\"PSI\"], consent = false }\n\
                except = [{ match = {} }]\n\
                to = 10:00:00\n";
    let found = problems(text);
    let lines: Vec<u32> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 2, 4, 8, 8, 10, 13, 15, 15, 16, 17], "{found:#?}");
    let told = found.into_iter().map(|(_, message)| message).collect::<Vec<_>>().join("\n");
    for words in [
        "did you mean \"PSY\"?",
        "the rule on line 5 too",
        "only a denial can be overridden",
        "`to` must be after `from`",
        "is no role; it is one of physician, nurse",
        "an exception from everything",
        "did you mean \"TREAT\"",
        "10:00:00 is no moment",
        "remove it",
    ] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
}

#[test]
fn law_is_bound_to_what_law_may_say() {
    let row = |more: &str| format!("name = \"p\"\n[[statutory]]\nname = \"law\"\n{more}");
    let told = |more: &str| problems(&row(more)).into_iter().map(|(_, told)| told).collect::<String>();
    assert!(told("effect = \"permit\"\nsource = \"x\"\n").contains("a statutory rule denies"));
    assert!(
        told("effect = \"deny\"\nsource = \"x\"\noverridable = true\n").contains("cannot be overridable")
    );
    assert!(told("effect = \"deny\"\n").contains("add `source`"));
}

#[test]
fn what_is_no_policy_is_refused_at_its_line() {
    assert_eq!(problems("name = \"p\"\n[[network]\n")[0].0, 2);
    let unknown = problems("name = \"p\"\n\n[[network]]\nname = \"x\"\neffect = \"permit\"\nmach = {}\n");
    assert_eq!(unknown[0].0, 6);
    assert!(unknown[0].1.contains("unknown field `mach`"), "{unknown:?}");
    assert!(unknown[0].1.contains("did you mean `match`?"), "{unknown:?}");
    assert!(problems("")[0].1.contains("missing field `name`"));
    assert!(problems(&"#".repeat(300 << 10))[0].1.contains("at most"));
}

#[test]
fn the_cases_that_are_shipped_come_out_so() {
    let outcomes = Cases::parse(CASES, 0).unwrap().run(&NetworkDefault::OptOut.policy());
    assert!(outcomes.len() > 5);
    for outcome in outcomes {
        assert_eq!(outcome.differences, [""; 0], "{}", outcome.name);
    }
}

#[test]
fn a_file_without_cases_is_refused() {
    let found = Cases::parse("case = []\n", 0).unwrap_err();
    assert!(found[0].message.contains("no case"), "{found:?}");
    let found = Cases::parse("[[case]]\nnaem = \"x\"\n", 0).unwrap_err();
    assert!(found[0].line == 2 && found[0].message.contains("--cases"), "{found:?}");
}

#[test]
fn a_case_says_what_differs() {
    let cases = "[[case]]\nname = \"care\"\nrequester = \"ed\"\nrole = \"physician\"\npurpose = \"TREAT\"\n\
                 document = { custodian = \"north\", labels = [\"N\"] }\nexpect = \"permit\"\n\
                 rule = \"network:opt-out\"\nobligations = []\nemergency-could-permit = false\n\
                 [[case]]\nname = \"objected\"\nrequester = \"ed\"\nrole = \"physician\"\npurpose = \"TREAT\"\n\
                 document = { custodian = \"north\", labels = [\"N\"] }\n\
                 directives = [{ name = \"no\", effect = \"deny\" }]\nexpect = \"permit\"\n";
    let outcomes = Cases::parse(cases, 0).unwrap().run(&NetworkDefault::OptOut.policy());
    assert_eq!(outcomes[0].differences, [""; 0]);
    assert_eq!(outcomes[1].differences, ["expected to permit, it denies"]);
    assert_eq!(outcomes[1].rule_id, "patient:no");
    let wrong = Cases::parse(&cases.replace("\"physician\"", "\"doctor\""), 0).unwrap_err();
    assert_eq!(wrong.iter().map(|problem| problem.line).collect::<Vec<_>>(), [4, 14]);
}
