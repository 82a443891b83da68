//! The conformance table names the tests that hold its rows: every rule has a row, and every name is a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How many rules each group has (virtual-kubelet at commit 7b1385b, as the table numbers them), and how many cases.
const RULES: [(char, u32); 11] = [
    ('Q', 12),
    ('W', 9),
    ('C', 11),
    ('D', 10),
    ('S', 10),
    ('E', 13),
    ('B', 5),
    ('N', 7),
    ('H', 11),
    ('T', 10),
    ('X', 15),
];

/// Folders of the repository that hold tests.
const SOURCES: [&str; 7] = ["adapters", "bench", "engine", "replay-tests", "src", "store", "tests"];

/// Lines in front of a function in which its attributes stand.
const ATTRIBUTE_LINES_MAX: usize = 4;

/// What a row says about who holds it, when nobody does.
const NOT_YET: &str = "not yet (";

struct Row {
    rule: String,
    held_by: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate of a workspace").to_owned()
}

fn rows(table: &str) -> Vec<Row> {
    let rows = table.lines().filter(|line| line.starts_with("| VK-"));
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::to_owned).collect::<Vec<_>>();
    rows.map(|line| match cells(line).as_slice() {
        [rule, _, _, held_by] => Row { rule: rule.trim().to_owned(), held_by: held_by.trim().to_owned() },
        other => panic!("{} cells in place of four: {line}", other.len()),
    })
    .collect()
}

/// The names of all functions that are tests below a folder.
fn tests_in(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tests_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            tests_of(&fs::read_to_string(&path).expect("a source file"), found);
        }
    }
}

fn tests_of(source: &str, found: &mut BTreeSet<String>) {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    for (number, line) in lines.iter().enumerate() {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')) else { continue };
        let before = &lines[number.saturating_sub(ATTRIBUTE_LINES_MAX)..number];
        let above = before.iter().rev().take_while(|line| !line.is_empty() && **line != "}");
        if above.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test")) {
            found.insert(name.0.to_owned());
        }
    }
}

#[test]
fn every_rule_has_a_row_and_every_name_in_it_is_a_test() {
    let table = fs::read_to_string(root().join("docs/conformance.md")).expect("the table");
    let rows = rows(&table);
    let rules: Vec<String> = rows.iter().map(|row| row.rule.clone()).collect();
    let all: Vec<String> = RULES
        .iter()
        .flat_map(|(group, last)| (1..=*last).map(move |number| format!("VK-{group}{number}")))
        .collect();
    assert_eq!(rules, all, "one row a rule, in their order");

    let mut tests = BTreeSet::new();
    for folder in SOURCES {
        tests_in(&root().join(folder), &mut tests);
    }
    for Row { rule, held_by } in &rows {
        if held_by.starts_with(NOT_YET) {
            continue;
        }
        let names: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{rule} names nobody who holds it");
        for name in names {
            assert!(tests.contains(name), "{rule} is held by {name}, which is no test");
        }
    }
}

#[test]
fn a_function_without_the_attribute_is_no_test() {
    let mut found = BTreeSet::new();
    tests_of("#[test]\nfn one() {}\n\nfn two() {}\n#[tokio::test]\nasync fn three() {}\n", &mut found);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["one", "three"]);
}
