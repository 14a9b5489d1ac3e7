//! Exact bytes out of a file that people read.
//!
//! A character up to U+00FF is that byte, so `"\xE4"` is one byte; one above is its UTF-8. Names in braces are filled in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Text, or pieces of it one after the other.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    One(String),
    Many(Vec<Piece>),
}

/// Text, or the same many times.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    Once(String),
    Often { repeat: String, times: usize },
}

/// What names in braces stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words(pub(crate) Vec<(&'static str, String)>);

impl Words {
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        // `{basic:user:password}`, as RFC 7617 writes it.
        while let Some(start) = text.find("{basic:") {
            let end = start + text[start..].find('}').expect("an end of {basic:");
            let pair = STANDARD.encode(to_bytes(&text[start + 7..end]));
            text.replace_range(start..=end, &pair);
        }
        text
    }
}

impl Text {
    /// All of it, put together.
    pub(crate) fn plain(&self) -> String {
        match self {
            Text::One(text) => text.clone(),
            Text::Many(pieces) => pieces
                .iter()
                .map(|piece| match piece {
                    Piece::Once(text) => text.clone(),
                    Piece::Often { repeat, times } => repeat.repeat(*times),
                })
                .collect(),
        }
    }

    pub(crate) fn bytes(&self, words: &Words) -> Vec<u8> {
        to_bytes(&words.fill(&self.plain()))
    }
}

/// A character up to U+00FF as that byte, any other as UTF-8.
pub(crate) fn to_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for letter in text.chars() {
        match u8::try_from(u32::from(letter)) {
            Ok(byte) => out.push(byte),
            Err(_) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}
