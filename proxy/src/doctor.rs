//! What an operator asks first when something does not work: `stubgate doctor`, from the appliance's side.
//!
//! It runs beside the appliance or in its place, with the same configuration, and only looks: it makes no file, opens no
//! listener for longer than a try, reads no credential and sends none. It asks names that policy allows and no others (law
//! 6), shows no value, and ends within its time, whatever hangs.

mod appliance;
mod authority;
mod credentials;
mod files;
mod kernel;
mod ports;
mod report;
mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use stubgate_policy::diagnostic::{Diagnostic, Severity};
use stubgate_policy::{Compiled, Policy, compile};
use tokio::time::{Instant, timeout, timeout_at};

pub use appliance::{Answers, ask};
pub use report::{Finding, Findings, Grade};

use crate::config::{Checked, Config, policy_files};

/// All of it ends within this time.
const WHOLE: Duration = Duration::from_secs(28);
/// And what is looked at on disk within this, each time.
const DISK: Duration = Duration::from_secs(4);

/// What is looked at.
pub struct Setting {
    /// The file.
    pub config_file: PathBuf,
    /// What it says.
    pub config: Config,
    /// What is to be said of it.
    pub warnings: Vec<Diagnostic>,
    /// The policy that it names.
    pub policy: Result<Compiled, Vec<Diagnostic>>,
    /// Whether nothing may be asked beyond this machine.
    pub is_offline: bool,
}

impl Setting {
    /// Of a configuration that can be used; its policy is read.
    pub fn new(config_file: &Path, checked: Checked, is_offline: bool) -> Self {
        let policy = match policy_files(&checked.config.policy) {
            Ok(files) => compile(&files),
            Err(error) => Err(vec![Diagnostic::error("", error.to_string())]),
        };
        Setting {
            config_file: config_file.to_owned(),
            config: checked.config,
            warnings: checked.warnings,
            policy,
            is_offline,
        }
    }

    fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref().ok().map(|compiled| &compiled.policy)
    }
}

/// Looks at all of it, and tells what was not finished in time.
pub async fn examine(setting: &Setting) -> Findings {
    let end = Instant::now() + WHOLE;
    let mut found = written(setting);
    let (config, secrets) = (setting.config.clone(), files::secret_files(setting));
    found.extend(apart("state", move || files::look(&config, &secrets)).await);
    let config = setting.config.clone();
    found.extend(apart("ca", move || authority::look(&config)).await);
    found.extend(kernel::look(setting));
    let answers = timeout_at(end, ask(&setting.config)).await.unwrap_or_default();
    found.extend(appliance::look(setting, &answers));
    found.extend(ports::look(setting, answers.is_there()));
    found.extend(credentials::look(setting, &answers));
    if setting.is_offline {
        return Findings::new(found);
    }
    found.extend(servers::look(setting, end).await);
    Findings::new(found)
}

/// What is looked at on disk, on a thread of its own: a file system that hangs holds up neither the rest nor the end.
async fn apart(check: &'static str, look: impl FnOnce() -> Vec<Finding> + Send + 'static) -> Vec<Finding> {
    let (tell, told) = tokio::sync::oneshot::channel();
    // Nobody may be left who listens.
    let spawned = std::thread::Builder::new().spawn(move || drop(tell.send(look())));
    match (spawned, timeout(DISK, told).await) {
        (Ok(_), Ok(Ok(found))) => found,
        _ => vec![Finding::warn(check, "this was not finished").advise("look at what hangs: a disk, a mounted folder")],
    }
}

/// What the files say, by what `config check` and `policy check` say of them.
fn written(setting: &Setting) -> Vec<Finding> {
    let mut found = Vec::new();
    let advice = |check| match check {
        "config" => "stubgate config check FILE shows where",
        _ => "stubgate policy check PATH… shows where",
    };
    let (policy, is_good) = match &setting.policy {
        Ok(compiled) => (compiled.warnings.as_slice(), true),
        Err(diagnostics) => (diagnostics.as_slice(), false),
    };
    for (check, diagnostics) in [("config", setting.warnings.as_slice()), ("policy", policy)] {
        for diagnostic in diagnostics.iter().take(20) {
            let what = format!("{} {}", diagnostic.code, diagnostic.message);
            let finding = match diagnostic.severity {
                Severity::Error => Finding::bad(check, what.trim()),
                Severity::Warning => Finding::warn(check, what.trim()),
            };
            found.push(finding.advise(advice(check)).quoting());
        }
        if diagnostics.is_empty() {
            found.push(Finding::ok(check, "nothing to say against it"));
        }
    }
    if !is_good {
        let advice = "everything is refused at the next start; until then the last good policy is in force";
        found.push(Finding::bad("policy", "it can't be used").advise(advice));
    }
    found
}
