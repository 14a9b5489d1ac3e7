//! `process`: as whom the appliance runs, and what it must be locked down to.

use std::path::PathBuf;

use stubgate_policy::source::tree::Node;

use super::codes;
use super::reader::{Map, Reader};

pub(super) const KEYS: &[&str] = &["user", "require_lockdown", "credential_folders"];

/// What the process is after the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Whom it becomes once its sockets are open, where it was started as root. None: it stays who it is.
    pub user: Option<User>,
    /// Whether it refuses to start where a part of the lock-down is not to be had. Default false.
    pub require_lockdown: bool,
    /// Folders that later policies may read credentials from, besides those of the policy at the start.
    pub credential_folders: Vec<PathBuf>,
}

/// A user of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// As `/etc/passwd` names it.
    Name(String),
    /// Numbers of user and group, as containers have them. The group defaults to the same number.
    Numbers {
        /// Never 0.
        user: u32,
        /// Never 0.
        group: u32,
    },
}

impl Process {
    pub(super) fn read(reader: &mut Reader<'_>, section: Map<'_>) -> Self {
        let folders = reader.list(section.get("credential_folders"));
        Self {
            user: section.get("user").and_then(|node| user(reader, node)),
            require_lockdown: section.get("require_lockdown").and_then(|node| reader.flag(node)).unwrap_or(false),
            credential_folders: folders.iter().filter_map(|node| reader.path(node)).collect(),
        }
    }
}

fn user(reader: &mut Reader<'_>, node: &Node) -> Option<User> {
    let text = reader.text(node)?;
    let user = parse(text);
    if user.is_none() {
        let help = "write the name of an unprivileged user, or numbers such as `\"65532\"` or `\"65532:65532\"`";
        reader.refuse(codes::BAD_USER, format!("`{text}` is no user to run as"), &node.span, help);
    }
    user
}

fn parse(text: &str) -> Option<User> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.parse::<u32>().ok().filter(|&number| number != 0 && number != u32::MAX);
        return Some(User::Numbers { user: number(user)?, group: number(group)? });
    }
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_name = !text.is_empty() && text.len() <= 32 && text.bytes().all(is_part) && text != "root";
    is_name.then(|| User::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_name_or_numbers_and_never_root() {
        let numbers = |user, group| Some(User::Numbers { user, group });
        for (text, expected) in [
            ("stubgate", Some(User::Name("stubgate".into()))),
            ("_dns-proxy.1", Some(User::Name("_dns-proxy.1".into()))),
            ("65532", numbers(65532, 65532)),
            ("65532:101", numbers(65532, 101)),
            ("", None),
            ("root", None),
            ("0", None),
            ("65532:0", None),
            ("0:65532", None),
            ("65532:", None),
            ("65532:65532:1", None),
            ("4294967295", None),
            ("99999999999", None),
            ("a:b", None),
            ("../x", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
