//! Runs cases: explains each, compares, and notes what they reach.

use std::collections::BTreeSet;

use super::{Case, Explain, Presented};
use crate::explain::{Explanation, Outcome};
use crate::model::{CredentialId, Policy};

/// What came of all cases.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each case, in their order.
    pub results: Vec<Ran>,
    /// What they reach.
    pub coverage: Coverage,
}

impl Report {
    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|ran| ran.failure.is_some()).count()
    }
}

/// A case that was run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Which, by position.
    pub case: usize,
    /// Its agent, question and so on, for people.
    pub asked: String,
    /// What was wrong, if anything.
    pub failure: Option<Failure>,
}

/// What was expected, and what came.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Decision, rule, reason and credential, as far as the case names them.
    pub expected: String,
    /// The same of the decision.
    pub came: String,
    /// The stub that was presented, if the case did not write the head itself.
    pub presented: Option<String>,
    /// How the decision came about.
    pub explanation: Box<Explanation>,
}

/// What the cases of a policy reach.
///
/// A request reaches the rule that decides it, and every other that matches it. A name or a connection reaches only the
/// deny rule that decides it: that a host may be named says nothing about methods and paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Rules that some case reaches, by name.
    pub reached: Vec<String>,
    /// Rules that none does.
    pub unreached: Vec<String>,
    /// Credentials that some case swaps, by name.
    pub swapped: Vec<String>,
    /// Credentials that none does.
    pub unswapped: Vec<String>,
}

impl Coverage {
    /// Rules reached and credentials swapped, of all, in percent and rounded down; 100 where there is nothing.
    pub fn percent(&self) -> usize {
        let good = self.reached.len() + self.swapped.len();
        let all = good + self.unreached.len() + self.unswapped.len();
        (100 * good).checked_div(all).unwrap_or(100)
    }
}

/// Runs cases against the policy that they were read for.
pub fn run(policy: &Policy, cases: &[Case], explain: &dyn Explain) -> Report {
    let mut runner = Runner { policy, explain, reached: BTreeSet::new(), swapped: BTreeSet::new() };
    let results = cases.iter().enumerate().map(|(at, case)| runner.case(at, case)).collect();
    let split = |names: Vec<&str>, hit: &BTreeSet<String>| -> (Vec<String>, Vec<String>) {
        names.into_iter().map(str::to_owned).partition(|name| hit.contains(name))
    };
    let (reached, unreached) = split(policy.rules().iter().map(|rule| rule.name()).collect(), &runner.reached);
    let credentials = policy.credentials().iter().map(|credential| credential.name()).collect();
    let (swapped, unswapped) = split(credentials, &runner.swapped);
    Report { results, coverage: Coverage { reached, unreached, swapped, unswapped } }
}

struct Runner<'a> {
    policy: &'a Policy,
    explain: &'a dyn Explain,
    reached: BTreeSet<String>,
    swapped: BTreeSet<String>,
}

impl Runner<'_> {
    fn case(&mut self, at: usize, case: &Case) -> Ran {
        let policy = self.policy;
        let asked = format!("{} by {}", case.question, policy.agent(case.agent).name());
        let failure = if case.credentials.is_empty() || !case.headers.is_empty() {
            self.attempt(case, None)
        } else {
            let each = |id: CredentialId| policy.credential(id).slots().iter().map(move |slot| (id, slot));
            let mut attempts = case.credentials.iter().copied().flat_map(each);
            attempts.find_map(|(id, slot)| {
                let stub = policy.credential(id).stub();
                self.attempt(case, Some((id, Presented { slot, stub, credential: id })))
            })
        };
        Ran { case: at, asked, failure }
    }

    /// Asks once, and compares.
    fn attempt(&mut self, case: &Case, stub: Option<(CredentialId, Presented<'_>)>) -> Option<Failure> {
        let policy = self.policy;
        let presented = stub.map(|(_, presented)| presented);
        let explanation =
            self.explain.explain(policy, case.agent, &case.question, &case.headers, case.body.as_ref(), presented);
        self.note(case, &explanation);
        let wanted: Vec<&str> = match (case.expect, stub) {
            (Outcome::Allow, Some((id, _))) => vec![policy.credential(id).name()],
            (Outcome::Allow, None) => case.credentials.iter().map(|id| policy.credential(*id).name()).collect(),
            (Outcome::Deny | Outcome::Observe | Outcome::Answer, _) => Vec::new(),
        };
        let swap = explanation.swap.as_ref().map(|swap| swap.credential.as_str());
        let is_right = explanation.decision == case.expect
            && (case.rule.is_none() || case.rule == explanation.rule)
            && (case.reason.is_none() || case.reason == explanation.reason)
            && (wanted.is_empty() || swap.is_some_and(|swap| wanted.contains(&swap)));
        if is_right {
            return None;
        }
        let credential = Some(wanted.join(" or ")).filter(|wanted| !wanted.is_empty());
        let reason = |reason: Option<crate::model::Reason>| reason.map(|reason| reason.as_str());
        Some(Failure {
            expected: phrase(case.expect, reason(case.reason), case.rule.as_deref(), credential.as_deref()),
            came: phrase(explanation.decision, reason(explanation.reason), explanation.rule.as_deref(), swap),
            presented: stub.map(|(id, stub)| format!("the stub of {} as {}", policy.credential(id).name(), stub.slot)),
            explanation: Box::new(explanation),
        })
    }

    fn note(&mut self, case: &Case, explanation: &Explanation) {
        self.reached.extend(explanation.rule.clone());
        self.swapped.extend(explanation.swap.as_ref().map(|swap| swap.credential.clone()));
        if case.question.request().is_some() {
            let matching = explanation.rules.iter().filter(|rule| rule.fits.matches());
            self.reached.extend(matching.map(|rule| rule.rule.clone()));
        }
    }
}

fn phrase(decision: Outcome, reason: Option<&str>, rule: Option<&str>, credential: Option<&str>) -> String {
    let mut text = decision.as_str().to_owned();
    let parts = [(", reason ", reason), (", rule ", rule), (", credential ", credential)];
    for (before, part) in parts.iter().filter_map(|(before, part)| part.map(|part| (before, part))) {
        text.push_str(before);
        text.push_str(part);
    }
    text
}
