//! The CAs that a configuration means.

use std::time::SystemTime;

use anyhow::Context;
use stubgate_certs::{Anchor, Given, Life, Origin};

use super::become_user;
use crate::config::Config;
use crate::lockdown::Identity;

/// The operator's CA, where a configuration names one.
///
/// # Errors
/// Where it can't be read.
pub fn given_authority(config: &Config) -> anyhow::Result<Option<Given>> {
    let Some(files) = &config.ca.files else { return Ok(None) };
    // The user that the process becomes reads the key again when it is exchanged, so it may be its own. Whether there is such
    // a user is said where it is become.
    let user = config.process.user.as_ref().and_then(|user| Identity::find(user).ok());
    let given = Given::read(&files.certificate_file, &files.key_file, user.map(|user| user.number()));
    given.map(Some).context("the certificate authority")
}

/// The CAs that a configuration means: the operator's files, or the one in `state_dir`, made if it is not there, with what a
/// rotation has begun.
///
/// # Errors
/// Where they can't be read or made, or end too soon.
pub fn authorities(config: &Config) -> anyhow::Result<Life> {
    authorities_with(config, given_authority(config)?)
}

/// The same, for the appliance itself: as the user that the configuration names from then on.
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

/// What a command beside the appliance must not trust, as the user that the configuration names from then on. It only looks:
/// no CA is made, and none takes the place of another. Nothing where there is none yet.
///
/// # Errors
/// As above.
pub(crate) fn anchors_as_user(config: &Config) -> anyhow::Result<Vec<Anchor>> {
    let given = given_authority(config)?;
    become_user(config)?;
    let kept = Life::is_there(&config.state_dir).then(|| Life::look(&config.state_dir, None));
    let Some(given) = given else {
        let kept = kept.transpose().context("the certificate authority")?;
        return Ok(kept.as_ref().map(anchors).unwrap_or_default());
    };
    let mut all = anchors(&Life::look(&config.state_dir, Some(given)).context("the certificate authority")?);
    // An appliance may not have noticed yet that the files are others.
    let others = kept.and_then(Result::ok).as_ref().map(anchors).unwrap_or_default();
    all.extend(others.into_iter().filter(|other| !all.contains(other)).collect::<Vec<_>>());
    Ok(all)
}

/// Every CA of ours that agents trust, for what must not trust them.
pub(crate) fn anchors(life: &Life) -> Vec<Anchor> {
    life.anchors().into_iter().map(|(_, anchor)| anchor).collect()
}

fn authorities_with(config: &Config, given: Option<Given>) -> anyhow::Result<Life> {
    let now = SystemTime::now();
    let origin = given.map_or_else(|| Origin::Made(config.ca.subtrees.clone()), Origin::Given);
    let life = Life::open(&config.state_dir, origin, config.ca.terms, now).context("the certificate authority")?;
    life.check_usable(now).context("the certificate authority")?;
    Ok(life)
}
