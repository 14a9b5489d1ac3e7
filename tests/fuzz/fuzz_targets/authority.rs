//! Authorities, hosts and names: canonical text reads as the same value, and holds nothing that another parser reads
//! differently.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_policy::{Authority, Host, Name, Scheme};

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = Name::parse(data) {
        let text = name.as_str();
        assert_eq!(Name::parse(text.as_bytes()).as_ref(), Ok(&name));
        assert!(text.len() <= 253 && !text.starts_with('.') && !text.ends_with('.'));
        assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b)), "{text:?}");
        assert!(name.labels().all(|label| (1..=63).contains(&label.len())));
        assert!(text.parse::<std::net::IpAddr>().is_err());
        assert!(name.labels().next_back().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit())), "{text:?}");
        assert_eq!(Host::parse(text.as_bytes()), Ok(Host::Name(name)));
    }
    for scheme in [Scheme::Http, Scheme::Https] {
        let Ok(authority) = Authority::parse(scheme, data) else { continue };
        let text = authority.host_header();
        assert_eq!(Authority::parse(scheme, text.as_bytes()).as_ref(), Ok(&authority), "{text:?}");
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)), "{text:?}");
        assert_ne!(authority.port(), 0);
        let shown = authority.to_string();
        assert!(shown.starts_with(scheme.as_str()) && shown.ends_with(&format!(":{}", authority.port())));
    }
});
