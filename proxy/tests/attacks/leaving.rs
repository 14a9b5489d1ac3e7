//! An appliance that is told to stop goes on to serve for a while: who stands is told to go, and who has just come is not.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use crate::client::{tcp, tls};
use crate::lab::{DEVBOT, Lab};

const OPEN: &str = "open.example.test";

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_connection_that_has_asked_is_told_to_go_and_a_fresh_one_only_once_it_has_asked() {
    let lab = Lab::new().await;
    let connect = async || {
        let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, OPEN).await.unwrap();
        let (sender, connection) =
            http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        (sender, tokio::spawn(connection))
    };
    let ask = async |sender: &mut http2::SendRequest<Full<Bytes>>| {
        let request = Request::get(format!("https://{OPEN}/x")).body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        response.into_body().collect().await.unwrap();
        status
    };
    let (mut stands, standing) = connect().await;
    assert_eq!(ask(&mut stands).await, 200);
    let (mut fresh, freshly) = connect().await;

    lab.appliance.leaving.cancel();
    timeout(SOON, standing).await.expect("told to go").unwrap().unwrap();
    assert!(stands.is_closed());
    assert!(!freshly.is_finished() && !fresh.is_closed(), "nothing was asked on it yet");
    assert_eq!(ask(&mut fresh).await, 200);
    timeout(SOON, freshly).await.expect("told to go").unwrap().unwrap();
    let (mut later, lately) = connect().await;
    assert_eq!(ask(&mut later).await, 200, "a new one is served all the same");
    timeout(SOON, lately).await.expect("told to go").unwrap().unwrap();
}
