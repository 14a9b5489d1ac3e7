//! Codes of what a reviewer would raise about a policy that is right.

use super::Explained;
use crate::diagnostic::codes::*;

const fn e(code: &'static str, why: &'static str, example: &'static str, instead: &'static str) -> Explained {
    Explained { code, why, example, instead }
}

pub(super) const ALL: &[Explained] = &[
    e(
        COVERED,
        "Another rule matches wherever this one does, for the same agents or more, and grants and demands the same or more. \
         The narrow rule reads like a limit, and is none. Only single rules are compared, not what several cover together.",
        "rules:\n  - { name: all, agents: [devbot], hosts: [\"*.forge.example\"], methods: [GET, HEAD], paths: [\"/v1/**\"] }\n  - { name: one, agents: [devbot], hosts: [api.forge.example], methods: [GET], paths: [\"/v1/users/*\"] }\n",
        "Remove the narrow rule, or narrow the wide one.",
    ),
    e(
        NEVER_MATCHES,
        "Deny rules together cover all agents, hosts, methods and paths of this rule, or there is no agent at all.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET, POST] }\n  - { name: no-read, effect: deny, agents: [devbot], hosts: [a.example], methods: [GET] }\n  - { name: no-write, effect: deny, agents: [\"*\"], hosts: [any], methods: [POST] }\n",
        "Narrow one of the deny rules, or remove the rule.",
    ),
    e(
        HIDDEN_RULE,
        "A deny rule always wins, whatever the order. One of them covers all that this rule allows.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], paths: [\"/admin/users\"] }\n  - { name: no-admin, effect: deny, agents: [\"*\"], hosts: [any], methods: [any], paths: [\"/admin/**\"] }\n",
        "Narrow the deny rule, or remove the one that it hides.",
    ),
    e(
        UNUSED_CREDENTIAL,
        "No rule grants the credential, so the appliance holds a secret for nothing.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [api.forge.example], methods: [GET] }\n",
        "Name it under `credentials:` of a rule, or remove it.",
    ),
    e(
        WIDE_WILDCARD,
        "The rule allows names that the credential is not bound to. There, requests go on without it: the rule is wider than \
         what it is for.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"*.forge.example\"], methods: [GET], credentials: [forge] }\n",
        "Name the credential's hosts, and make a rule of its own for the others, without the credential.",
    ),
    e(
        UNUSED_AGENT,
        "No rule allows the agent anything and no `dns:` entry names it, so that it is known and can do nothing. Agents that are \
         quarantined are left alone.",
        "agents:\n  devbot: { sources: [10.42.0.11/32] }\n  oldbot: { sources: [10.42.0.12/32] }\n",
        "Name it in a rule, or remove it.",
    ),
    e(
        LOOKALIKE,
        "A reviewer takes the name for another: letters of other alphabets that look like ASCII, alphabets mixed in one label, or \
         `0` for `o`, `1` for `l`, `rn` for `m` where the policy has the other name too.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"\u{430}\u{440}i.example\"], methods: [GET] }\n",
        "Make sure that the name is meant. Writing its `xn--` form says so to the next reader, and is warned of all the same.",
    ),
    e(
        WRITES_FOR_ALL,
        "Every agent, those that are defined later too, may change things at the host or carry data to it. Anything but GET, HEAD \
         and OPTIONS counts as writing.",
        "rules:\n  - { name: r, agents: [\"*\"], hosts: [a.example], methods: [GET, POST] }\n",
        "Name the agents that must write, and give the others GET and HEAD.",
    ),
    e(
        PLAIN_HTTP,
        "Plain HTTP can be read and changed by anybody on the way, what an agent downloads and runs included.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"http://mirror.example\"], methods: [GET] }\n",
        "Write the host without `http://`, unless it has no https.",
    ),
    e(
        OTHER_NAMES,
        "A deny rule closes some paths of a host of which another rule allows more. Interfaces have many names for one thing \
         (numbers for names, older versions, batches, GraphQL), and those stay open.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET, POST] }\n  - { name: no-keys, effect: deny, agents: [devbot], hosts: [a.example], methods: [any], paths: [\"/user/keys\"] }\n",
        "Let the allow rule name the paths that are needed, under `paths:`. Keep the deny rule as a second line.",
    ),
    e(
        PUBLISHES,
        "With this credential an agent can publish what it has read, or make a credential of its own that stubgate never sees. The \
         list of services and of their requests is `policy/src/lint/services.rs`; each request is asked of the policy, so that \
         deny rules and paths count. What is not in the list is not warned of.",
        "credentials:\n  github: { stub: stub-github-1, slots: [bearer], hosts: [api.github.com], source: { env: GITHUB } }\nrules:\n  - { name: r, agents: [devbot], hosts: [api.github.com], methods: [GET, POST], credentials: [github] }\n",
        "Name the paths that are needed, down to owner and repository, project or channel; or give GET and HEAD only.",
    ),
    e(
        MISTYPED_METHOD,
        "The method is in no registry and one letter from one that is. Methods are free, so that it is no error, but no client \
         sends it.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [POTS] }\n",
        "Use the method that the help names.",
    ),
    e(
        NOT_READ,
        "Of a folder only `*.yaml` directly in it is read. A rule in `deny.yml` or in a folder below is not in force, although it \
         looks so. The folder `tests` holds the policy's tests and is not warned of.",
        "",
        "Rename the file, move it, or name it on its own.",
    ),
    e(
        SHARED_STUB,
        "What an agent may do follows from its address, so that sharing a stub opens nothing. But an agent that takes another's stub \
         presents its own, and no tripwire tells; and it can't be called back from one of them alone. Sharing is not warned of \
         where agents only read with it.",
        "credentials:\n  github: { stub: stub-github-1, slots: [bearer], hosts: [api.github.com], source: { env: GITHUB } }\nagents:\n  devbot: { sources: [10.42.0.11/32] }\n  other: { sources: [10.42.0.12/32] }\nrules:\n  - { name: r, agents: [devbot, other], hosts: [api.github.com], methods: [POST], paths: [\"/repos/acme/site/issues\"], credentials: [github] }\n",
        "Give each agent a stub of its own (`stubgate stub mint --agent A --credential C`), and write `minted_only: true` beside \
         `stub`; or allow the code, if a stub that is passed on between these agents is nobody's worry.",
    ),
    e(
        NO_BODY,
        "The rule looks into bodies, and requests of these methods have none: they are all refused, because what is empty is no \
         JSON document. `any` names them, too.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET, POST], body: { json: { allow_keys: [a] } } }\n",
        "Name the methods that carry a body, and make a rule of its own for the others.",
    ),
    e(
        NOT_LOOKED_AT,
        "Another allow rule matches wherever this one does, for the same agents or more, and looks into no body. Rules are a set: \
         what one lets pass, passes. Without the credential that only this rule grants, if it does, its demand is none.",
        "rules:\n  - { name: looks, agents: [devbot], hosts: [a.example], methods: [POST], paths: [\"/v1/x\"], body: { json: { allow_keys: [a] } } }\n  - { name: wide, agents: [devbot], hosts: [a.example], methods: [any] }\n",
        "Narrow the other rule by its paths, or let it make the same demand.",
    ),
    e(
        NO_SUCH_POD,
        "With `--cluster`: no pod that runs fits the selector. Either its workload is not there now, or a namespace, label or \
         service account is written otherwise in the cluster, and the agent is refused everything.",
        "",
        "Write what the pods have, as the message says; allow the code where workloads come and go.",
    ),
    e(
        POD_OF_TWO,
        "With `--cluster`: a pod fits selectors of two agents, or one agent's selector and another's `sources`. It is neither: \
         everything is denied to it.",
        "",
        "Tell the agents apart by a label, a service account or a namespace, and keep addresses of pods out of `sources`.",
    ),
    e(
        POD_ON_HOST,
        "With `--cluster`: a pod with `hostNetwork: true` has the address of its node, as every process there has. An address says \
         nothing about who asks then, and such a pod is nobody.",
        "",
        "Run agents in a network of their own.",
    ),
];
