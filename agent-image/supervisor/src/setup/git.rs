//! Who the agent is to git, and a credential helper that hands out stubs. git tells a helper to *erase* what was answered with a
//! 401; this one has nothing to forget, so that one refusal does not cost the agent its stub for good.

use std::path::PathBuf;

use super::report::Outcome;
use super::{repositories, trust};
use crate::agent::Agent;
use crate::files;

/// A file of setup's own, and a line in `~/.gitconfig` that includes it, so that what the agent sets there stays.
pub(crate) fn write(agent: &Agent) -> Outcome {
    match try_write(agent) {
        Ok(changed) => Outcome::of(changed, hosts(agent)),
        Err(why) => Outcome::Failed(why),
    }
}

fn hosts(agent: &Agent) -> String {
    let hosts: Vec<&str> = agent.file.git.stubs.keys().map(String::as_str).collect();
    if hosts.is_empty() { "no stubs".into() } else { format!("stubs for {}", hosts.join(", ")) }
}

fn try_write(agent: &Agent) -> Result<bool, String> {
    let file = own_file(agent);
    let text = text(agent)?;
    let wrong = |error: std::io::Error| error.to_string();
    let changed = files::replace(&file, text.as_bytes(), 0o600).map_err(wrong)?;
    let global = agent.place.home.join(".gitconfig");
    let before = match files::read_bounded(&global, 1024 * 1024) {
        Ok(before) => String::from_utf8_lossy(&before).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{}: {error}", global.display())),
    };
    let include = format!("[include]\n\tpath = {}\n", quoted(&file.display().to_string())?);
    if before.contains(&include) {
        return Ok(changed);
    }
    // First: what follows wins.
    files::replace(&global, format!("{include}{before}").as_bytes(), 0o644).map_err(wrong)
}

fn own_file(agent: &Agent) -> PathBuf {
    agent.place.home.join(".config/stubgate-agent/gitconfig")
}

fn text(agent: &Agent) -> Result<String, String> {
    let git = &agent.file.git;
    let name = if git.name.is_empty() { &agent.name } else { &git.name };
    let email = if git.email.is_empty() { format!("{}@agents.invalid", agent.name) } else { git.email.clone() };
    let mut text = String::from("# Written by stubgate-agent setup.\n");
    text.push_str(&format!("[user]\n\tname = {}\n\temail = {}\n", quoted(name)?, quoted(&email)?));
    let bundle = trust::bundle_file(&agent.place).display().to_string();
    text.push_str(&format!("[http]\n\tsslCAInfo = {}\n", quoted(&bundle)?));
    // A volume's files may belong to another user than the container's.
    let workspace = &agent.place.workspace;
    for folder in repositories::folders(agent) {
        text.push_str(&format!("[safe]\n\tdirectory = {}\n", quoted(&workspace.join(folder).display().to_string())?));
    }
    for (host, stub) in &git.stubs {
        if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
            return Err(format!("git.stubs: {host:?} is no host"));
        }
        // It stands in a shell's single quotes in git's double quotes.
        if stub.is_empty() || !stub.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=:@".contains(&byte)) {
            return Err(format!("git.stubs: the stub of {host} is empty, or has a letter that no token has"));
        }
        // The empty one first: helpers of the system would be asked, and told, as well.
        text.push_str(&format!(
            "[credential \"https://{host}\"]\n\thelper =\n\thelper = \"!f() {{ test \\\"$1\\\" = get && printf \
             'username=x-access-token\\\\npassword=%s\\\\n' '{stub}'; }}; f\"\n"
        ));
    }
    Ok(text)
}

/// A value in git's quotes.
fn quoted(text: &str) -> Result<String, String> {
    if text.contains(|c: char| c.is_control()) {
        return Err(format!("{text:?} can't stand in git's configuration"));
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}
