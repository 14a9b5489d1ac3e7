//! The shapes that clients insist on, and what of a text is a stub in one of them.
//!
//! Every shape begins with a text of its own that ends in [`MARKER`], by which ours are told from anybody's
//! credential; then comes the payload in letters and digits, and then what makes up the length, which follows from the
//! payload. A payload has exactly one spelling in a shape: reading writes it anew and compares, so that no byte can be
//! changed without notice.

use aws_lc_rs::digest::{Context, Digest, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::base62::{self, DIGITS};

/// Right behind the prefix of a shape: this is a stub of stubgate's.
const MARKER: &str = "SGM";

/// What a minted stub looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `stubgate-` and 30 letters and digits.
    Plain,
    /// A classic token of GitHub's: 30 letters and digits and a checksum.
    Ghp,
    /// A fine-grained token of GitHub's: 22 letters and digits, `_`, and 59 more.
    GithubPat,
    /// An access token of Claude's OAuth.
    SkAntOat,
    /// An API key of Anthropic's.
    SkAntApi,
    /// An API key as OpenAI's were first, and as many others took it over: 48 letters and digits.
    Sk,
    /// Header, claims with `exp`, and a signature that nobody can check.
    Jwt,
}

/// What every stub of a shape begins with, in the order of [`Shape::ALL`].
pub const BEGINNINGS: [&str; 7] = [
    "stubgate-SGM",
    "ghp_SGM",
    "github_pat_SGM",
    "sk-ant-oat01-SGM",
    "sk-ant-api03-SGM",
    "sk-SGM",
    // {"alg":"HS256","typ":"JWT"} . {"iss":"stubgate","token":"SGM
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJzdHViZ2F0ZSIsInRva2VuIjoiU0dN",
];

/// Bytes of the longest shape.
pub const LONGEST: usize = 183;

/// Bytes of the first part of [`Shape::GithubPat`].
const FIRST_PART: usize = 22;

/// A stub as it was read; nothing is known of who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) shape: Shape,
    pub(super) payload: [u8; 20],
    /// What a JWT says of its end, in seconds since 1970.
    pub(super) exp: Option<u64>,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 7] =
        [Shape::Plain, Shape::Ghp, Shape::GithubPat, Shape::SkAntOat, Shape::SkAntApi, Shape::Sk, Shape::Jwt];

    /// The word on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Shape::Plain => "plain",
            Shape::Ghp => "ghp",
            Shape::GithubPat => "github_pat",
            Shape::SkAntOat => "sk-ant-oat",
            Shape::SkAntApi => "sk-ant-api",
            Shape::Sk => "sk",
            Shape::Jwt => "jwt",
        }
    }

    /// The shape of that word.
    pub fn parse(word: &str) -> Option<Shape> {
        Shape::ALL.into_iter().find(|shape| shape.as_str() == word)
    }

    /// Told apart in what is authenticated; never changes.
    pub(super) fn number(self) -> u8 {
        match self {
            Shape::Plain => 0,
            Shape::Ghp => 1,
            Shape::GithubPat => 2,
            Shape::SkAntOat => 3,
            Shape::SkAntApi => 4,
            Shape::Sk => 5,
            Shape::Jwt => 6,
        }
    }

    /// What every stub of it begins with.
    pub fn beginning(self) -> &'static str {
        BEGINNINGS.get(usize::from(self.number())).copied().unwrap_or_default()
    }

    fn prefix(self) -> &'static str {
        self.beginning().strip_suffix(MARKER).unwrap_or_default()
    }

    /// Bytes of every stub of it.
    pub fn length(self) -> usize {
        match self {
            Shape::Plain => 39,
            Shape::Ghp => 40,
            Shape::GithubPat => 93,
            Shape::SkAntOat | Shape::SkAntApi => 108,
            Shape::Sk => 51,
            Shape::Jwt => LONGEST,
        }
    }

    /// The one spelling of a payload. `exp` is for shapes that say when they end.
    pub(super) fn write(self, payload: &[u8; 20], exp: u64) -> String {
        let body = format!("{MARKER}{}", base62::encode(payload));
        let prefix = self.prefix();
        match self {
            Shape::Plain => format!("{prefix}{body}"),
            Shape::Ghp => format!("{prefix}{body}{}", base62::checksum(body.as_bytes())),
            Shape::GithubPat => {
                let whole = format!("{body}{}", filler(self, payload, 51));
                let (first, second) = whole.split_at(FIRST_PART);
                format!("{prefix}{first}_{second}")
            }
            Shape::SkAntOat | Shape::SkAntApi => format!("{prefix}{body}{}AA", filler(self, payload, 63)),
            Shape::Sk => format!("{prefix}{body}{}", filler(self, payload, 18)),
            Shape::Jwt => {
                let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
                let claims = format!(r#"{{"iss":"stubgate","token":"{body}","exp":{exp}}}"#);
                let signature = URL_SAFE_NO_PAD.encode(hash(self, payload, 0));
                format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims))
            }
        }
    }
}

/// Letters and digits that follow from the payload.
fn filler(shape: Shape, payload: &[u8; 20], length: usize) -> String {
    let mut text = String::with_capacity(length + 32);
    for turn in 0_u8.. {
        text.extend(hash(shape, payload, turn).as_ref().iter().map(|byte| base62::digit(*byte)));
        if text.len() >= length {
            break;
        }
    }
    text.truncate(length);
    text
}

fn hash(shape: Shape, payload: &[u8; 20], turn: u8) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(b"stubgate filler");
    context.update(&[shape.number(), turn]);
    context.update(payload);
    context.finish()
}

/// The shape whose beginning a text has.
fn shape_of(text: &[u8]) -> Option<Shape> {
    Shape::ALL.into_iter().find(|shape| text.starts_with(shape.beginning().as_bytes()))
}

/// Whether a text begins as a stub of ours does: whatever else is wrong with it, it claims to be one.
pub fn looks_minted(text: &[u8]) -> bool {
    shape_of(text).is_some()
}

/// The length of the stub that a text begins with, if it is one by its form. Says nothing of who made it.
pub fn well_formed(text: &[u8]) -> Option<usize> {
    let length = shape_of(text)?.length();
    read(text.get(..length)?).map(|_| length)
}

/// Reads a stub that is a text's whole. Strict: it is what [`Shape::write`] writes, or nothing.
pub(super) fn read(text: &[u8]) -> Option<Read> {
    let shape = shape_of(text)?;
    if text.len() != shape.length() {
        return None;
    }
    let (payload, exp) = match shape {
        Shape::Jwt => {
            let claims = text.split(|&byte| byte == b'.').nth(1)?;
            let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
            let body = claims.strip_prefix(br#"{"iss":"stubgate","token":"SGM"#)?;
            let (digits, rest) = body.split_at_checked(DIGITS)?;
            let exp = rest.strip_prefix(br#"","exp":"#)?.strip_suffix(b"}")?;
            (base62::decode(digits)?, Some(std::str::from_utf8(exp).ok()?.parse().ok()?))
        }
        Shape::GithubPat => {
            let body = text.get(shape.beginning().len()..)?;
            let digits: Vec<u8> = body.iter().copied().filter(|&byte| byte != b'_').take(DIGITS).collect();
            (base62::decode(&digits)?, None)
        }
        Shape::Plain | Shape::Ghp | Shape::SkAntOat | Shape::SkAntApi | Shape::Sk => {
            let start = shape.beginning().len();
            (base62::decode(text.get(start..start + DIGITS)?)?, None)
        }
    };
    (shape.write(&payload, exp.unwrap_or(0)).as_bytes() == text).then_some(Read { shape, payload, exp })
}
