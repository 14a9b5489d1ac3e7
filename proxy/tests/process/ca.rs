//! The CA's life in a locked-down process: rotated by a command, exchanged by the operator, constrained.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use stubgate_certs::CertificateAuthority;

use super::site::{Agent, Running, Site, admin};

const SECRET: &str = "real-secret-0123456789";
const CHANGED: &str = "the CAs of the bundle are others";

/// `stubgate ca` with this configuration; what it printed.
fn ca(site: &Site, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    let output =
        command.arg("ca").args(arguments).arg("--config").arg(site.path("etc/stubgate.yaml")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn shown(site: &Site) -> Value {
    serde_json::from_str(&ca(site, &["show", "--format", "json"])).unwrap()
}

/// Asks for the bundle as an agent does: status, tag, certificates.
fn bundle(proxy: SocketAddr, known: &str) -> (u16, String, Vec<String>) {
    let mut tcp = TcpStream::connect(proxy).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!(
        "GET http://ca.stubgate.internal/bundle.pem HTTP/1.1\r\nhost: ca.stubgate.internal\r\nif-none-match: {known}\r\n\
         connection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default().to_owned();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), tag, certificates(body))
}

fn certificates(pem: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----\n";
    pem.split_inclusive(END).filter(|one| one.ends_with(END)).map(str::to_owned).collect()
}

fn trusting(pems: &[&String]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    }
    stubgate_certs::client_config(roots, &[b"http/1.1"]).unwrap()
}

fn works(proxy: SocketAddr, trust: &Arc<ClientConfig>) -> bool {
    Agent::connect(proxy, trust).is_ok_and(|mut agent| agent.get().is_ok_and(|status| status == 200))
}

fn metric(address: SocketAddr, series: &str) -> f64 {
    let (_, text) = admin(address, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn phases(site: &Site) -> Vec<String> {
    let records = site.audit();
    let records = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .filter(|record| record["event"] == "ca")
        .map(|record| record["outcome"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_rotation_beside_a_locked_down_process_outlives_its_restart_and_ends_when_its_agent_was_seen() {
    let more = "ca: { bundle_file: ../out/bundle.pem }\nprocess: { require_lockdown: true }";
    let site = Site::with(SECRET, more);
    let mut running = site.start();
    let (proxy, operator) = running.serving();
    let old = site.client();
    assert!(works(proxy, &old));
    let (_, first_tag, before) = bundle(proxy, "\"waiting\"");
    assert_eq!(before.len(), 1);
    let mounted = || fs::read_to_string(site.path("out/bundle.pem")).unwrap();
    assert!(mounted().starts_with(&before[0]));

    let said = ca(&site, &["rotate", "--at-least", "1s", "--deadline", "10m"]);
    assert!(said.contains("signs next"), "{said}");
    assert_eq!(running.said(CHANGED)["phase"], "overlap");
    let (status, tag, both) = bundle(proxy, &first_tag);
    assert_eq!((status, both.len(), &both[0]), (200, 2, &before[0]), "who signs is the first");
    assert_ne!(tag, first_tag);
    until("the file", || both.iter().all(|one| mounted().contains(one)));
    let printed = ca(&site, &["bundle", "--only-own"]);
    assert_eq!(certificates(&printed), both);

    // Longer than the least: an agent that trusts the old one alone is waited for.
    std::thread::sleep(Duration::from_millis(2500));
    assert!(works(proxy, &old), "a client that was started before goes on");
    assert_eq!(metric(operator, "stubgate_ca_phase{phase=\"overlap\"}"), 1.0);
    assert_eq!(metric(operator, "stubgate_ca_agents_not_seen"), 1.0);
    let begun = shown(&site);
    assert_eq!(
        (&begun["phase"], &begun["overlap"]["not_seen"]),
        (&"overlap".into(), &json!({ "devbot": ["127.0.0.1"] }))
    );

    running.stop();
    let mut running = site.start();
    let (proxy, operator) = running.serving();
    assert_eq!(metric(operator, "stubgate_ca_phase{phase=\"overlap\"}"), 1.0);
    let again = shown(&site);
    assert_eq!((&again["authorities"], &again["overlap"]), (&begun["authorities"], &begun["overlap"]));
    assert!(works(proxy, &old));
    let resumed = site.client();
    assert!(works(proxy, &resumed) && works(proxy, &resumed));

    assert_eq!(bundle(proxy, &tag).0, 304);
    assert_eq!(running.said(CHANGED)["phase"], "trailing");
    let both_trusted = trusting(&both.iter().collect::<Vec<_>>());
    until("the new one to sign", || works(proxy, &trusting(&[&both[1]])));
    assert!(works(proxy, &both_trusted));
    assert!(!works(proxy, &old), "nothing is signed by the old one any more");
    assert_eq!(running.said("an agent distrusts the CA")["agent"], "devbot");
    assert!(!works(proxy, &resumed), "and no session of before is resumed");
    assert!(metric(operator, "stubgate_ca_distrusted_total") >= 1.0);
    let (_, trailing_tag, trailing) = bundle(proxy, "\"waiting\"");
    assert_eq!((trailing_tag, trailing), (tag, vec![both[1].clone(), both[0].clone()]));

    ca(&site, &["rotate", "--finish"]);
    assert_eq!(running.said(CHANGED)["phase"], "stable");
    assert_eq!(bundle(proxy, "\"waiting\"").2, [both[1].clone()]);
    assert!(works(proxy, &both_trusted));
    until("the file", || !mounted().contains(&both[0]));
    let files = fs::read_dir(site.path("state/ca")).unwrap();
    let keys = files.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().ends_with("key.pem")).count();
    assert_eq!(keys, 1, "the old key is gone");
    running.stop();
    assert_eq!(phases(&site), ["overlap", "trailing", "stable"]);
}

#[test]
fn the_bundles_file_is_for_all_to_read_whatever_the_units_umask() {
    let site = Site::with(SECRET, "ca: { bundle_file: ../out/bundle.pem }\nprocess: { require_lockdown: true }");
    let program = site.program();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(program.get_program()).args(program.get_args());
    let mut running = Running::start(command);
    running.serving();
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
    let bundled = || certificates(&fs::read_to_string(site.path("out/bundle.pem")).unwrap()).len();
    let before = bundled();
    assert_eq!((mode("out"), mode("out/bundle.pem")), (0o755, 0o644));
    ca(&site, &["rotate"]);
    until("the next one in the file, beside the system's", || bundled() == before + 1);
    assert_eq!(mode("out/bundle.pem"), 0o644, "and under the lock-down");
    running.stop();
}

/// A pair of the operator's, in a folder as Kubernetes mounts one.
fn mount(folder: &Path, version: &str) -> String {
    let made = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::load_or_create(made.path(), SystemTime::now()).unwrap();
    let real = folder.join(format!("..{version}"));
    fs::create_dir_all(&real).unwrap();
    fs::copy(made.path().join("ca/certificate.pem"), real.join("tls.crt")).unwrap();
    fs::copy(made.path().join("ca/key.pem"), real.join("tls.key")).unwrap();
    swap(folder, version);
    for name in ["tls.crt", "tls.key"] {
        let _ = symlink(format!("..data/{name}"), folder.join(name));
    }
    authority.certificate_pem()
}

fn swap(folder: &Path, version: &str) {
    symlink(format!("..{version}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[test]
fn two_replicas_follow_an_operators_ca_each_by_itself_and_a_broken_one_changes_nothing() {
    let mounted = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(mounted.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let first = mount(mounted.path(), "1");
    let at = mounted.path().display();
    let more = format!(
        "ca: {{ certificate_file: \"{at}/tls.crt\", key_file: \"{at}/tls.key\", overlap_least_seconds: 1 }}\n\
         process: {{ require_lockdown: true }}"
    );
    let (one, two) = (Site::with(SECRET, &more), Site::with(SECRET, &more));
    let (mut first_running, mut second_running) = (one.start(), two.start());
    let ((one_proxy, one_admin), (two_proxy, _)) = (first_running.serving(), second_running.serving());
    let old = trusting(&[&first]);
    assert!(works(one_proxy, &old) && works(two_proxy, &old));

    // A certificate without its key.
    let broken = mounted.path().join("..broken");
    fs::create_dir(&broken).unwrap();
    fs::copy(mounted.path().join("..1/tls.key"), broken.join("tls.key")).unwrap();
    let stranger = CertificateAuthority::create("another", SystemTime::now()).unwrap().certificate_pem();
    fs::write(broken.join("tls.crt"), stranger).unwrap();
    swap(mounted.path(), "broken");
    let said = first_running.said("the CA can't be looked after");
    assert!(said["problem"].as_str().unwrap().contains("do not belong together"), "{said}");
    assert_eq!(metric(one_admin, "stubgate_ca_last_reload_ok"), 0.0);
    assert!(works(one_proxy, &old), "the last good one stays");

    let second = mount(mounted.path(), "2");
    assert_eq!(first_running.said(CHANGED)["phase"], "overlap");
    assert_eq!(second_running.said(CHANGED)["phase"], "overlap");
    assert_eq!(metric(one_admin, "stubgate_ca_last_reload_ok"), 1.0);
    let (_, tag, bundled) = bundle(one_proxy, "\"waiting\"");
    assert_eq!(bundled, [first.clone(), second.clone()]);
    assert_eq!(bundle(two_proxy, &tag).0, 304, "they mean the same bundle, and the second has seen the agent");
    assert_eq!(second_running.said(CHANGED)["phase"], "trailing");
    assert_eq!(bundle(two_proxy, &tag).0, 304, "and still do, though one of them is further");
    let both = trusting(&[&first, &second]);
    until("the new one to sign", || works(two_proxy, &trusting(&[&second])));
    assert!(works(one_proxy, &old) && works(one_proxy, &both) && works(two_proxy, &both));

    // A restart in the overlap knows the CA of before, whose files are gone.
    first_running.stop();
    let mut first_running = one.start();
    let (one_proxy, _) = first_running.serving();
    assert!(works(one_proxy, &old));
    assert_eq!(bundle(one_proxy, &tag).0, 304);
    assert_eq!(first_running.said(CHANGED)["phase"], "trailing");
    assert_eq!(phases(&two), ["failed", "overlap", "trailing"]);
}

#[test]
fn a_constrained_ca_signs_for_its_names_and_who_asks_for_another_is_refused_with_the_reason() {
    for (name, is_in) in [("example.test", true), ("other.test", false)] {
        let site = Site::with(SECRET, &format!("ca: {{ name_constraints: [{name}] }}"));
        let mut running = site.start();
        let (proxy, _) = running.serving();
        assert_eq!(works(proxy, &site.client()), is_in, "{name}");
        assert!(ca(&site, &["show"]).contains(&format!("signs only for       {name}")));
        running.stop();
        assert_eq!(site.audit().contains("\"reason\":\"outside_ca\""), !is_in, "{name}");
    }
}
