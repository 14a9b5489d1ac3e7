//! The CAs that a configuration means.

use std::time::SystemTime;

use anyhow::Context;
use stubgate_certs::{Anchor, Given, Life, Origin};

use super::become_user;
use crate::config::Config;

/// The operator's CA, where a configuration names one.
///
/// # Errors
/// Where it can't be read.
pub fn given_authority(config: &Config) -> anyhow::Result<Option<Given>> {
    let files = config.ca.files.as_ref();
    let given = files.map(|files| Given::read(&files.certificate_file, &files.key_file));
    given.transpose().context("the certificate authority")
}

/// The CAs that a configuration means: the operator's files, or the one in `state_dir`, made if it is not there, with what a
/// rotation has begun.
///
/// # Errors
/// Where they can't be read or made, or end too soon.
pub fn authorities(config: &Config) -> anyhow::Result<Life> {
    authorities_with(config, given_authority(config)?)
}

fn authorities_with(config: &Config, given: Option<Given>) -> anyhow::Result<Life> {
    let now = SystemTime::now();
    let origin = given.map_or_else(|| Origin::Made(config.ca.subtrees.clone()), Origin::Given);
    let life = Life::open(&config.state_dir, origin, config.ca.terms, now).context("the certificate authority")?;
    life.check_usable(now).context("the certificate authority")?;
    Ok(life)
}

/// The same, for a command that writes beside the appliance: as the user that the configuration names from then on.
///
/// # Errors
/// As above, and where that user can't be assumed.
pub(crate) fn authorities_as_user(config: &Config) -> anyhow::Result<Life> {
    // The operator's own key is read by whoever starts the appliance; the user that it becomes needs a right to it only where
    // the files are exchanged while it runs.
    let given = given_authority(config)?;
    become_user(config)?;
    authorities_with(config, given)
}

/// Every CA of ours that agents trust, for what must not trust them.
pub(crate) fn anchors(life: &Life) -> Vec<Anchor> {
    life.anchors().into_iter().map(|(_, anchor)| anchor).collect()
}
