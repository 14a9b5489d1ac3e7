//! The certificate authority that agents trust: there, usable, not near its end, and its key nobody else's.

use std::time::{Duration, SystemTime};

use stubgate_certs::{Given, Life, Phase};

use super::Finding;
use super::files::exposed;
use crate::config::Config;

/// From here on somebody should think of its successor.
const SOON: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 86_400;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let (at, life) = match &config.ca.files {
        Some(files) => {
            let given = Given::read(&files.certificate_file, &files.key_file, Life::owner(&config.state_dir));
            (files.certificate_file.clone(), given.and_then(|given| Life::look(&config.state_dir, Some(given))))
        }
        None => {
            let folder = config.state_dir.join("ca");
            if !Life::is_there(&config.state_dir) {
                let what = format!("there is none yet; one is made in {} at the first start", folder.display());
                return vec![Finding::warn("ca", what).advise("or make it now: stubgate ca init --config FILE")];
            }
            (folder, Life::look(&config.state_dir, None))
        }
    };
    let now = SystemTime::now();
    let life = match life {
        Ok(life) => life,
        Err(error) => {
            let advice = "run this as who runs stubgate; if it fails there too, nothing starts without it";
            return vec![Finding::bad("ca", format!("{}: {error}", at.display())).advise(advice)];
        }
    };
    let ca = life.signing();
    let mut found = vec![match (life.check_usable(now), ca.not_after().duration_since(now)) {
        (Err(error), _) => Finding::bad("ca", error.to_string()).advise("see docs/runbooks for rotating it"),
        (Ok(()), Ok(left)) if left < SOON && life.phase() != Phase::Overlap => {
            let what = format!("{} ends in {} days", ca.fingerprint_sha256(), left.as_secs() / DAY);
            Finding::warn("ca", what).advise(match life.is_given() {
                true => "put the next pair in the place of ca.certificate_file and ca.key_file before",
                false => "rotate it before: stubgate ca rotate --config FILE",
            })
        }
        (Ok(()), left) => {
            let days = left.unwrap_or_default().as_secs() / DAY;
            Finding::ok("ca", format!("{} ends in {days} days; {}", ca.fingerprint_sha256(), life.phase().as_str()))
        }
    }];
    let Some(key) = life.key_file() else { return found };
    found.push(match exposed(&key) {
        None => Finding::ok("ca.key", "nobody else can read it"),
        Some(why) => {
            let what = format!("{}: {why}; who has it can be any host to every agent", key.display());
            let advice = format!("chmod 600 {}, and exchange it if anybody could have read it", key.display());
            Finding::bad("ca.key", what).advise(advice)
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use stubgate_certs::CertificateAuthority;

    use super::*;

    #[test]
    fn one_of_the_operators_that_ends_soon_is_not_to_be_rotated_by_a_command_that_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        CertificateAuthority::load_or_create(folder.path(), SystemTime::now() - Duration::from_secs(3640 * DAY))
            .unwrap();
        let files = format!("ca: {{ certificate_file: \"{at}/ca/certificate.pem\", key_file: \"{at}/ca/key.pem\" }}");
        for (more, advice) in [("", "stubgate ca rotate"), (files.as_str(), "put the next pair")] {
            let text =
                format!("listen: {{ proxy: [\"127.0.0.1:1\"] }}\npolicy: [p.yaml]\nstate_dir: \"{at}\"\n{more}\n");
            let file = stubgate_policy::SourceFile { name: "stubgate.yaml".into(), text };
            let found = look(&crate::config::compile(file).unwrap());
            assert!(found[0].advice.as_ref().unwrap().contains(advice), "{found:?}");
        }
    }
}
