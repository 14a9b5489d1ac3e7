use tokio::net::{TcpListener, UdpSocket};

use super::super::dns::tests::{asked, reply};
use super::super::report::Grade;
use super::super::tests::{Scene, grades};
use super::*;

/// A server on loopback that answers each name so.
async fn nameserver(answer: impl Fn(&str) -> (u8, Vec<IpAddr>) + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
            let (code, addresses) = answer(&asked(&bytes[..length]));
            socket.send_to(&reply(&bytes[..length], code, &addresses), peer).await.unwrap();
        }
    });
    port
}

fn scene(port: u16) -> Scene {
    let mut scene = Scene::new();
    scene.write("resolv.conf", "# of the pod\nsearch agents.svc\nnameserver 127.0.0.1\noptions ndots:5\n");
    scene.setting.names.dns_port = port;
    scene
}

fn loopback() -> IpAddr {
    "127.0.0.1".parse().unwrap()
}

#[tokio::test]
async fn a_nameserver_that_is_stubgate_is_fine_and_its_bundle_is_compared() {
    let own = rcgen::generate_simple_self_signed(vec!["own".into()]).unwrap().cert.pem();
    let other = rcgen::generate_simple_self_signed(vec!["other".into()]).unwrap().cert.pem();
    let port = nameserver(|name| if name == OWN { (0, vec![loopback()]) } else { (3, Vec::new()) }).await;
    let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut scene = scene(port);
    scene.setting.names.http_port = sockets.local_addr().unwrap().port();
    let given = format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-pem-file\r\n\r\n{own}{other}");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = sockets.accept().await {
            let mut question = [0; 1024];
            let length = stream.read(&mut question).await.unwrap();
            assert!(question[..length].starts_with(b"GET /ca.pem HTTP/1.1\r\nHost: stubgate.internal\r\n"));
            stream.write_all(given.as_bytes()).await.unwrap();
        }
    });
    let fine = [
        ("names.servers", Grade::Ok),
        ("names.public", Grade::Ok),
        ("names.nobody", Grade::Ok),
        ("trust.appliance", Grade::Ok),
    ];
    scene.write("bundle.pem", &own);
    let (findings, firewall) = look(&scene.setting).await;
    assert_eq!((grades(&findings), firewall), (fine.to_vec(), vec![loopback()]));
    // After a rotation that was not followed, also where both have the roots of the public internet.
    scene.write("bundle.pem", &other);
    let (findings, _) = look(&scene.setting).await;
    assert_eq!(grades(&findings)[3], ("trust.appliance", Grade::Bad));
}

#[tokio::test]
async fn a_resolver_of_the_world_is_bad_twice() {
    let port = nameserver(|name| match name {
        PUBLIC => (0, vec!["1.1.1.1".parse().unwrap()]),
        _ => (3, Vec::new()),
    })
    .await;
    let (findings, firewall) = look(&scene(port).setting).await;
    let expected = [("names.servers", Grade::Bad), ("names.public", Grade::Bad), ("names.nobody", Grade::Ok)];
    assert_eq!((grades(&findings), firewall), (expected.to_vec(), Vec::new()));
    assert!(findings[0].what.contains("stubgate.internal gives NXDOMAIN"), "{}", findings[0].what);
}

#[tokio::test]
async fn one_that_makes_names_up_is_bad() {
    let port = nameserver(|_| (0, vec!["203.0.113.1".parse().unwrap()])).await;
    let (findings, _) = look(&scene(port).setting).await;
    assert_eq!(grades(&findings)[..2], [("names.servers", Grade::Ok), ("names.public", Grade::Ok)]);
    let port =
        nameserver(|name| (0, vec![if name == OWN { loopback() } else { "203.0.113.1".parse().unwrap() }])).await;
    let (findings, _) = look(&scene(port).setting).await;
    assert_eq!(grades(&findings)[1..3], [("names.public", Grade::Bad), ("names.nobody", Grade::Bad)]);
}

#[tokio::test]
async fn a_public_name_that_policy_has_is_answered_with_stubgates_own_address() {
    let port = nameserver(|name| if name == NOBODY { (5, Vec::new()) } else { (0, vec![loopback()]) }).await;
    let (findings, _) = look(&scene(port).setting).await;
    assert!(findings[..3].iter().all(|finding| finding.grade == Grade::Ok), "{findings:?}");
}

#[tokio::test]
async fn a_nameserver_that_is_silent_is_bad_but_where_a_proxy_needs_none() {
    // Nobody listens on a port that was given back.
    let port = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let mut scene = scene(port);
    let (findings, _) = look(&scene.setting).await;
    assert_eq!(grades(&findings)[0], ("names.servers", Grade::Bad));
    scene.set("HTTPS_PROXY", "http://stubgate:3128");
    let (findings, _) = look(&scene.setting).await;
    assert_eq!(grades(&findings)[0], ("names.servers", Grade::Warn));
}

#[test]
fn nameservers_are_read_as_resolvers_read_them() {
    let text = "nameserver 10.0.0.1\n  nameserver\t2001:db8::1 \n#nameserver 1.1.1.1\nnameserver x\n";
    assert_eq!(nameservers(text), ["10.0.0.1".parse::<IpAddr>().unwrap(), "2001:db8::1".parse().unwrap()]);
    assert_eq!(nameservers(&"nameserver 10.0.0.1\n".repeat(9)).len(), SERVERS);
}
