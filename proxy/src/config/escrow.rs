//! `escrow`: where OAuth logins are kept, and the key that they are sealed with.

use std::path::{Path, PathBuf};

use stubgate_credentials::escrow::{Database, KeySource};
use stubgate_policy::source::tree::{Node, Shape};

use super::codes;
use super::reader::{Map, Reader};

pub(super) const KEYS: &[&str] = &["store", "key"];
pub(super) const STORES: &[&str] = &["postgres"];
pub(super) const POSTGRES: &[&str] = &["url_file", "host", "port", "database", "user", "password_file", "ca_file"];
pub(super) const SOURCES: &[&str] = &["file", "exec", "passphrase_file"];

/// How logins are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escrow {
    /// Where.
    pub store: EscrowStore,
    /// What they are sealed with.
    pub key: KeySource,
}

/// Where logins are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EscrowStore {
    /// In `state_dir`.
    #[default]
    Sqlite,
    /// In a database that several replicas share.
    Postgres {
        /// Where it is.
        database: Database,
        /// Who its certificate is verified by, besides those that are trusted for origins.
        ca_file: Option<PathBuf>,
    },
}

impl Escrow {
    /// The file that is read for each connection to the store.
    pub fn read_later(&self) -> Option<&Path> {
        match &self.store {
            EscrowStore::Postgres { database: Database::UrlFile(path), .. } => Some(path),
            EscrowStore::Postgres { database: Database::Parts { password_file, .. }, .. } => password_file.as_deref(),
            EscrowStore::Sqlite => None,
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>, root: Map<'_>) -> Option<Self> {
        let section = reader.map(root.get("escrow")?, KEYS)?;
        let store = section.get("store").and_then(|node| store(reader, node)).unwrap_or_default();
        let key = section.get("key").and_then(|node| key(reader, node)).unwrap_or_default();
        let is_shared = matches!(store, EscrowStore::Postgres { .. });
        let help = "give every replica the same key: `key: { file: /run/secrets/escrow-key }`, or `exec`";
        if let (true, KeySource::Made | KeySource::Passphrase(_)) = (is_shared, &key) {
            let at = section.get("key").map_or(section.span, |node| &node.span);
            reader.refuse(codes::ESCROW_KEY, "replicas that share logins would not have the same key", at, help);
        }
        Some(Self { store, key })
    }
}

fn store(reader: &mut Reader<'_>, node: &Node) -> Option<EscrowStore> {
    if matches!(&node.shape, Shape::Text(text) if text == "sqlite") {
        return Some(EscrowStore::Sqlite);
    }
    if let Shape::Text(text) = &node.shape {
        let help = "write `sqlite`, or `{ postgres: … }`";
        reader.refuse(codes::ONE_CHOICE, format!("`{text}` is no store of logins"), &node.span, help);
        return None;
    }
    let map = reader.map(node, STORES)?;
    let node = reader.required(map, "postgres", "write `sqlite`, or `{ postgres: … }`")?;
    let map = reader.map(node, POSTGRES)?;
    let ca_file = map.get("ca_file").and_then(|node| reader.path(node));
    if let Some(url) = map.get("url_file") {
        for key in ["host", "port", "database", "user", "password_file"] {
            if let Some(node) = map.get(key) {
                reader.refuse(codes::USELESS, format!("`{key}` has no effect here"), &node.span, "the URL says it");
            }
        }
        return Some(EscrowStore::Postgres { database: Database::UrlFile(reader.path(url)?), ca_file });
    }
    let help = "write `url_file`, or `host`, `database` and `user`";
    let host = reader.required(map, "host", help)?;
    let host = reader.text(host)?.into();
    let port = map.get("port").and_then(|node| reader.number(node, "port", (1, 65_535)));
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(5432);
    let database = reader.required(map, "database", help)?;
    let database = reader.text(database)?.into();
    let user = reader.required(map, "user", help)?;
    let user = reader.text(user)?.into();
    let password_file = map.get("password_file").and_then(|node| reader.path(node));
    Some(EscrowStore::Postgres { database: Database::Parts { host, port, database, user, password_file }, ca_file })
}

fn key(reader: &mut Reader<'_>, node: &Node) -> Option<KeySource> {
    let map = reader.map(node, SOURCES)?;
    let given: Vec<&str> = SOURCES.iter().copied().filter(|key| map.get(key).is_some()).collect();
    let [one] = given.as_slice() else {
        let help = format!("write one of {}", SOURCES.join(", "));
        reader.refuse(codes::ONE_CHOICE, "exactly one source of the key is expected", &node.span, help);
        return None;
    };
    let value = map.get(one)?;
    match *one {
        "exec" => {
            let items = reader.full_list(map, "exec", "name a program: `exec: [/usr/local/bin/escrow-key]`");
            let command: Vec<String> = items.iter().filter_map(|item| reader.text(item).map(str::to_owned)).collect();
            let first = items.first().zip(command.first());
            if let Some((item, program)) = first.filter(|(_, program)| !program.starts_with('/')) {
                let help = "write the program's absolute path; no shell and no PATH is asked";
                reader.refuse(codes::BAD_PATH, format!("`{program}` is no absolute path"), &item.span, help);
            }
            Some(KeySource::Exec(command))
        }
        "file" => Some(KeySource::File(reader.path(value)?)),
        _ => Some(KeySource::Passphrase(reader.path(value)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, compile};

    fn read(text: &str) -> Result<Config, Vec<(&'static str, String)>> {
        let text = format!("listen: {{ proxy: [\"127.0.0.1:0\"] }}\npolicy: [p.yaml]\n{text}\n");
        let compiled = compile(stubgate_policy::SourceFile { name: "/etc/stubgate/stubgate.yaml".into(), text });
        compiled.map_err(|problem| problem.diagnostics.into_iter().map(|one| (one.code, one.message)).collect())
    }

    #[test]
    fn without_the_key_there_is_none_and_an_empty_one_is_sqlite_with_a_key_that_is_made() {
        assert_eq!(read("").unwrap().escrow, None);
        assert_eq!(read("escrow: {}").unwrap().escrow, Some(Escrow::default()));
        let given = read("escrow: { store: sqlite, key: { exec: [/bin/key, a] } }").unwrap().escrow.unwrap();
        assert_eq!(given.key, KeySource::Exec(vec!["/bin/key".into(), "a".into()]));
        let given = read("escrow: { key: { passphrase_file: pass } }").unwrap().escrow.unwrap();
        assert_eq!(given.key, KeySource::Passphrase("/etc/stubgate/pass".into()));
    }

    #[test]
    fn a_database_is_a_url_in_a_file_or_its_parts() {
        let text = "escrow: { store: { postgres: { url_file: /run/url, ca_file: ca.pem } }, key: { file: /run/key } }";
        let expected = EscrowStore::Postgres {
            database: Database::UrlFile("/run/url".into()),
            ca_file: Some("/etc/stubgate/ca.pem".into()),
        };
        assert_eq!(read(text).unwrap().escrow.unwrap().store, expected);
        let text = "escrow: { store: { postgres: { host: db, database: d, user: u } }, key: { file: /run/key } }";
        let Some(Escrow { store: EscrowStore::Postgres { database, .. }, .. }) = read(text).unwrap().escrow else {
            panic!("postgres")
        };
        let (host, user) = ("db".into(), "u".into());
        let expected = Database::Parts { host, port: 5432, database: "d".into(), user, password_file: None };
        assert_eq!(database, expected);
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for (text, code) in [
            ("escrow: { store: redis }", codes::ONE_CHOICE),
            ("escrow: { key: { file: a, exec: [/b] } }", codes::ONE_CHOICE),
            ("escrow: { key: {} }", codes::ONE_CHOICE),
            ("escrow: { key: { exec: [relative] } }", codes::BAD_PATH),
            ("escrow: { store: { postgres: { url_file: u } } }", codes::ESCROW_KEY),
            ("escrow: { store: { postgres: { url_file: u } }, key: { passphrase_file: p } }", codes::ESCROW_KEY),
            ("escrow: { store: { postgres: { url_file: u, host: h } }, key: { file: k } }", codes::USELESS),
        ] {
            let found = read(text).unwrap_err();
            assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [code], "{text}: {found:?}");
        }
        for text in ["escrow: { stor: sqlite }", "escrow: { store: { postgres: { host: h } }, key: { file: k } }"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
