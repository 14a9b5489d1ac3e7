//! GraphQL documents: reading ends, and says the same of a document with other space, commas and comments in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_policy::body::read_graphql;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(roots) = read_graphql(text) else { return };
    assert!(!roots.is_empty());
    for (kind, fields) in &roots {
        assert!(["query", "mutation", "subscription"].contains(kind) && !fields.is_empty() || text.contains("..."));
        for field in fields {
            assert!(text.contains(field.as_str()), "{field:?} in {text:?}");
        }
        // No operation of a kind that is not written.
        assert!(*kind == "query" || text.contains(kind), "{text:?}");
    }
    for around in [format!("\n,# x\r{text}\n"), format!("{text} # {{ other }}"), format!("{text}\nfragment Zq9 on Q {{ zq9 }}")] {
        if !text.contains("Zq9") {
            assert_eq!(read_graphql(&around).as_ref(), Ok(&roots), "{around:?}");
        }
    }
});
