//! The search for real credentials in whatever an agent could have read: raw and in the encodings
//! that a proxy, a client or an origin would put them in.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Looks for a set of secrets.
#[derive(Debug)]
pub struct Search {
    automaton: AhoCorasick,
    labels: Vec<String>,
    since: Option<i64>,
}

impl Search {
    /// A search for these secrets, given as `(name, value)`.
    pub fn new(secrets: &[(String, String)]) -> Search {
        let mut needles = Vec::new();
        let mut labels = Vec::new();
        for (name, value) in secrets {
            for (encoding, needle) in spellings(value.as_bytes()) {
                needles.push(needle);
                labels.push(format!("{name}, {encoding}"));
            }
        }
        Search { automaton: AhoCorasick::new(needles).expect("needles"), labels, since: None }
    }

    /// Leaves files out that were last changed before the secrets were made, as most of an image is. What counts is the time of
    /// the last change of any kind, which no program can set (`st_ctime`, inode(7)).
    pub fn made_at(mut self, at: SystemTime) -> Search {
        self.since = at.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
        self
    }

    /// What was found in these bytes.
    pub fn bytes(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        self.automaton.find_iter(bytes).map(|hit| self.found(place, hit)).collect()
    }

    /// What was found at a path; nothing where nothing is.
    pub fn path_if_there(&self, path: &Path) -> Vec<String> {
        if path.exists() { self.path(path) } else { Vec::new() }
    }

    /// What was found in a file, or in every file below a folder. A link is searched for what it says, and not followed; what
    /// goes away meanwhile holds nothing.
    pub fn path(&self, path: &Path) -> Vec<String> {
        let Ok(state) = fs::symlink_metadata(path) else {
            return Vec::new();
        };
        let kind = state.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(path).unwrap_or_default();
            return self.bytes(&path.display().to_string(), target.as_os_str().as_encoded_bytes());
        }
        if kind.is_dir() {
            let entries = match fs::read_dir(path) {
                Ok(entries) => entries.map_while(Result::ok),
                Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
                Err(error) => panic!("{}: {error}", path.display()),
            };
            return entries.flat_map(|entry| self.path(&entry.path())).collect();
        }
        // Sockets and pipes hold nothing of their own.
        if !kind.is_file() || self.since.is_some_and(|since| state.ctime() < since) {
            return Vec::new();
        }
        let file = match File::open(path) {
            Ok(file) => BufReader::with_capacity(1 << 20, file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let hits = self.automaton.stream_find_iter(file).map(|hit| hit.expect("read"));
        hits.map(|hit| self.found(&path.display().to_string(), hit)).collect()
    }

    fn found(&self, place: &str, hit: aho_corasick::Match) -> String {
        format!("{place}: {} at byte {}", self.labels[hit.pattern().as_usize()], hit.start())
    }
}

/// Every spelling of a secret that is searched for.
fn spellings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| -> Vec<u8> {
        let each = |byte: &u8| {
            if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }
        };
        secret.iter().map(each).collect::<String>().into_bytes()
    };
    let percent = |all: bool, upper: bool| -> Vec<u8> {
        let each = |byte: &u8| match (byte, upper) {
            (b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~', _) if !all => {
                char::from(*byte).to_string()
            }
            (byte, true) => format!("%{byte:02X}"),
            (byte, false) => format!("%{byte:02x}"),
        };
        secret.iter().map(each).collect::<String>().into_bytes()
    };
    let mut all = vec![
        ("raw", secret.to_vec()),
        ("reversed", secret.iter().rev().copied().collect()),
        ("hex", hex(false)),
        ("HEX", hex(true)),
        ("percent", percent(false, true)),
        ("percent, lower case", percent(false, false)),
        ("percent, every byte", percent(true, true)),
        (
            "JSON",
            serde_json::to_string(&String::from_utf8_lossy(secret))
                .unwrap_or_default()
                .trim_matches('"')
                .as_bytes()
                .to_vec(),
        ),
    ];
    for (skip, name) in [(0, "base64"), (1, "base64 after 1"), (2, "base64 after 2")] {
        // The characters at either end also hold bits of the neighbours: not part of the needle.
        let mut shifted = vec![0; skip];
        shifted.extend(secret);
        let from = (skip * 8).div_ceil(6);
        let to = shifted.len() * 8 / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            all.push((name, engine.encode(&shifted).as_bytes()[from..to].to_vec()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    fn search() -> Search {
        Search::new(&[("github".to_owned(), "s3cr3t+of/the~lab".to_owned())])
    }

    #[test]
    fn finds_a_secret_however_it_is_written() {
        let secret = "s3cr3t+of/the~lab";
        let mut texts = vec![
            secret.to_owned(),
            "bal~eht/fo+t3rc3s".to_owned(),
            "s3cr3t%2Bof%2Fthe~lab".to_owned(),
            "s3cr3t%2bof%2fthe~lab".to_owned(),
            "7333637233742B6F662F7468657E6C6162".to_owned(),
            "7333637233742b6f662f7468657e6c6162".to_owned(),
        ];
        for before in ["", "a", "ab", "abc", "x-access-token:"] {
            for after in ["", "z", "zz"] {
                texts.push(STANDARD.encode(format!("{before}{secret}{after}")));
                texts.push(URL_SAFE_NO_PAD.encode(format!("{before}{secret}{after}")));
            }
        }
        for text in texts {
            assert!(!search().bytes("test", text.as_bytes()).is_empty(), "missed in {text}");
        }
    }

    #[test]
    fn finds_a_secret_across_the_reads_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut content = vec![b'.'; (1 << 20) - 5];
        content.extend(b"s3cr3t+of/the~lab");
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/file"), content).unwrap();
        assert_eq!(search().path(dir.path()).len(), 1);
    }

    #[test]
    fn leaves_out_only_what_was_there_before_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "s3cr3t+of/the~lab").unwrap();
        let changed = fs::metadata(dir.path().join("file")).unwrap().ctime();
        let moment = |seconds: i64| UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap());
        assert_eq!(search().made_at(moment(changed)).path(dir.path()).len(), 1);
        assert_eq!(search().made_at(moment(changed + 1)).path(dir.path()).len(), 0);
    }

    #[test]
    fn finds_nothing_in_a_stub() {
        assert!(search().bytes("test", b"Authorization: Bearer proxy-token-github").is_empty());
    }
}
