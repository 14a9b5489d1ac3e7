//! `stubgate ca init|show|bundle`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use stubgate_certs::{CertificateAuthority, bundle_pem};

use super::say::{put, say};
use super::{Ca, Place, UNUSABLE, WRONG, check, fail};
use crate::config::Config;
use crate::start;

pub(super) fn main(command: &Ca) -> ExitCode {
    let (place, makes) = match command {
        Ca::Init(place) => (place, true),
        Ca::Show(place) | Ca::Bundle { place, .. } => (place, false),
    };
    let (ca, at) = match open(place, makes) {
        Ok(found) => found,
        Err(code) => return code,
    };
    match command {
        Ca::Init(_) => {
            let what = if ca.is_new() { "made" } else { "already there, unchanged:" };
            say(format_args!("{what} {}", at.display()));
            show(&ca);
        }
        Ca::Show(_) => show(&ca),
        Ca::Bundle { only_own, .. } => put(format_args!("{}", bundle_pem(&ca, !only_own))),
    }
    ExitCode::SUCCESS
}

fn show(ca: &CertificateAuthority) {
    say(format_args!("SHA-256 fingerprint  {}", ca.fingerprint_sha256()));
    let left = ca.not_after().duration_since(SystemTime::now()).unwrap_or_default();
    say(format_args!("ends in              {} days", left.as_secs() / 86_400));
}

/// The authority and where it is. What failed has been said.
fn open(place: &Place, makes: bool) -> Result<(CertificateAuthority, PathBuf), ExitCode> {
    match (&place.config, &place.state_dir) {
        (Some(file), _) => {
            let config = Config::read(file).map_err(|problem| check::refuse(&problem))?;
            let at = match &config.ca {
                Some(files) => files.certificate_file.clone(),
                None => folder(&config.state_dir, makes)?,
            };
            let ca = start::certificate_authority(&config).map_err(|error| fail(WRONG, format!("{error:#}")))?;
            Ok((ca, at))
        }
        (None, Some(dir)) => {
            let at = folder(dir, makes)?;
            let ca = CertificateAuthority::load_or_create(dir, SystemTime::now());
            Ok((ca.map_err(|error| fail(WRONG, error))?, at))
        }
        (None, None) => Err(fail(UNUSABLE, "name --config or --state-dir")),
    }
}

/// The folder of the authority in a state folder; it must be there unless it may be made.
fn folder(state_dir: &Path, makes: bool) -> Result<PathBuf, ExitCode> {
    let at = state_dir.join("ca");
    if makes || at.exists() {
        return Ok(at);
    }
    let state_dir = state_dir.display();
    let message = format!("there is no certificate authority in {state_dir}; make one with `stubgate ca init`");
    Err(fail(UNUSABLE, message))
}
