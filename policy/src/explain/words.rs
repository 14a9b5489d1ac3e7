//! Explanations for people.

use std::fmt::Write as _;

use super::verdict::Verdict;
use super::{Explanation, Outcome, Swapped, rules};
use crate::decide::{Answer, NameGrant};
use crate::model::Reason;

/// Why something was refused, in one sentence: the reason in audit records, and the rule beside it.
pub fn sentence(reason: Reason, rule: Option<&str>) -> String {
    match rule {
        Some(rule) => format!("{} (rule {rule}).", reason.sentence().trim_end_matches('.')),
        None => reason.sentence().to_owned(),
    }
}

/// Any decision in one sentence.
pub(super) fn decision(verdict: &Verdict, rule: Option<&str>, swap: Option<&Swapped>) -> String {
    if let Some(reason) = verdict.reason {
        return sentence(reason, rule);
    }
    match (verdict.dns, rule, swap) {
        (Some(NameGrant::Advertise), ..) => "Answered with stubgate's own address.".to_owned(),
        (Some(NameGrant::Forward), ..) => "Forwarded to the servers of its zone.".to_owned(),
        (Some(NameGrant::Nodata), ..) => "Answered with no data: the name exists, this record does not.".to_owned(),
        (None, Some(rule), Some(swap)) => {
            format!("Allowed by rule {rule}, with credential {} in {}.", swap.credential, swap.place)
        }
        (None, Some(rule), None) => format!("Allowed by rule {rule}, without a credential."),
        (None, None, _) if verdict.outcome == Outcome::Answer => answer(verdict),
        (None, None, _) => "Allowed: each request on the connection is decided by itself.".to_owned(),
    }
}

/// What stubgate answers by itself.
pub(super) fn answer(verdict: &Verdict) -> String {
    match verdict.answer {
        Some(Answer::CaBundle | Answer::CaCertificates) => {
            "Answered by stubgate itself with the certificates to trust.".to_owned()
        }
        Some(Answer::OauthToken(_)) => "Answered by stubgate itself: a login in escrow.".to_owned(),
        None => String::new(),
    }
}

/// Draws an explanation. `color` writes ANSI sequences.
pub fn render(explanation: &Explanation, color: bool) -> String {
    let mut out = String::new();
    let agent = explanation.agent.as_deref().unwrap_or("an unknown address");
    let word = explanation.decision.as_str().to_uppercase();
    let code = if explanation.decision == Outcome::Deny || explanation.decision == Outcome::Observe { 31 } else { 32 };
    let word = if color { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word };
    let reason = explanation.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
    // Writing to memory can't fail, here and below.
    let _ = writeln!(out, "{} by {agent}\n{word}{reason}: {}\n", explanation.question, explanation.sentence);
    let phases = explanation
        .phases
        .iter()
        .map(|phase| vec![phase.name.as_str().to_owned(), phase.state.as_str().to_owned(), phase.text.clone()]);
    table(&mut out, "phases", phases.collect());
    let rules = explanation.rules.iter().map(|rule| {
        let fits = if rule.fits.matches() { "fits" } else { "no" };
        vec![rule.rule.clone(), rules::effect(rule.effect).to_owned(), fits.to_owned(), rule.text.clone()]
    });
    table(&mut out, "rules for this host", rules.collect());
    let offers = explanation.credentials.iter().map(|offer| {
        let (slots, rules) = (offer.slots.join(", "), offer.rules.join(", "));
        vec![offer.credential.clone(), format!("in {slots}"), format!("by {rules}")]
    });
    table(&mut out, "stubs that may be swapped in this request", offers.collect());
    for note in &explanation.notes {
        let _ = writeln!(out, "note: {note}");
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// Rows with columns as wide as their widest cell; nothing if there are none.
fn table(out: &mut String, title: &str, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}");
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    out.push('\n');
}

/// The first of some items, and how many more there are.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    let shown = items.get(..MOST_ITEMS).unwrap_or(&items).join(", ");
    match items.len().saturating_sub(MOST_ITEMS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Items of a list that are shown.
const MOST_ITEMS: usize = 8;
