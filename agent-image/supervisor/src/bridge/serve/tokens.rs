//! Tokens that let one in. Compared in constant time, and never shown; the file is read for each request, so that writing it
//! rotates them: the new one beside the old one first, then the new one alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

/// Bytes of the file at most.
const LARGEST: u64 = 16 * 1024;

/// A token shorter than this could be guessed; what is shorter is none.
const SHORTEST: usize = 20;

/// A file of tokens, one a line.
#[derive(Clone, Debug)]
pub struct Tokens(PathBuf);

/// Why nobody is let in.
#[derive(Debug, Error)]
pub enum Unusable {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no token in it.
    #[error("{}: no line is a token of {SHORTEST} characters or more", .0.display())]
    None(PathBuf),
}

impl Tokens {
    /// Of this file.
    pub fn new(path: PathBuf) -> Self {
        Tokens(path)
    }

    /// Whether somebody would be let in.
    ///
    /// # Errors
    ///
    /// The file can't be read, or has no token.
    pub fn check(&self) -> Result<(), Unusable> {
        let text = self.read()?;
        if lines(&text).next().is_none() {
            return Err(Unusable::None(self.0.clone()));
        }
        Ok(())
    }

    /// Whether a request has one of them, as the only `Authorization`.
    ///
    /// # Errors
    ///
    /// The file can't be read: then nobody is let in.
    pub fn let_in(&self, headers: &HeaderMap) -> Result<bool, Unusable> {
        let text = self.read()?;
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return Ok(false) };
        let Some((scheme, given)) = given.as_bytes().split_at_checked(7) else { return Ok(false) };
        // Of equal length, whatever they are.
        let given = Sha256::digest(given);
        let is_known = lines(&text).fold(Choice::from(0), |known, token| known | Sha256::digest(token).ct_eq(&given));
        Ok(scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(is_known))
    }

    fn read(&self) -> Result<Vec<u8>, Unusable> {
        let mut text = Vec::new();
        let read = File::open(&self.0).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        read.map_err(|source| Unusable::Unreadable { path: self.0.clone(), source })?;
        Ok(text)
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| line.len() >= SHORTEST)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const OLD: &str = "an-old-token-of-this-bridge";
    const NEW: &str = "the-new-token-of-this-bridge";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn a_token_lets_in_as_a_whole_and_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let tokens = Tokens::new(path.clone());
        assert!(tokens.let_in(&headers(&["Bearer "])).is_err() && tokens.check().is_err());
        fs::write(&path, format!("short\n\n{OLD}\n")).unwrap();
        tokens.check().unwrap();
        let old = format!("Bearer {OLD}");
        for (values, expected) in [
            (vec![old.as_str()], true),
            (vec![&format!("bearer {OLD}")], true),
            (vec![], false),
            (vec![&old, &old], false),
            (vec![OLD], false),
            (vec!["Bearer short"], false),
            (vec!["Bearer "], false),
            (vec![&format!("Basic  {OLD}")], false),
            (vec![&old[..old.len() - 1]], false),
            (vec![&format!("{old}x")], false),
            (vec![&format!("Bearer {NEW}")], false),
        ] {
            assert_eq!(tokens.let_in(&headers(&values)).unwrap(), expected, "{values:?}");
        }
    }

    #[test]
    fn tokens_are_rotated_by_writing_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let tokens = Tokens::new(path.clone());
        let (old, new) = (headers(&[&format!("Bearer {OLD}")]), headers(&[&format!("Bearer {NEW}")]));
        for (text, expected) in [
            (format!("{OLD}\n"), [true, false]),
            (format!("{OLD}\r\n{NEW}"), [true, true]),
            (NEW.into(), [false, true]),
            (String::new(), [false, false]),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!([&old, &new].map(|headers| tokens.let_in(headers).unwrap()), expected, "{text}");
        }
        assert!(matches!(tokens.check(), Err(Unusable::None(_))));
    }
}
