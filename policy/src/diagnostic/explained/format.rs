//! Codes of the format itself: YAML, keys and shapes.

use super::Explained;
use crate::diagnostic::codes::*;

const fn e(code: &'static str, why: &'static str, example: &'static str, instead: &'static str) -> Explained {
    Explained { code, why, example, instead }
}

pub(super) const ALL: &[Explained] = &[
    e(
        SYNTAX,
        "The file can't be read as YAML, so nothing in it counts. Often it is a tab in the indentation, a bracket that is \
         not closed, or a value that begins with `*` or `[` without quotes.",
        "version: 1\nagents:\n\tdevbot: { sources: [10.42.0.11/32] }\n",
        "Indent with spaces, close what you open, and quote values with special characters.",
    ),
    e(
        TOO_LARGE,
        "Files have a bound (64 MiB and 8 million values), so that a mistake can't fill the memory of the appliance.",
        "",
        "Split the file; all files are merged, and their order means nothing.",
    ),
    e(
        HIDDEN_CHARACTER,
        "Characters that nobody sees, or that change the direction of text, make a file say something else than a reviewer \
         reads (Trojan Source, CVE-2021-42574). They are not taken anywhere, comments included.",
        "version: 1\n# reviewed\u{202e}\n",
        "Remove the character; retype the line if you can't see it.",
    ),
    e(
        TAG,
        "A tag changes the type of a value behind the back of its reader. Policy has one type for each field.",
        "version: !!int \"1\"\n",
        "Write the value without a tag, in quotes if it is a text.",
    ),
    e(
        ANCHOR,
        "Anchors and aliases let one line change many places, and can blow a small file up to a huge one. A value that \
         begins with `*`, such as a wildcard, is an alias unless it is quoted.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [*.forge.example], methods: [GET] }\n",
        "Write the value out, and quote wildcards: `\"*.forge.example\"`.",
    ),
    e(
        MERGE_KEY,
        "`<<` takes keys from elsewhere, so that a rule can't be read where it stands.",
        "agents:\n  devbot: { <<: {}, sources: [10.42.0.11/32] }\n",
        "Write the keys out.",
    ),
    e(
        SECOND_DOCUMENT,
        "Behind `---` a second document begins, which many readers of YAML leave out without a word.",
        "version: 1\n---\nversion: 1\n",
        "One document a file: move it to a file of its own.",
    ),
    e(
        DUPLICATE_KEY,
        "Of two equal keys in one map, most readers of YAML keep the last and drop the first. Here none wins.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], methods: [any] }\n",
        "Keep one of them.",
    ),
    e(
        NULL,
        "A key without a value, or a value without a key, is a slip more often than it is meant, and nothing must never mean everything.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], paths: }\n",
        "Write what is missing, or remove the rest.",
    ),
    e(
        UNKNOWN_KEY,
        "A key with a slip in it would otherwise be left out in silence: `path:` for `paths:` would allow every path.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], path: [/x] }\n",
        "Use the key that is meant; the help names the nearest one.",
    ),
    e(
        MISSING_KEY,
        "`agents`, `hosts` and `methods` of a rule have no default, because every default would be somebody's surprise.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example] }\n",
        "Add the key. `methods: [any]` says aloud that a rule is for writing too.",
    ),
    e(
        WRONG_SHAPE,
        "Each field has one shape: lists are lists even with one entry, and what YAML takes for a number or a flag is no text.",
        "rules:\n  - { name: r, agents: devbot, hosts: [a.example], methods: [GET] }\n",
        "Put single values in brackets, and quote texts that look like numbers.",
    ),
    e(
        EMPTY_LIST,
        "An empty list could be taken for all or for none.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], paths: [] }\n",
        "Write an entry, or remove the key.",
    ),
    e(
        EMPTY_FILE,
        "A file without a value is rather a write that broke off than a policy.",
        "",
        "Write a policy (`version: 1` is the least), or remove the file.",
    ),
    e(
        TOO_DEEP,
        "No policy needs more than a few levels; deeper ones attack the reader.",
        "",
        "Remove brackets and indentation that are not needed.",
    ),
];
