//! Paths that can be read in more than one way (PA-*): refused where rules have paths, and what was matched is what is sent.

use crate::client::Conn;
use crate::lab::{DEVBOT, Lab};

const HOST: &str = "paths.example.test";

#[tokio::test(flavor = "multi_thread")]
async fn paths_with_two_readings_are_refused() {
    let lab = Lab::new().await;
    for (path, reasons) in [
        ("/v1/../admin", "PA-01"),
        ("/v1/./x", "PA-01"),
        ("/v1/%2e%2e/admin", "PA-01"),
        ("/v1/.%2e/admin", "PA-01"),
        ("/v1/%2E./admin", "PA-01"),
        ("/v1/..", "PA-01"),
        ("/v1/x/..", "PA-01"),
        ("/v1/..;/admin", "PA-02"),
        ("/v1/x;y=1", "PA-02"),
        ("/v1/..%5cadmin", "PA-03"),
        ("/v1/%5c", "PA-03"),
        ("/api/v4/projects/42%2Fissues%2Fevil", "PA-04"),
        ("/api/v4/projects/42/issues/1%2f..%2f2", "PA-04"),
        ("/v1/a%2Fb", "PA-04"),
        ("/v1/%252e%252e/x", "PA-05"),
        ("/v1/%252f", "PA-05"),
        ("/v1/%c0%ae%c0%ae/x", "PA-06"),
        ("/v1/%zz", "PA-06"),
        ("/v1/%", "PA-06"),
        ("/v1/%2", "PA-06"),
        ("/v1/%00", "PA-06"),
        ("/v1/%0a", "PA-06"),
        ("/v1/%0d%0ax:%20y", "PA-06"),
        ("/v1/%ff", "PA-06"),
        ("//v1/x", "PA-07"),
        ("/v1//x", "PA-07"),
        ("/v1//", "PA-07"),
        ("/V1/x", "PA-07"),
        ("/v10", "PA-08"),
        ("/v1", "PA-08"),
        ("/v1x/y", "PA-08"),
        ("/exact/", "PA-07"),
        ("/", "PA-07"),
        ("/api/v4/projects/42/issues/1/notes", "PA-08"),
        ("/api/v4/projects/42/issues/", "PA-08"),
        ("/api/v4/projects/43/issues/1", "PA-08"),
    ] {
        lab.refusals();
        let before = lab.origin.byte_count();
        let answer = lab.get(HOST, path, &[]).await;
        assert!(matches!(answer.status, 400 | 403), "{reasons} {path}: {answer:?}");
        let reason = answer.reason();
        assert!(["path_ambiguous", "path_not_allowed", "bad_request"].contains(&&*reason), "{path} {reason}");
        assert_eq!(lab.refusals(), [reason], "{path}");
        assert_eq!(lab.origin.byte_count(), before, "{path}");
        let record = lab.records().pop().unwrap();
        assert_eq!(record["path"].as_str().unwrap(), path, "PA-12: the record tells what was asked");
    }
    // A backslash does not even make a request line.
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    assert_eq!(conn.ask(&format!("GET /v1/..\\admin HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 400);
    lab.is_well("PA-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_matched_is_what_is_sent() {
    let lab = Lab::new().await;
    for (asked, sent) in [
        ("/v1/x", "/v1/x"),
        ("/v1/", "/v1/"),
        ("/%761/x", "/v1/x"),
        ("/v1/%7Euser", "/v1/~user"),
        ("/v1/a%20b", "/v1/a%20b"),
        ("/v1/a%c3%a4", "/v1/a%C3%A4"),
        ("/exact", "/exact"),
        ("/exact?../../admin", "/exact?../../admin"),
        ("/v1/x?a=%2e%2e&b=/../c", "/v1/x?a=%2e%2e&b=/../c"),
        ("/api/v4/projects/42/issues/7", "/api/v4/projects/42/issues/7"),
    ] {
        let answer = lab.get(HOST, asked, &[]).await;
        assert_eq!(answer.status, 200, "{asked}: {answer:?}");
        assert_eq!(lab.origin.requests().pop().unwrap().path(), sent, "{asked}");
        let begun = lab.records().into_iter().rfind(|record| record["event"] == "begin").unwrap();
        assert_eq!(begun["path"].as_str().unwrap(), sent.split('?').next().unwrap(), "PA-12 {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_compared_in_their_exact_case() {
    let lab = Lab::new().await;
    for method in ["HEAD", "PUT", "get", "Post"] {
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        let answer = conn.ask(&format!("{method} /v1/x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        assert_eq!(answer.status, 403, "{method}: GET does not imply it");
    }
    assert_eq!(lab.origin.byte_count(), 0);
}
