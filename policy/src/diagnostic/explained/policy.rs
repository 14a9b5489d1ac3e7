//! Codes of what a policy says: names, networks, stubs, hosts, methods, paths, grants.

use super::Explained;
use crate::diagnostic::codes::*;

const fn e(code: &'static str, why: &'static str, example: &'static str, instead: &'static str) -> Explained {
    Explained { code, why, example, instead }
}

pub(super) const ALL: &[Explained] = &[
    e(
        NO_FILES,
        "No file was given, or a folder has no `*.yaml` directly in it. A policy of nothing denies all, and is rather a \
         wrong path.",
        "",
        "Name a file, or a folder with `*.yaml` files in it.",
    ),
    e(
        VERSION,
        "The format has a version, so that a file is never read with another meaning than it was written with.",
        "version: 2\n",
        "Write `version: 1`.",
    ),
    e(
        BAD_NAME,
        "Names of agents, credentials and rules stand in records, metrics and commands, and are kept plain for them.",
        "rules:\n  - { name: my rule, agents: [devbot], hosts: [a.example], methods: [GET] }\n",
        "Use letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64.",
    ),
    e(
        DEFINED_TWICE,
        "All files are one policy. Of two definitions none is the right one.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET] }\n  - { name: r, agents: [devbot], hosts: [b.example], methods: [GET] }\n",
        "Rename or remove one.",
    ),
    e(
        UNKNOWN_AGENT,
        "A rule names an agent that no file defines; it would never match, or match whoever gets that name later.",
        "rules:\n  - { name: r, agents: [devbto], hosts: [a.example], methods: [GET] }\n",
        "Use the name as it is under `agents:`, or define it.",
    ),
    e(
        UNKNOWN_CREDENTIAL,
        "A rule grants a credential that no file defines.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [api.forge.example], methods: [GET], credentials: [froge] }\n",
        "Use the name as it is under `credentials:`, or define it.",
    ),
    e(
        TOO_MANY,
        "Agents, credentials, rules, hosts of one list and what rules combine to have bounds, so that a policy fits in memory \
         and is decided as fast as ever.",
        "",
        "Use `*` for all agents and wildcards for hosts, or split the list.",
    ),
    e(
        REPEATED,
        "An entry stands twice in one list, or beside one that means everything. One of the two is a slip.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET, GET] }\n",
        "Keep one.",
    ),
    e(
        BAD_CHOICE,
        "The field takes one of a few words. `effect: block` would otherwise be no deny rule.",
        "rules:\n  - { name: r, effect: block, agents: [devbot], hosts: [a.example], methods: [any] }\n",
        "Use one of the words that the message names.",
    ),
    e(
        BAD_SOURCE,
        "Sources say which addresses are an agent; what can't be read could be anybody.",
        "agents:\n  devbot: { sources: [10.42.0.0/33] }\n",
        "Write an address and the length of its prefix: `10.42.0.11/32`.",
    ),
    e(
        HOST_BITS,
        "`10.42.0.11/24` could mean the host or the network.",
        "agents:\n  devbot: { sources: [10.42.0.11/24] }\n",
        "Write `10.42.0.11/32` or `10.42.0.0/24`.",
    ),
    e(
        OVERLAP,
        "An address that belongs to two agents would have the rights of whichever comes first.",
        "agents:\n  devbot: { sources: [10.42.0.11/32] }\n  infrabot: { sources: [10.42.0.0/24] }\n",
        "Give each address to one agent.",
    ),
    e(
        WIDE_SOURCE,
        "Whoever reaches the appliance would be this agent.",
        "agents:\n  devbot: { sources: [0.0.0.0/0] }\n",
        "Name the networks that the agent is in.",
    ),
    e(
        BAD_LIMIT,
        "A limit of 0 would deny everything, and read as if it limited nothing; one that nothing could reach is no limit.",
        "limits: { requests_per_minute: 0 }\n",
        "Write what the agent needs at its busiest, or remove the key: without it there is no limit.",
    ),
    e(
        BAD_POD,
        "Namespaces, labels and service accounts have forms of their own in Kubernetes. A selector in another form would fit no \
         pod; patterns and lists of values are none either.",
        "agents:\n  devbot: { pods: [{ namespace: agents, labels: { app: \"dev*\" } }] }\n",
        "Write each name in full: `{ namespace: agents, labels: { app: devbot }, service_account: devbot }`.",
    ),
    e(
        POD_OVERLAP,
        "A pod that two agents claim is neither of them: everything is denied to it.",
        "agents:\n  devbot: { pods: [{ namespace: agents }] }\n  infrabot: { pods: [{ namespace: agents, labels: { app: infrabot } }] }\n",
        "Tell the agents apart by a label, a service account or a namespace.",
    ),
    e(
        BAD_STUB,
        "A stub must be found whole wherever an agent puts it, so it holds only characters that stand for themselves, and is \
         long enough not to be found in innocent text.",
        "credentials:\n  forge: { stub: short, slots: [bearer], hosts: [api.forge.example], source: { env: FORGE } }\n",
        "Use 8 to 512 letters, digits, `-`, `.`, `_` and `~`.",
    ),
    e(
        STUB_CLASH,
        "Where one stub is part of another, replacing the one would leave pieces of the other.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { env: FORGE } }\n  wiki: { stub: my-stub-forge-1, slots: [bearer], hosts: [wiki.example], source: { env: WIKI } }\n",
        "Give each stub an ending of its own, and all the same length.",
    ),
    e(
        STUB_SHARED,
        "Agent and stub together select the credential. Two with one stub, granted to one agent, are a guess.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { env: FORGE } }\n  wiki: { stub: stub-forge-1, slots: [bearer], hosts: [wiki.example], source: { env: WIKI } }\nrules:\n  - { name: r, agents: [devbot], hosts: [api.forge.example, wiki.example], methods: [GET], credentials: [forge, wiki] }\n",
        "Give each credential a stub of its own.",
    ),
    e(
        BAD_SLOT,
        "A slot is a place that is declared for a credential; everywhere else a stub is refused. Headers that frame or route a \
         message can be none.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [header], hosts: [api.forge.example], source: { env: FORGE } }\n",
        "Use `bearer`, `basic`, `bare`, `header:NAME` or `query:NAME`.",
    ),
    e(
        BAD_SECRET_SOURCE,
        "The secret itself is never in a policy. It is read from one place, which must be named without doubt.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { file: secrets/forge } }\n",
        "Write one of `file`, `env`, `exec`, `vault`, `infisical`, `github_app` and `oauth`, with all that docs/policy/reference.md lists for it; \
         files and programs by their absolute path.",
    ),
    e(
        BAD_ADDRESS,
        "A server of secrets is asked over verified https alone, and never by way of a redirect: whoever reads one answer has the \
         secret. Its address is matched and dialled as it stands, so it has one spelling.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { vault: { address: \"http://vault.corp.example:8200\", path: a, key: b, auth: { token_file: /run/vault/token } } } }\n",
        "Write `https://HOST` or `https://HOST:PORT`, and a path only where one is asked for.",
    ),
    e(
        BAD_TIME,
        "A value that is read all the time burdens its server, and one that is read once a week outlives its rotation; a program that \
         may run for minutes leaves agents without a credential for as long.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { file: /run/secrets/forge, ttl_seconds: 0 } }\n",
        "Write `ttl_seconds` from 1 to 86400, and `timeout_seconds` of `exec` from 1 to 60.",
    ),
    e(
        BAD_PROVIDER,
        "Where tokens are refreshed decides who sees the refresh token, so it is never guessed; and a name that is built in means one \
         provider only.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { oauth: { provider: cluade } } }\n",
        "Write `claude`, or a provider of your own: `{ name: acme, token_url: \"https://id.acme.example/token\", client_id: … }`.",
    ),
    e(
        LOGIN_SHARED,
        "A refresh token is good for one use. Two credentials with one login would each spend what the other holds, and the provider \
         would end the login.",
        "credentials:\n  one: { stub: stub-forge-1, slots: [bearer], hosts: [a.example], source: { oauth: { provider: claude, login: team } } }\n  \
         two: { stub: stub-forge-2, slots: [bearer], hosts: [b.example], source: { oauth: { provider: claude, login: team } } }\n\
         rules:\n  - { name: r, agents: [devbot], hosts: [a.example, b.example], methods: [GET], credentials: [one, two] }\n",
        "Grant one credential to all who need it; for accounts of their own, put a login of its own in escrow for each.",
    ),
    e(
        MINTED_KEY,
        "The private key of an app is what tokens are minted with. It lies somewhere; a token that is minted is no key.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { github_app: { app_id: 1, installation: 2, private_key: { oauth: { provider: claude } } } } }\n",
        "Name where the PEM file is read from: `file`, `env`, `exec`, `vault` or `infisical`.",
    ),
    e(
        BAD_HOST,
        "Hosts have one spelling, and that one value is matched, resolved, dialled and verified. Users, paths, octal and short \
         addresses, zone ids, control bytes and spellings that IDNA would change are refused rather than read kindly.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [api.forge.example/v1], methods: [GET] }\n",
        "Write a name, `*.name`, `**.name` or a plain address, and `:port` if it is not 443; paths go under `paths:`.",
    ),
    e(
        BAD_WILDCARD,
        "A wildcard stands for whole labels in front. `*api.example` would match `evil-api.example` too.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"*api.forge.example\"], methods: [GET] }\n",
        "Write `*.name` for one label more, `**.name` for one or more.",
    ),
    e(
        PUBLIC_SUFFIX,
        "Under a public suffix anybody can register a name, and so could whoever writes the agent's prompt.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"*.co.uk\"], methods: [GET] }\n",
        "Put a name that is yours before it: `*.yours.co.uk`.",
    ),
    e(
        BAD_PORT,
        "A port is a number from 1 to 65535 without leading zeros; names of forwarded zones have none.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"api.forge.example:0443\"], methods: [GET] }\n",
        "Write `host:8443`, or leave 443 out.",
    ),
    e(
        BAD_SCHEME,
        "A host means https, `http://host` means plain HTTP, and nothing else is spoken.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"https://api.forge.example/user\"], methods: [GET] }\n",
        "Write the host alone, and its path under `paths:`.",
    ),
    e(
        BAD_ANY,
        "Nobody may reach every host. Deny rules may say `any`, alone.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [any], methods: [GET] }\n",
        "Name the hosts.",
    ),
    e(
        RESERVED_HOST,
        "`stubgate.internal` is answered by the appliance itself, for every agent; a rule about it would mean nothing.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [stubgate.internal], methods: [GET] }\n",
        "Remove it.",
    ),
    e(
        BAD_CHECK,
        "`stubgate credential test` sends the real credential there. It goes where agents' requests may carry it, over verified \
         https, and nowhere else.",
        "credentials:\n  forge: { stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: { env: FORGE }, check: { url: \"https://forge.example/user\" } }\n",
        "Write `https://`, one of the credential's `hosts`, and a path there; `expect` takes statuses from 200 to 599.",
    ),
    e(
        BAD_METHOD,
        "Methods are compared in exact case, and `get` is a method that no client sends.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [get] }\n",
        "Write methods in upper case, or `any`.",
    ),
    e(
        DEAD_METHOD,
        "TRACE gives a request back with its credentials, and CONNECT is no request to an origin. No rule matches them, `any` \
         included.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET, TRACE] }\n",
        "Remove it. For WebSockets there is `WEBSOCKET`.",
    ),
    e(
        BAD_PATH,
        "Paths are matched in one spelling. A pattern with a dot segment, `//`, a query and the like could never match a \
         request, because no such request gets that far.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], paths: [\"/a/../b\"] }\n",
        "Begin with `/`; `*` is within a segment, `**` alone between slashes is any number of them.",
    ),
    e(
        BAD_POINTER,
        "Places in a document are JSON pointers: keys and indices behind slashes, `~1` for a slash in a key and `~0` for `~`. `*` \
         alone is one step, `**` alone any number of them; what stands below a place needs no `/**`.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [POST], body: { json: { deny_pointers: [\"tools[0].type\"] } } }\n",
        "Write `/tools/0/type`, or `/tools/*/type` for every entry.",
    ),
    e(
        BAD_SIZE,
        "A body that is looked at is held in memory until it is, so that its size has a bound: 1 to 67108864 bytes.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [POST], body: { json: { allow_keys: [a] }, max_bytes: 0 } }\n",
        "Write the bytes of the longest body that is needed.",
    ),
    e(
        BAD_FIELD,
        "Fields are named as the schema names them, whole: there are no wildcards, and neither aliases nor arguments.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [POST], graphql: { operations: [query], fields: [\"get*\"] } }\n",
        "Name each field.",
    ),
    e(
        BODY_ON_DENY,
        "A deny rule closes what it names for every body. If it looked into bodies, whatever it could not read would pass.",
        "rules:\n  - { name: r, effect: deny, agents: [devbot], hosts: [a.example], methods: [POST], body: { json: { deny_pointers: [\"/x\"] } } }\n",
        "Say in the allow rule what its bodies may hold.",
    ),
    e(
        BODY_DEMANDS_NOTHING,
        "The rule would hold every body to read it, and refuse what does not parse, for nothing.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [POST], body: { json: {} } }\n",
        "Say what the body may hold, or remove `body:`.",
    ),
    e(
        PLAIN_CREDENTIAL,
        "A credential that goes out over plain HTTP is everybody's on the way.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [\"http://api.forge.example\"], methods: [GET], credentials: [forge] }\n",
        "Use https, or make a rule without credentials for the plain host.",
    ),
    e(
        USELESS_GRANT,
        "A credential goes only where its own `hosts` say. Where none of them is a host of the rule, the grant does nothing, and \
         somebody has a wrong idea of one of the two.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [wiki.example], methods: [GET], credentials: [forge] }\n",
        "Add the host to the credential, or remove the credential from the rule.",
    ),
    e(
        GRANT_ON_DENY,
        "A deny rule grants and relaxes nothing; what is written there would be read as if it did.",
        "rules:\n  - { name: r, effect: deny, agents: [devbot], hosts: [any], methods: [any], credentials: [forge] }\n",
        "Remove it from the deny rule.",
    ),
    e(
        CONTRADICTION,
        "A rule that requires a credential and grants none can't allow anything; nor can one whose `graphql` names mutations and \
         allows none. `body` and `graphql` in one rule would be two ways to read one body.",
        "rules:\n  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET], credential_required: true }\n",
        "Add `credentials:`, or remove `credential_required`.",
    ),
    e(
        BAD_TYPE,
        "Only records that hold data are forwarded. HTTPS and SVCB records could point a client past the appliance; ANY and \
         transfers are for looking around.",
        "dns:\n  - { agents: [devbot], names: [db.internal.example], types: [HTTPS] }\n",
        "Write A, AAAA, SRV, TXT and so on, or TYPE and a number.",
    ),
    e(
        GRANTS_NOTHING,
        "Without an allow rule every request is denied. That is safe, and seldom meant.",
        "rules:\n  - { name: r, effect: observe, agents: [devbot], hosts: [a.example], methods: [GET] }\n",
        "Write a rule that allows something.",
    ),
];
