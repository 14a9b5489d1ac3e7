//! The variables that every process of the container gets: written once by setup, read by whatever starts a process. One
//! `NAME=value` a line, nothing quoted, so that a shell is not needed to read them; a value can't hold a line end.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::agent::{Agent, Place};
use crate::files;

/// Bytes of the file at most.
const LARGEST: u64 = 256 * 1024;

/// What [`write`] wrote, in its order.
///
/// # Errors
///
/// It is not there (setup has not run), or can't be read, or a line of it is no variable.
pub fn read(place: &Place) -> io::Result<Vec<(String, String)>> {
    let text = files::read_bounded(&place.environment(), LARGEST)?;
    let text = String::from_utf8(text).map_err(|_| invalid("it is not UTF-8".into()))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| match line.split_once('=') {
            Some((name, value)) if is_name(name) => Ok((name.to_owned(), value.to_owned())),
            _ => Err(invalid(format!("line {} is no variable", number + 1))),
        })
        .collect()
}

/// A program with these variables, no terminal to ask at and nothing to read.
pub(crate) fn command(agent: &Agent, program: &str) -> Command {
    let mut command = Command::new(program);
    command.envs(read(&agent.place).unwrap_or_default()).env("HOME", &agent.place.home);
    command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    command
}

/// Writes them for [`read`], and whether that changed anything.
///
/// # Errors
///
/// A name that is none, a value with a line end or a NUL; what [`files::replace`] fails on.
pub fn write(place: &Place, variables: &[(String, String)]) -> io::Result<bool> {
    let mut text = String::new();
    for (name, value) in variables {
        if !is_name(name) {
            return Err(invalid(format!("{name:?} is no variable's name")));
        }
        if value.contains(['\n', '\r', '\0']) {
            return Err(invalid(format!("the value of {name} has a line end")));
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    files::replace(&place.environment(), text.as_bytes(), 0o644)
}

/// Writes what a shell reads to have the same variables, and whether that changed anything. What the shell has already wins, so
/// that what an operator sets for once is not undone.
///
/// # Errors
///
/// As of [`files::replace`].
pub fn write_for_shells(path: &Path, variables: &[(String, String)]) -> io::Result<bool> {
    let mut text = String::from("# Written by stubgate-agent setup.\n");
    for (name, value) in variables {
        let quoted = value.replace('\'', r"'\''");
        text.push_str(&format!("[ -n \"${{{name}+set}}\" ] || export {name}='{quoted}'\n"));
    }
    files::replace(path, text.as_bytes(), 0o644)
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Where the file for shells is: beside the one for programs.
pub fn for_shells(place: &Place) -> std::path::PathBuf {
    place.trust.join("profile.sh")
}

/// Whether the file for programs is there.
pub fn is_written(place: &Place) -> bool {
    fs::metadata(place.environment()).is_ok_and(|found| found.is_file())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn place(folder: &Path) -> Place {
        Place {
            name: "devbot".into(),
            agents: folder.join("agents"),
            home: folder.join("home"),
            workspace: folder.join("workspace"),
            bundle: folder.join("bundle.pem"),
            trust: folder.join("trust"),
            run: folder.join("run"),
        }
    }

    fn variables(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_was_written_is_read_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let all = variables(&[("SSL_CERT_FILE", "/a b/c"), ("EMPTY", ""), ("JAVA_TOOL_OPTIONS", "-Da=b -Dc='d'")]);
        assert!(!is_written(&place));
        assert!(write(&place, &all).unwrap());
        assert!(!write(&place, &all).unwrap());
        assert_eq!(read(&place).unwrap(), all);
    }

    #[test]
    fn a_value_that_would_become_a_variable_of_its_own_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        for (name, value) in
            [("A", "b\nLD_PRELOAD=x"), ("A", "b\rc"), ("A", "b\0"), ("A=B", "c"), ("", "c"), ("1A", "c")]
        {
            assert!(write(&place, &variables(&[(name, value)])).is_err(), "{name:?}={value:?}");
        }
        assert!(!is_written(&place));
    }

    #[test]
    fn a_line_that_is_no_variable_is_an_error_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::create_dir_all(&place.trust).unwrap();
        fs::write(place.environment(), "A=b\nnonsense\n").unwrap();
        assert!(read(&place).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn a_shell_reads_the_same_values_and_what_it_has_already_wins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.sh");
        write_for_shells(&path, &variables(&[("A", "it's $HOME `x` \\"), ("B", "ours")])).unwrap();
        let script = format!(". {}; printf '%s|%s' \"$A\" \"$B\"", path.display());
        let output = Command::new("sh").args(["-euc", &script]).env("B", "mine").env_remove("A").output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "it's $HOME `x` \\|mine");
    }
}
