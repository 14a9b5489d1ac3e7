//! The certificate authority that agents trust: there, usable, not near its end, and its key nobody else's.

use std::time::{Duration, SystemTime};

use stubgate_certs::CertificateAuthority;

use super::files::exposed;
use super::{Finding, Setting};

/// From here on somebody should think of its successor.
const SOON: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 86_400;

pub(super) fn look(setting: &Setting) -> Vec<Finding> {
    let (certificate, key) = match &setting.config.ca {
        Some(files) => (files.certificate_file.clone(), files.key_file.clone()),
        None => {
            let folder = setting.config.state_dir.join("ca");
            if !folder.exists() {
                let what = format!("there is none yet; one is made in {} at the first start", folder.display());
                return vec![Finding::warn("ca", what).advise("or make it now: stubgate ca init --config FILE")];
            }
            (folder.join("certificate.pem"), folder.join("key.pem"))
        }
    };
    let mut found = Vec::new();
    let now = SystemTime::now();
    match CertificateAuthority::load_files(&certificate, &key) {
        Err(error) => {
            let advice = "run this as who runs stubgate; if it fails there too, nothing starts without it";
            found.push(Finding::bad("ca", format!("{}: {error}", certificate.display())).advise(advice));
        }
        Ok(ca) => found.push(match (ca.check_usable(now), ca.not_after().duration_since(now)) {
            (Err(error), _) => Finding::bad("ca", error.to_string()).advise("see docs/runbooks for rotating it"),
            (Ok(()), Ok(left)) if left < SOON => {
                let what = format!("{} ends in {} days", ca.fingerprint_sha256(), left.as_secs() / DAY);
                Finding::warn("ca", what).advise("rotate it before; agents must have the new bundle by then")
            }
            (Ok(()), left) => {
                let days = left.unwrap_or_default().as_secs() / DAY;
                Finding::ok("ca", format!("{} ends in {days} days", ca.fingerprint_sha256()))
            }
        }),
    }
    found.push(match exposed(&key) {
        None => Finding::ok("ca.key", "nobody else can read it"),
        Some(why) => {
            let what = format!("{}: {why}; who has it can be any host to every agent", key.display());
            Finding::bad("ca.key", what)
                .advise(format!("chmod 600 {}, and rotate it if anybody could have read it", key.display()))
        }
    });
    found
}
