//! Codes of `include:`.

use super::Explained;
use crate::diagnostic::codes::*;

const fn e(code: &'static str, why: &'static str, example: &'static str, instead: &'static str) -> Explained {
    Explained { code, why, example, instead }
}

pub(super) const ALL: &[Explained] = &[
    e(
        UNKNOWN_PRESET,
        "Presets are named with their version, and a released version never changes, so that an upgrade of the program widens \
         nothing.",
        "include:\n  - { preset: github-raed@1, agents: [devbot] }\n",
        "Use a name and version that `stubgate policy preset list` prints.",
    ),
    e(
        UNKNOWN_PARAMETER,
        "What is given to a preset that has no place for it would be left out in silence.",
        "include:\n  - { preset: packages@1, agents: [devbot], with: { hosts: [mirror.example.com], host: [x.example.com] } }\n",
        "Use the parameters and credentials that the preset names.",
    ),
    e(
        MISSING_PARAMETER,
        "A preset has no default for what makes it narrow: whose repositories, which hosts, which credential.",
        "include:\n  - { preset: packages@1, agents: [devbot] }\n",
        "Add what the message names, under `with:` or `credentials:`.",
    ),
    e(
        BAD_PARAMETER,
        "Values of parameters are put into hosts and paths. What would change the meaning of the rule around it, such as a wildcard \
         or a slash, is refused.",
        "include:\n  - { preset: github-write@1, agents: [devbot], credentials: { github: forge }, with: { repositories: [\"acme/*\"] } }\n",
        "Write the plain value that the message describes.",
    ),
];
