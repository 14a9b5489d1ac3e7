//! What each kind of credential looks like behind its beginning.
//!
//! A form takes all bytes that could be its own, and judges them as one: no part of a longer run is a credential.

use super::{Kind, LONGEST};
use crate::minted::base62::checksum;

/// One of the forms of a kind.
pub(super) struct Form {
    pub(super) kind: Kind,
    /// How it begins.
    pub(super) prefix: &'static str,
    body: Body,
}

/// What follows the beginning.
#[derive(Clone, Copy)]
enum Body {
    /// Letters and digits, so many at most, 36 at least; the last six are a checksum of the others.
    Checked(usize),
    /// 22 letters and digits, `_`, and 59.
    GithubPat,
    /// 93 bytes of URL-safe base64 and `AA`.
    AnthropicKey,
    /// URL-safe base64, so many bytes at least and at most.
    Base64(usize, usize),
    /// URL-safe base64 with OpenAI's mark in it.
    Openai,
    /// 20 bytes of URL-safe base64; or 27 and more, a dot, and nine digits in base 36.
    Gitlab,
    /// Groups of digits, and 24 to 64 letters and digits.
    Slack,
}

const fn form(kind: Kind, prefix: &'static str, body: Body) -> Form {
    Form { kind, prefix, body }
}

/// No prefix begins or ends with another one's end or beginning.
pub(super) const FORMS: &[Form] = &[
    form(Kind::Github, "ghp_", Body::Checked(251)),
    form(Kind::Github, "gho_", Body::Checked(251)),
    form(Kind::Github, "ghu_", Body::Checked(251)),
    form(Kind::Github, "ghs_", Body::Checked(251)),
    form(Kind::Github, "ghr_", Body::Checked(251)),
    form(Kind::GithubPat, "github_pat_", Body::GithubPat),
    form(Kind::Anthropic, "sk-ant-api03-", Body::AnthropicKey),
    form(Kind::Anthropic, "sk-ant-admin01-", Body::AnthropicKey),
    form(Kind::Anthropic, "sk-ant-oat01-", Body::Base64(80, 200)),
    form(Kind::Anthropic, "sk-ant-ort01-", Body::Base64(80, 200)),
    form(Kind::Openai, "sk-proj-", Body::Openai),
    form(Kind::Npm, "npm_", Body::Checked(36)),
    // A macaroon for the place `pypi.org`, or `test.pypi.org`.
    form(Kind::Pypi, "pypi-AgEIcHlwaS5vcmc", Body::Base64(50, LONGEST - LONGEST_PREFIX)),
    form(Kind::Pypi, "pypi-AgENdGVzdC5weXBpLm9yZw", Body::Base64(50, LONGEST - LONGEST_PREFIX)),
    form(Kind::Gitlab, "glpat-", Body::Gitlab),
    form(Kind::Slack, "xoxa-", Body::Slack),
    form(Kind::Slack, "xoxb-", Body::Slack),
    form(Kind::Slack, "xoxp-", Body::Slack),
];

/// Bytes of the longest prefix.
pub(super) const LONGEST_PREFIX: usize = 27;
/// `OpenAI` in base64, in the middle of its keys.
const OPENAI: &[u8] = b"T3BlbkFJ";

/// What stands behind a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No credential.
    None,
    /// The text ends before that can be told.
    Open,
    /// One that ends here.
    Whole(usize),
}

impl Form {
    /// What begins at `start`, where the prefix stands.
    pub(super) fn stands(&self, text: &[u8], start: usize, is_ended: bool) -> Standing {
        let from = start + self.prefix.len();
        let rest = text.get(from..).unwrap_or_default();
        let most = self.body.most();
        let length = rest.iter().take(most + 1).take_while(|byte| self.body.takes(**byte)).count();
        let body = match rest.get(length) {
            _ if length > most => return Standing::None,
            None if !is_ended => return Standing::Open,
            // Not a dash: text goes on with one.
            Some(next) if next.is_ascii_alphanumeric() || *next == b'_' => return Standing::None,
            Some(_) | None => rest.get(..length).unwrap_or_default(),
        };
        match self.body.read(body) {
            Some(length) => Standing::Whole(from + length),
            None => Standing::None,
        }
    }
}

impl Body {
    /// Bytes of the longest.
    fn most(self) -> usize {
        match self {
            Body::Checked(most) | Body::Base64(_, most) => most,
            Body::GithubPat => 22 + 1 + 59,
            Body::AnthropicKey => 95,
            Body::Openai => 240,
            // A sentence may end behind it.
            Body::Gitlab => 300 + 10 + 3,
            Body::Slack => 4 * 15 + 64,
        }
    }

    fn takes(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || match self {
                Body::Checked(_) => false,
                Body::GithubPat => byte == b'_',
                Body::AnthropicKey | Body::Base64(..) | Body::Openai => matches!(byte, b'_' | b'-'),
                Body::Gitlab => matches!(byte, b'_' | b'-' | b'.'),
                Body::Slack => byte == b'-',
            }
    }

    /// How much of these bytes, behind which none follows that it takes, is one.
    fn read(self, body: &[u8]) -> Option<usize> {
        let is = match self {
            Body::Checked(_) => {
                let text = body.len().checked_sub(6).filter(|length| *length >= 30)?;
                let (text, sum) = body.split_at_checked(text)?;
                checksum(text).as_bytes() == sum
            }
            Body::GithubPat => {
                let (first, second) = body.split_at_checked(22)?;
                let second = second.strip_prefix(b"_").filter(|second| second.len() == 59)?;
                !first.contains(&b'_') && !second.contains(&b'_') && is_random(second)
            }
            Body::AnthropicKey => body.len() == 95 && body.ends_with(b"AA") && is_random(body),
            Body::Base64(least, _) => body.len() >= least && is_random(body),
            Body::Openai => {
                let mark = body.windows(OPENAI.len()).position(|window| window == OPENAI)?;
                mark >= 20 && body.len() - mark - OPENAI.len() >= 20 && is_random(body)
            }
            Body::Gitlab => return gitlab(body),
            Body::Slack => slack(body),
        };
        is.then_some(body.len())
    }
}

fn gitlab(body: &[u8]) -> Option<usize> {
    let dots = body.iter().rev().take_while(|byte| **byte == b'.').count();
    let body = body.get(..body.len() - dots)?;
    let (secret, routing) = match body.iter().position(|byte| *byte == b'.') {
        Some(dot) => body.split_at_checked(dot)?,
        None => (body, &[][..]),
    };
    let is = match routing.split_first() {
        None => secret.len() == 20,
        Some((_, routing)) => {
            let is_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            (27..=300).contains(&secret.len()) && routing.len() == 9 && routing.iter().all(is_digit)
        }
    };
    (is && is_random(secret)).then_some(body.len())
}

fn slack(body: &[u8]) -> bool {
    let mut groups: Vec<&[u8]> = body.split(|byte| *byte == b'-').collect();
    let Some(secret) = groups.pop() else { return false };
    // Tokens for an app of a workspace say which version they are.
    let numbers = groups.strip_prefix(&[b"2".as_slice()]).unwrap_or(&groups);
    let is_number = |group: &&[u8]| (8..=14).contains(&group.len()) && group.iter().all(u8::is_ascii_digit);
    (2..=3).contains(&numbers.len())
        && numbers.iter().all(is_number)
        && (24..=64).contains(&secret.len())
        && is_random(secret)
}

/// Whether bytes look drawn and not written: ten different ones or more, and a digit. A placeholder (`xxxxxxxx`,
/// `your-token-goes-here`) is not; of drawn ones of 20 bytes, one in thirty has no digit.
fn is_random(bytes: &[u8]) -> bool {
    let seen = bytes.iter().fold(0_u128, |seen, byte| seen | 1 << (byte & 127));
    seen.count_ones() >= 10 && bytes.iter().any(u8::is_ascii_digit)
}
