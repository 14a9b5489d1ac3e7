//! Where credentials come from, and how they stand. No source is asked and no value is read: the appliance that runs says
//! how its own are, and `stubgate credential test` tries one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use stubgate_credentials::describe;
use stubgate_policy::Source;

use super::{Answers, Finding, Setting};
use crate::health::State;

pub(super) fn look(setting: &Setting, answers: &Answers) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(report) = &answers.credentials {
        for one in &report.credentials {
            let failed = one.last_failure.as_ref().map(|failure| format!(" ({})", failure.kind)).unwrap_or_default();
            let (name, source) = (&one.name, &one.source);
            found.push(match one.state {
                State::NoValue => {
                    let what =
                        format!("{name}, from {source}, has no value{failed}: requests that need it are refused");
                    Finding::bad("credentials", what).advise("stubgate credential status says what failed")
                }
                State::Stale => {
                    Finding::warn("credentials", format!("{name}, from {source}, is the last good value{failed}"))
                        .advise("mend its source before timeouts.credential_keep_seconds are over")
                }
                State::InUse => match &one.ends_within {
                    Some(within) => {
                        Finding::warn("credentials", format!("{name}, from {source}, ends within {within}"))
                            .advise("rotate it: docs/runbooks")
                    }
                    None => Finding::ok("credentials", format!("{name}, from {source}, is in use")),
                },
            });
        }
        return found;
    }
    for credential in setting.policy().into_iter().flat_map(|policy| policy.credentials()) {
        let (name, from) = (credential.name(), describe(credential.source()));
        for program in credential.source().programs() {
            let can_run =
                fs::metadata(program).is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0);
            if !can_run {
                let what = format!("{name}: {} can't be run", program.display());
                found.push(
                    Finding::bad("credentials", what).advise("put the program there, executable by who runs stubgate"),
                );
            }
        }
        if let Source::Env(variable) = credential.source()
            && std::env::var_os(&**variable).is_none()
        {
            let what = format!("{name}: {variable} is not set here");
            found.push(
                Finding::warn("credentials", what).advise("the service must have it, whatever this terminal has"),
            );
        } else {
            found.push(Finding::ok("credentials", format!("{name} comes from {from}")));
        }
    }
    found
}
