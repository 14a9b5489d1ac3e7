//! JSON bodies: what is taken is JSON to others too, has no key twice, and stays what it is when it is written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stubgate_policy::body::read_json;

fuzz_target!(|data: &[u8]| {
    if read_json(data).is_err() {
        return;
    }
    let text = std::str::from_utf8(data).expect("UTF-8");
    let value: Value = serde_json::from_str(text).expect("JSON");
    assert!(levels(&value) <= 64);
    let keys = keys(&value);
    let again = serde_json::to_vec(&value).expect("JSON");
    assert!(read_json(&again).is_ok());
    // A map of another reader drops what stands twice; here nothing was dropped.
    assert_eq!(keys, written(text), "{text}");
});

fn levels(value: &Value) -> usize {
    match value {
        Value::Array(all) => 1 + all.iter().map(levels).max().unwrap_or(0),
        Value::Object(all) => 1 + all.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

fn keys(value: &Value) -> usize {
    match value {
        Value::Array(all) => all.iter().map(keys).sum(),
        Value::Object(all) => all.len() + all.values().map(keys).sum::<usize>(),
        _ => 0,
    }
}

/// Keys by the colons that stand outside of strings.
fn written(text: &str) -> usize {
    let (mut colons, mut inside, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match (inside, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => inside = !inside,
            (false, b':') => colons += 1,
            _ => {}
        }
    }
    colons
}
