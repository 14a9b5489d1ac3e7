//! `stubgate ca init|show|bundle`.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use stubgate_certs::{CertificateAuthority, bundle_pem};

use super::say::{put, say};
use super::{Ca, Place, UNUSABLE, WRONG, fail};
use crate::config::Config;
use crate::start;

pub(super) fn main(command: &Ca) -> ExitCode {
    let (place, makes) = match command {
        Ca::Init(place) => (place, true),
        Ca::Show(place) | Ca::Bundle { place, .. } => (place, false),
    };
    let ca = match open(place, makes) {
        Ok(ca) => ca,
        Err((code, message)) => return fail(code, message),
    };
    match command {
        Ca::Init(_) | Ca::Show(_) => {
            say(format_args!("SHA-256 fingerprint  {}", ca.fingerprint_sha256()));
            let left = ca.not_after().duration_since(SystemTime::now()).unwrap_or_default();
            say(format_args!("ends in              {} days", left.as_secs() / 86_400));
        }
        Ca::Bundle { only_own, .. } => put(format_args!("{}", bundle_pem(&ca, !only_own))),
    }
    ExitCode::SUCCESS
}

fn open(place: &Place, makes: bool) -> Result<CertificateAuthority, (u8, String)> {
    let missing = |dir: &Path| {
        (UNUSABLE, format!("there is no certificate authority in {}; make one with `stubgate ca init`", dir.display()))
    };
    match (&place.config, &place.state_dir) {
        (Some(file), _) => {
            let config = Config::read(file).map_err(|problem| (WRONG, problem.to_string()))?;
            if !makes && config.ca.is_none() && !config.state_dir.join("ca").exists() {
                return Err(missing(&config.state_dir));
            }
            start::certificate_authority(&config).map_err(|error| (WRONG, format!("{error:#}")))
        }
        (None, Some(dir)) => {
            if !makes && !dir.join("ca").exists() {
                return Err(missing(dir));
            }
            CertificateAuthority::load_or_create(dir, SystemTime::now()).map_err(|error| (WRONG, error.to_string()))
        }
        (None, None) => Err((UNUSABLE, "name --config or --state-dir".into())),
    }
}
