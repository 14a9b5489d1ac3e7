//! Every code of the configuration. A code is never used again for something else; gaps stay gaps.
//!
//! What is wrong with YAML or its structure has the codes of the reader (`SG0001` to `SG0099`), as in policy files.

macro_rules! codes {
    ($($name:ident $code:literal $what:literal,)*) => {
        $(
            #[doc = $what]
            pub const $name: &str = $code;
        )*

        /// Every code with what it stands for, in order.
        pub const ALL: &[(&str, &str)] = &[$(($code, $what),)*];
    };
}

codes! {
    UNREADABLE "SC0001" "the configuration file can't be read",
    BAD_ADDRESS "SC0002" "not an IP address with a port",
    BAD_IP "SC0003" "not an IP address that fits here",
    REPEATED "SC0004" "an entry stands twice",
    NO_LISTENER "SC0005" "nothing to listen on",
    NO_ADVERTISE "SC0006" "a DNS listener without an address to answer with",
    BAD_PATH "SC0007" "not a path of a file or folder",
    HALF_CA "SC0008" "a certificate file without a key file, or the other way round",
    BAD_ZONE "SC0009" "not a DNS zone",
    LOOP "SC0010" "a server that is stubgate itself",
    OUT_OF_RANGE "SC0011" "a number out of its range",
    BAD_AUTHORITY "SC0012" "not a host with a port",
    BAD_HOST "SC0013" "not an exact host",
    BAD_NETWORK "SC0014" "not a network",
    NOT_PRIVATE "SC0015" "a network that is not within a private range",
    NO_AUDIT "SC0016" "no place for audit records",
    USELESS "SC0017" "a setting that has no effect here",
    ADMIN_EXPOSED "SC0018" "an admin endpoint that agents can reach",
    NOT_THERE "SC0019" "a file or folder that is not there",
    BAD_USER "SC0020" "not a user to run as",
    POLICY_EXPOSED "SC0021" "policy that every user can write",
    ONE_CHOICE "SC0022" "not one of the choices, or more than one",
    ESCROW_KEY "SC0023" "logins in a shared store without a key that all replicas have",
    BAD_SUBTREE "SC0024" "not a subtree of names that a CA can be held to",
    NAMESPACE "SC0030" "not the name of a namespace",
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<&str> = super::ALL.iter().map(|(code, _)| *code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    /// `UPDATE_DOCS=1` writes the page anew.
    #[test]
    fn the_page_of_codes_is_what_the_program_says() {
        let mut page = stubgate_policy::diagnostic::explained::page();
        page.push_str("\n## Codes of `stubgate config check`\n\n| code | stands for |\n|---|---|\n");
        for (code, what) in super::ALL {
            writeln!(page, "| {code} | {what} |").unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policy/codes.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/policy/codes.md is out of date: run this test with UPDATE_DOCS=1");
    }
}
