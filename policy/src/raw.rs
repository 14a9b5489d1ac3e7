//! The shape of a policy file, as serde structs: every value with its place, nothing judged.
//!
//! Nothing here fails on a wrong shape or an unknown key: both are kept for compile, so that one run reports every
//! error of a file. `Option` never means "any": a missing key is an error for compile to find.

pub(crate) mod cases;
mod given;

use given::lenient;
pub(crate) use given::{Argument, Entries, Flag, Given, Number, Shape, Span, Text, Unknown};

lenient! {
    /// A policy file.
    pub(crate) struct Document {
        version: Number,
        agents: Entries<Agent>,
        credentials: Entries<Credential>,
        rules: Vec<Given<Rule>>,
        include: Vec<Given<Include>>,
        dns: Vec<Given<Dns>>,
    }
}

lenient! {
    /// `agents: { NAME: … }`
    pub(crate) struct Agent {
        sources: Vec<Given<Text>>,
        quarantined: Flag,
    }
}

lenient! {
    /// `credentials: { NAME: … }`
    pub(crate) struct Credential {
        stub: Text,
        slots: Vec<Given<Text>>,
        hosts: Vec<Given<Text>>,
        source: SecretSource,
    }
}

lenient! {
    /// Exactly one key.
    pub(crate) struct SecretSource {
        file: Text,
        env: Text,
    }
}

lenient! {
    /// An entry of `rules`.
    pub(crate) struct Rule {
        name: Text,
        effect: Text,
        agents: Vec<Given<Text>>,
        hosts: Vec<Given<Text>>,
        methods: Vec<Given<Text>>,
        paths: Vec<Given<Text>>,
        credentials: Vec<Given<Text>>,
        credential_required: Flag,
        foreign_credentials: Text,
        stub_in_body: Text,
        ranges: Text,
        encoded_slash: Text,
    }
}

lenient! {
    /// An entry of `dns`.
    pub(crate) struct Dns {
        agents: Vec<Given<Text>>,
        names: Vec<Given<Text>>,
        types: Vec<Given<Text>>,
    }
}

lenient! {
    /// An entry of `include`.
    pub(crate) struct Include {
        preset: Text,
        name: Text,
        agents: Vec<Given<Text>>,
        credentials: Entries<Text>,
        with: Entries<Argument>,
    }
}

lenient! {
    /// A preset's file. Its rules have no `agents`: those of the include are taken.
    pub(crate) struct PresetFile {
        preset: Text,
        version: Number,
        about: Text,
        credentials: Entries<PresetCredential>,
        parameters: Entries<PresetParameter>,
        rules: Vec<Given<Rule>>,
    }
}

lenient! {
    /// `credentials: { NAME: … }` of a preset.
    pub(crate) struct PresetCredential {
        about: Text,
        optional: Flag,
    }
}

lenient! {
    /// `parameters: { NAME: … }` of a preset.
    pub(crate) struct PresetParameter {
        kind: Text,
        about: Text,
    }
}
