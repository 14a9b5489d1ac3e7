//! The shape of a policy file, as structs: every value with its place, nothing judged.
//!
//! Nothing here fails on a wrong shape or an unknown key: both are kept for compile, so that one run reports every
//! error of a file. `Option` never means "any": a missing key is an error for compile to find.

pub(crate) mod cases;
mod given;
pub(crate) mod pods;
pub(crate) mod sources;

use given::lenient;
pub(crate) use given::{Argument, Entries, Flag, Given, Number, Places, Shape, Span, Text, Unknown};
pub(crate) use pods::PodSelector;

use crate::schema::Limit;
pub(crate) use sources::SecretSource;

lenient! {
    /// A policy file.
    pub(crate) struct Document {
        /// Version of the format: 1.
        version: Number = Limit::required().only(1),
        /// Who may ask: a name for each workload, and the networks that it asks from, or the pods that it is.
        agents: Entries<Agent> = Limit::NONE.each_has_any(IDENTITIES),
        /// What stands behind each stub. The secret itself is never here.
        credentials: Entries<Credential>,
        /// Who may do what, where. A set: order means nothing; what no rule allows is denied; a deny rule always wins.
        rules: Vec<Given<Rule>>,
        /// Reviewed rule files, by name and version; see `stubgate policy preset list`.
        include: Vec<Given<Include>>,
        /// Who may ask which names of the zones that stubgate.yaml forwards.
        dns: Vec<Given<Dns>>,
        /// How much each agent may do. Default: no limit.
        limits: Limits,
    }
}

/// The keys of an agent that say who it is; one of them must stand.
pub(crate) const IDENTITIES: &[&str] = &["sources", "pods"];

lenient! {
    /// `agents: { NAME: … }`
    pub(crate) struct Agent {
        /// Networks that the agent asks from, such as `10.42.0.11/32`. No address may belong to two agents.
        sources: Vec<Given<Text>>,
        /// Pods of a Kubernetes cluster that are the agent: those that fit any of these.
        pods: Vec<Given<PodSelector>>,
        /// Denies all to this agent at once. Default false.
        quarantined: Flag,
        /// How much this agent may do; a number here takes the place of the one under the top-level `limits`.
        limits: Limits,
    }
}

lenient! {
    /// `limits: { … }`, for every agent or for one.
    pub(crate) struct Limits {
        /// Requests of one agent in a minute, in the long run; as many may come at once.
        requests_per_minute: Number = Limit::NONE.least(1),
        /// Bytes of requests that one agent may send to one host in a day (UTC).
        bytes_out_per_day: Number = Limit::NONE.least(1),
        /// Tripwires of one agent in a day (UTC) after which all is denied to it.
        quarantine_after_tripwires: Number = Limit::NONE.least(1),
    }
}

lenient! {
    /// `credentials: { NAME: … }`
    pub(crate) struct Credential {
        /// What the agent holds instead of the secret: at least 8 characters, matched as a whole token.
        stub: Text = Limit::required().pattern("^[A-Za-z0-9._~-]{8,512}$"),
        /// Refuses the stub that is written here: only stubs stand for the credential that `stubgate stub mint` made for the
        /// agent. Default false.
        minted_only: Flag,
        /// Where in a request the stub may stand: `bearer` (also `token`), `basic`, `bare` (no scheme, as cargo sends),
        /// `header:NAME`, `query:NAME`.
        slots: Vec<Given<Text>> = Limit::required().each("^(bearer|basic|bare|header:.+|query:.+)$"),
        /// The only places that the credential may ever go: port 443 unless written, never plain HTTP.
        hosts: Vec<Given<Text>> = Limit::required(),
        /// Where the appliance reads the secret; exactly one kind.
        source: SecretSource = Limit::required().one_of(sources::KINDS),
        /// The request with which `stubgate credential test` tries it. Services that are known need none.
        check: Check,
    }
}

/// The methods of a check.
pub(crate) const CHECK_METHODS: &[&str] = &["GET", "HEAD", "POST"];
/// The statuses that a check may expect, from and to.
pub(crate) const CHECK_STATUS: (u16, u16) = (200, 599);

lenient! {
    /// `check: { … }` of a credential.
    pub(crate) struct Check {
        /// What is asked, over https, of one of the credential's `hosts`.
        url: Text = Limit::required().pattern(sources::HTTPS),
        /// How, without a body. Default `GET`.
        method: Text = Limit::NONE.choice(CHECK_METHODS),
        /// The statuses that say that the credential works. Default: 200 to 299.
        expect: Vec<Given<Number>>,
    }
}

lenient! {
    /// An entry of `rules`.
    pub(crate) struct Rule {
        /// Shown in records and metrics; no two rules share one.
        name: Text = Limit::required().pattern(Limit::NAME),
        /// `allow` (default), `deny` (always wins), or `observe` (still denied, recorded as if allowed).
        effect: Text = Limit::NONE.choice(&["allow", "deny", "observe"]),
        /// Whose requests: names of agents, or `"*"` for every agent that is defined.
        agents: Vec<Given<Text>> = Limit::required(),
        /// Names, `*.x` (exactly one label more), `**.x` (one or more), addresses; with `:port` if not 443; `http://host`
        /// for plain HTTP. In a deny rule also `any`.
        hosts: Vec<Given<Text>> = Limit::required(),
        /// In exact case; `any` is every method; a WebSocket needs `WEBSOCKET`; GET does not imply HEAD.
        methods: Vec<Given<Text>> = Limit::required(),
        /// `*` within a segment, `**` across segments; `/x/**` is `/x/` and below, not `/x`. Default: every path.
        paths: Vec<Given<Text>> = Limit::NONE.each("^/"),
        /// Credentials that the rule grants. Each goes only to hosts that it is bound to.
        credentials: Vec<Given<Text>>,
        /// Refuses requests without a credential. Default false.
        credential_required: Flag,
        /// `allow`: an agent may send a credential of its own here. Default `deny`.
        foreign_credentials: Text = Limit::NONE.choice(&["allow", "deny"]),
        /// `deny`: stops a request whose body holds a stub. Default `allow`.
        stub_in_body: Text = Limit::NONE.choice(&["allow", "deny"]),
        /// What is done about a known kind of credential in a response: `deny` ends it, `replace` overwrites the credential, `allow`
        /// records it. Default `deny` for methods that write with a credential, else `allow`.
        credential_in_response: Text = Limit::NONE.choice(&["allow", "replace", "deny"]),
        /// `allow`: keeps Range in requests that swap. Default `deny`.
        ranges: Text = Limit::NONE.choice(&["allow", "deny"]),
        /// `allow`: `**` matches `%2F` in a segment, as in npm's scoped names. Default `deny`.
        encoded_slash: Text = Limit::NONE.choice(&["allow", "deny"]),
        /// Looks into JSON bodies: only those that are as it says pass by this rule.
        body: Body,
        /// Looks into GraphQL requests: only those that are as it says pass by this rule.
        graphql: Graphql,
    }
}

lenient! {
    /// `body:` of a rule.
    pub(crate) struct Body {
        /// What the JSON document may hold.
        json: JsonBody = Limit::required(),
        /// A longer body is refused. Default 1048576.
        max_bytes: Number = Limit::NONE.at_most(1 << 26),
    }
}

lenient! {
    /// `json:` of a body.
    pub(crate) struct JsonBody {
        /// The only keys that the document may have, in exact case.
        allow_keys: Vec<Given<Text>>,
        /// Places where nothing may stand: JSON pointers, with `*` for one step and `**` for any number.
        deny_pointers: Vec<Given<Text>> = Limit::NONE.each("^/."),
        /// Texts that may not stand at a place; `*` at the end of one is any rest.
        deny_values: Places,
        /// The only texts that may stand at a place, if anything does.
        allow_values: Places,
    }
}

lenient! {
    /// `graphql:` of a rule.
    pub(crate) struct Graphql {
        /// What a document may hold: `query`, `mutation`, `subscription`.
        operations: Vec<Given<Text>> = Limit::required().each("^(query|mutation|subscription)$"),
        /// The only fields at the root of queries and subscriptions. Default: all.
        fields: Vec<Given<Text>> = Limit::NONE.each("^[_A-Za-z][_0-9A-Za-z]*$"),
        /// The only fields at the root of mutations; must stand where they are allowed.
        mutations: Vec<Given<Text>> = Limit::NONE.each("^[_A-Za-z][_0-9A-Za-z]*$"),
        /// A longer body is refused. Default 1048576.
        max_bytes: Number = Limit::NONE.at_most(1 << 26),
    }
}

lenient! {
    /// An entry of `dns`.
    pub(crate) struct Dns {
        /// Who may ask: names of agents, or `"*"`.
        agents: Vec<Given<Text>> = Limit::required(),
        /// Names, `*.x` or `**.x`, of forwarded zones.
        names: Vec<Given<Text>> = Limit::required(),
        /// Types of record, such as `A`, `AAAA` and `SRV`.
        types: Vec<Given<Text>> = Limit::required(),
    }
}

lenient! {
    /// An entry of `include`.
    pub(crate) struct Include {
        /// Name and version; a released version never changes.
        preset: Text = Limit::required().presets(),
        /// Tells a second include of the same preset apart; stands in the names of its rules.
        name: Text = Limit::NONE.pattern(Limit::NAME),
        /// The agents of all its rules, or `"*"`.
        agents: Vec<Given<Text>> = Limit::required(),
        /// The preset's name of each credential, and the policy's.
        credentials: Entries<Text>,
        /// The preset's parameters; see `stubgate policy preset show NAME`.
        with: Entries<Argument>,
    }
}

lenient! {
    /// A preset's file. Its rules have no `agents`: those of the include are taken.
    pub(crate) struct PresetFile {
        /// Its name.
        preset: Text,
        /// Counted from 1; a released one never changes.
        version: Number,
        /// What it lets an agent do, in plain words.
        about: Text,
        /// The credentials that its rules grant.
        credentials: Entries<PresetCredential>,
        /// What the include says under `with`.
        parameters: Entries<PresetParameter>,
        /// As in a policy, without `agents`, and with `{parameter}` in hosts and paths.
        rules: Vec<Given<Rule>>,
    }
}

lenient! {
    /// `credentials: { NAME: … }` of a preset.
    pub(crate) struct PresetCredential {
        /// What it is for.
        about: Text,
        /// Whether the include may leave it out.
        optional: Flag,
    }
}

lenient! {
    /// `parameters: { NAME: … }` of a preset.
    pub(crate) struct PresetParameter {
        /// What its value is read as.
        kind: Text,
        /// What it is for.
        about: Text,
    }
}
