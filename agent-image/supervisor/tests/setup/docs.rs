//! `docs/agent/setup.md` says what the code does.

use stubgate_agent::agent::{Agent, AgentFile, Place};
use stubgate_agent::setup::step::Step;
use stubgate_agent::setup::trust::variables;

const DOCUMENT: &str = include_str!("../../../../docs/agent/setup.md");

/// The rows of the table with this head, cell by cell.
fn table(head: &str) -> Vec<Vec<String>> {
    let (_, rest) = DOCUMENT.split_once(head).unwrap_or_else(|| panic!("no table {head}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

#[test]
fn the_table_of_steps_is_that_of_the_code() {
    let expected: Vec<(String, String)> = Step::ALL
        .iter()
        .map(|step| (step.name().to_owned(), if step.is_required() { "required" } else { "optional" }.to_owned()))
        .collect();
    let rows = table("| step | writes | from | if it fails |");
    let found: Vec<(String, String)> = rows.into_iter().map(|row| (row[0].clone(), row[3].clone())).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_table_of_variables_is_that_of_the_code() {
    let place = Place {
        name: "devbot".into(),
        agents: "/a".into(),
        home: "/h".into(),
        workspace: "/w".into(),
        bundle: "/b".into(),
        trust: "TRUST".into(),
        run: "/r".into(),
    };
    let agent = Agent { name: "devbot".into(), file: AgentFile::default(), place };
    let mut all = variables::trust(&agent.place);
    all.extend(variables::quiet());
    all.extend(variables::login(&agent));
    let expected: Vec<Vec<String>> =
        all.into_iter().map(|one| vec![one.name.to_owned(), one.value, one.readers.to_owned()]).collect();
    assert_eq!(table("| variable | value | who reads it |"), expected);
}
