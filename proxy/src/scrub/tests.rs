use zeroize::Zeroizing;

use super::*;

fn scrubber() -> Scrubber {
    let mut builder = stubgate_scrub::Builder::default();
    let owner = builder.owner("api".into());
    let needle = Zeroizing::new(b"Secret-Value".to_vec());
    builder.needle(owner, stubgate_scrub::Letters::Exact, needle, b"stub-of-it**".to_vec()).unwrap();
    builder.build()
}

#[test]
fn names_and_all_values_of_headers_are_scrubbed_and_keep_their_order() {
    let mut headers = HeaderMap::new();
    headers.append("x-one", HeaderValue::from_static("a Secret-Value"));
    headers.append("x-one", HeaderValue::from_static("nothing"));
    headers.append("x-one", HeaderValue::from_static("Secret-Value; Secret-Value"));
    headers.append("x-secret-value", HeaderValue::from_static("1"));
    headers.append("x-secret-value", HeaderValue::from_static("Secret-Value"));
    let mut tally = Tally::default();
    fields(&scrubber(), &mut headers, &mut tally);
    let values: Vec<_> = headers.get_all("x-one").iter().collect();
    assert_eq!(values, ["a stub-of-it**", "nothing", "stub-of-it**; stub-of-it**"]);
    let values: Vec<_> = headers.get_all("x-stub-of-it**").iter().collect();
    assert_eq!(values, ["1", "stub-of-it**"]);
    assert!(!headers.contains_key("x-secret-value"));
    assert_eq!(tally.total(), 5);
}

#[test]
fn a_sensitive_value_stays_sensitive() {
    let mut headers = HeaderMap::new();
    let mut value = HeaderValue::from_static("Secret-Value");
    value.set_sensitive(true);
    headers.insert("set-cookie", value);
    fields(&scrubber(), &mut headers, &mut Tally::default());
    assert!(headers["set-cookie"].is_sensitive());
}
