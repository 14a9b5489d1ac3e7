//! What tests of bridges share: bridges that are a small server, with what it is told to do wrong.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::file;
use super::one::Bridge;

/// The server's program.
pub(crate) fn double() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bridge/testing/double.py")
}

/// Nobody has it, a moment ago.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The bridge called `b` of a file of this text, kept in that folder.
pub(crate) fn bridge(folder: &Path, text: &str) -> Bridge {
    let path = folder.join(file::NAME);
    std::fs::write(&path, format!("bridges:\n  b: {text}\n")).unwrap();
    let entry = file::read_one(&path).unwrap().remove("b").unwrap();
    Bridge::new("b", entry, folder.join("bridges/b"), &[], Vec::new())
}

/// The server over stdio, with more arguments, each with a comma before it.
pub(crate) fn stdio(folder: &Path, arguments: &str, more: &str) -> Bridge {
    let program = double().display().to_string();
    bridge(folder, &format!("{{ stdio: {{ command: [/usr/bin/python3, {program}{arguments}] }} {more} }}"))
}

/// The server over HTTP.
pub(crate) fn http(folder: &Path, port: u16, arguments: &str, more: &str) -> Bridge {
    let command = format!("[/usr/bin/python3, {}, --http, \"{{port}}\"{arguments}]", double().display());
    bridge(folder, &format!("{{ http: {{ command: {command}, port: {port} }} {more} }}"))
}

/// A place whose folders are all in this one.
pub(crate) fn place(folder: &Path) -> crate::agent::Place {
    use clap::{Args, FromArgMatches};
    let command = crate::agent::Place::augment_args(clap::Command::new("test"));
    let mut arguments = vec!["test".to_owned()];
    for name in ["agents", "home", "workspace", "bundle", "trust", "run"] {
        arguments.extend([format!("--{name}"), folder.join(name).display().to_string()]);
    }
    arguments.extend(["--name".into(), "devbot".into()]);
    crate::agent::Place::from_arg_matches(&command.get_matches_from(arguments)).unwrap()
}
