//! A text that is no credential itself but makes some, of several lines perhaps: a private key.
//!
//! It is asked for each time that it is needed, and kept nowhere.

use stubgate_policy::{Reading, Source};

use std::sync::Arc;

use super::env::Variable;
use super::exec::Program;
use super::file::File;
use super::infisical::Infisical;
use super::vault::Vault;
use super::{Given, SourceError};
use crate::fetch::Means;

/// Where such a text comes from.
pub(crate) enum Text {
    File(File),
    Variable(Variable),
    Program(Program),
    Vault(Vault),
    Infisical(Infisical),
    /// A kind that mints what it gives, and has no text to give.
    None,
}

impl Text {
    pub(crate) fn new(reading: &Reading, means: &Means) -> Self {
        let key = reading.json_key.as_deref();
        match &reading.source {
            Source::File(path) => Text::File(File::new(path, key)),
            Source::Env(name) => Text::Variable(Variable::new(name, key)),
            Source::Exec(program) => Text::Program(Program::new(program, key, Arc::clone(&means.programs))),
            Source::Vault(secret) => Text::Vault(Vault::new(secret, key, Arc::clone(&means.http))),
            Source::Infisical(secret) => Text::Infisical(Infisical::new(secret, key, Arc::clone(&means.http))),
            Source::GithubApp(_) | Source::Oauth(_) => Text::None,
        }
    }

    pub(crate) async fn given(&self) -> Result<Given, SourceError> {
        match self {
            Text::File(file) => file.given().await,
            Text::Variable(variable) => variable.given(),
            Text::Program(program) => program.given().await,
            Text::Vault(vault) => vault.given().await,
            Text::Infisical(infisical) => infisical.given().await,
            Text::None => Err(SourceError::Other("mints tokens, and has no key to give".into())),
        }
    }
}
