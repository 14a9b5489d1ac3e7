//! What a reviewer would raise about a policy that is right: warnings, each with a code of its own.
//!
//! Lints look at the checked policy and take what they point at from the files. Law 1: they ask the matcher and the
//! index that decisions use, and compare nothing by themselves. They never look at all pairs of rules, so that a
//! hundred thousand rules are done in a moment; where a rule has more neighbours than a bound, they stop looking, and
//! say less rather than nothing. Rules that stand in none of the files (those of a preset) are not judged.

mod bodies;
mod covered;
mod hidden;
mod lookalike;
mod methods;
mod other_names;
mod publishing;
mod services;
mod shared;
mod unused;
mod wide;
mod written;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::model::Policy;
use crate::raw;
use written::{Place, Written};

/// Looks at a policy without errors.
pub(crate) fn check(policy: &Policy, documents: &[(usize, raw::Document)], found: &mut Vec<Diagnostic>) {
    let mut lint = Lint { policy, written: Written::new(documents), found: Vec::new(), counts: BTreeMap::new() };
    covered::check(&mut lint);
    bodies::check(&mut lint);
    hidden::check(&mut lint);
    unused::check(&mut lint);
    wide::check(&mut lint);
    lookalike::check(&mut lint);
    other_names::check(&mut lint);
    publishing::check(&mut lint);
    methods::check(&mut lint);
    shared::check(&mut lint);
    lint.finish(found);
}

/// What all lints share.
struct Lint<'a> {
    policy: &'a Policy,
    written: Written<'a>,
    found: Vec<Diagnostic>,
    counts: BTreeMap<&'static str, usize>,
}

impl Lint<'_> {
    /// A warning at its place. Of one code, the first hundred.
    fn report(&mut self, code: &'static str, message: String, labels: Vec<(Place, String)>, help: String) {
        let count = self.counts.entry(code).or_default();
        *count += 1;
        if *count > MOST_OF_A_CODE {
            return;
        }
        let warning = Diagnostic::warning(code, message).help(help);
        let labelled = |warning: Diagnostic, (place, text): (Place, String)| warning.at(place.file, place.span, text);
        self.found.push(labels.into_iter().fold(warning, labelled));
    }

    fn finish(self, found: &mut Vec<Diagnostic>) {
        found.extend(self.found);
        for (code, count) in self.counts.into_iter().filter(|(_, count)| *count > MOST_OF_A_CODE) {
            let more = format!("{} more warnings of this kind are not shown", count - MOST_OF_A_CODE);
            found.push(Diagnostic::warning(code, more));
        }
    }
}

/// A policy that one habit has spoilt in every rule is said to be so often enough.
const MOST_OF_A_CODE: usize = 100;
/// Most neighbours of one rule that are looked at.
const MOST_NEIGHBOURS: usize = 256;
/// Most pairs of hosts that one lint compares, in all.
const MOST_PAIRS: usize = 10_000_000;
