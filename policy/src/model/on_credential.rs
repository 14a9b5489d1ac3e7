//! What is done about a response that shows a known kind of credential which is none of ours.
//!
//! The default follows from the request, since it must refuse what mints and let pass what reads: a request with a
//! credential that changes something is the one whose answer may be a new credential of the account; in what is only read
//! stand those that somebody published. ADR 0016 says why.

use super::Method;

/// What is done about a credential in a response. Ordered: the later is the stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnCredential {
    /// It passes; counted and recorded.
    Allow,
    /// It is overwritten with asterisks.
    Replace,
    /// The response is refused, or ends in front of it.
    Deny,
}

impl OnCredential {
    /// The words of policy, in the order of strictness.
    pub(crate) const WORDS: &'static [&'static str] = &["allow", "replace", "deny"];

    /// What a word of policy means.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [OnCredential::Allow, OnCredential::Replace, OnCredential::Deny].into_iter().find(|one| one.as_str() == word)
    }

    /// The word of policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            OnCredential::Allow => "allow",
            OnCredential::Replace => "replace",
            OnCredential::Deny => "deny",
        }
    }

    /// Where no rule that matches says anything.
    pub(crate) fn unsaid(swaps: bool, method: &Method) -> Self {
        if swaps && !method.only_reads() { OnCredential::Deny } else { OnCredential::Allow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_policy_is_read_back() {
        for word in OnCredential::WORDS {
            assert_eq!(OnCredential::parse(word).map(OnCredential::as_str), Some(*word));
        }
        assert_eq!(OnCredential::parse("pass"), None);
    }

    #[test]
    fn only_what_writes_with_a_credential_is_refused_by_default() {
        let method = |text: &str| Method::parse(text.as_bytes()).unwrap();
        for (text, with_credential) in [
            ("GET", OnCredential::Allow),
            ("HEAD", OnCredential::Allow),
            ("OPTIONS", OnCredential::Allow),
            ("POST", OnCredential::Deny),
            ("PUT", OnCredential::Deny),
            ("PROPFIND", OnCredential::Deny),
            ("get", OnCredential::Deny),
        ] {
            assert_eq!(OnCredential::unsaid(true, &method(text)), with_credential, "{text}");
            assert_eq!(OnCredential::unsaid(false, &method(text)), OnCredential::Allow, "{text}");
        }
        assert_eq!(OnCredential::unsaid(true, &Method::websocket()), OnCredential::Allow);
    }
}
