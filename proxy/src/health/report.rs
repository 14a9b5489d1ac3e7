//! What the admin endpoint answers at `/credentials`, and `stubgate credential status` reads.

use serde::{Deserialize, Serialize};

/// Every credential of the policy in force. Names, times and stubgate's own words; never a byte of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whether there is a usable policy.
    #[serde(rename = "ready")]
    pub is_ready: bool,
    /// By name.
    pub credentials: Vec<Standing>,
}

/// How one credential stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its name in policy.
    pub name: String,
    /// Its kind of source: `file`, `exec`, …
    pub source: String,
    /// Whether it can be used.
    pub state: State,
    /// When its source gave a value last, RFC 3339 as all times here.
    pub last_success: Option<String>,
    /// When the value in use ends, or, of a login, the refresh token behind it, where its source says so.
    pub expires: Option<String>,
    /// Within which time it ends, once people were told of that: `7 days`, `1 day` or `1 hour`.
    pub ends_within: Option<String>,
    /// Times that its source gave a value.
    pub refreshes: u64,
    /// Times that it gave none.
    pub failures: u64,
    /// What failed last.
    pub last_failure: Option<Failure>,
    /// The login in escrow, where it is one.
    pub login: Option<Login>,
}

/// Whether a credential can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has the value that its source gave.
    InUse,
    /// Its source gives none, and the last good value stays in use.
    Stale,
    /// Requests that need it are refused.
    NoValue,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub time: String,
    /// In one word, as in `stubgate_credential_failures_total`.
    pub kind: String,
    /// In words, as in the log.
    pub text: String,
}

/// How a login in escrow stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Its name in escrow.
    pub name: String,
    /// `ok`, `failing`, `ended`, `lost`, `missing` or `unknown`.
    pub standing: String,
    /// Pairs of tokens that there were.
    pub generation: u64,
    /// What a person is to do.
    pub advice: Option<String>,
}
