use super::super::report::Grade;
use super::super::tests::Scene;
use super::*;

fn certificate(name: &str) -> String {
    rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.pem()
}

/// A container where these programs are installed; a bundle of two, a store that has them, one that has not.
struct Stores {
    scene: Scene,
    good: PathBuf,
    other: PathBuf,
}

fn stores(programs: &[&str]) -> Stores {
    let scene = Scene::new();
    let (own, second) = (certificate("own"), certificate("second"));
    scene.write("bundle.pem", format!("{own}{second}"));
    let good = scene.write("good.pem", format!("# a comment\n{}{second}{own}", certificate("of the image")));
    let other = scene.write("other.pem", &own);
    programs.iter().for_each(|program| scene.install(program, "exit 0"));
    Stores { scene, good, other }
}

/// How a check ends, with its words.
fn of(stores: &Stores, check: &str) -> (Grade, String) {
    let found = look(&stores.scene.setting).into_iter().find(|finding| finding.check == check);
    found.map(|finding| (finding.grade, finding.what)).unwrap_or_else(|| panic!("no {check}"))
}

/// Each runtime, its program, and the variable that suffices.
const BY_VARIABLE: [(&str, &str, &str); 14] = [
    ("trust.git", "git", "GIT_SSL_CAINFO"),
    ("trust.curl", "curl", "CURL_CA_BUNDLE"),
    ("trust.node", "node", "NODE_EXTRA_CA_CERTS"),
    ("trust.npm", "npm", "NODE_EXTRA_CA_CERTS"),
    ("trust.python-requests", "python3", "REQUESTS_CA_BUNDLE"),
    ("trust.python-httpx", "python3", "SSL_CERT_FILE"),
    ("trust.pip", "pip", "PIP_CERT"),
    ("trust.uv", "uv", "SSL_CERT_FILE"),
    ("trust.go", "gh", "SSL_CERT_FILE"),
    ("trust.deno", "deno", "DENO_CERT"),
    ("trust.bun", "bun", "NODE_EXTRA_CA_CERTS"),
    ("trust.cargo", "cargo", "CARGO_HTTP_CAINFO"),
    ("trust.claude", "claude", "NODE_EXTRA_CA_CERTS"),
    ("trust.claude", "claude", "SSL_CERT_FILE"),
];

#[test]
fn each_runtime_is_right_by_its_variable_and_wrong_with_a_store_that_lacks_something() {
    for (check, program, variable) in BY_VARIABLE {
        let mut stores = stores(&[program]);
        assert_eq!(of(&stores, check).0, Grade::Bad, "{check} without anything");
        let good = stores.good.clone();
        stores.scene.set(variable, good);
        let (grade, what) = of(&stores, check);
        assert!(grade == Grade::Ok && what.contains(variable), "{check}: {what}");
        let other = stores.other.clone();
        stores.scene.set(variable, other);
        let (grade, what) = of(&stores, check);
        assert!(grade == Grade::Bad && what.contains("lacks 1 of 2 certificates"), "{check}: {what}");
        stores.scene.set(variable, "/nonexistent.pem");
        assert_eq!(of(&stores, check).0, Grade::Bad, "{check}: a file that is not there");
    }
}

#[test]
fn those_that_read_the_systems_store_need_no_variable_and_the_others_do() {
    let programs =
        ["git", "curl", "node", "npm", "python3", "pip", "uv", "go", "java", "deno", "bun", "cargo", "claude"];
    let stores = stores(&programs);
    std::fs::create_dir_all(stores.scene.setting.root.join("etc/ssl/certs")).unwrap();
    std::fs::copy(&stores.good, stores.scene.setting.root.join(SYSTEM[0])).unwrap();
    let right: Vec<&str> = look(&stores.scene.setting)
        .into_iter()
        .filter(|finding| finding.grade == Grade::Ok)
        .map(|finding| finding.check)
        .collect();
    assert_eq!(right, ["trust.bundle", "trust.git", "trust.curl", "trust.go", "trust.cargo", "trust.claude"]);
}

#[test]
fn what_is_not_installed_is_not_looked_at() {
    let checks: Vec<&str> = look(&stores(&["curl"]).scene.setting).into_iter().map(|finding| finding.check).collect();
    assert_eq!(checks, ["trust.setup", "trust.bundle", "trust.curl"]);
}

#[test]
fn the_order_is_that_of_each_runtime() {
    let mut stores = stores(&["npm", "curl", "claude", "node"]);
    let (good, other) = (stores.good.clone(), stores.other.clone());
    stores.scene.set("NODE_EXTRA_CA_CERTS", &good);
    // Only this counts where it is set.
    stores.scene.set("npm_config_cafile", &other);
    assert_eq!(of(&stores, "trust.npm").0, Grade::Bad);
    // The first wins.
    stores.scene.set("CURL_CA_BUNDLE", &other);
    stores.scene.set("SSL_CERT_FILE", &good);
    assert_eq!(of(&stores, "trust.curl").0, Grade::Bad);
    // Each adds.
    stores.scene.set("NODE_EXTRA_CA_CERTS", &other);
    assert_eq!((of(&stores, "trust.claude").0, of(&stores, "trust.node").0), (Grade::Ok, Grade::Bad));
    stores.scene.set("NODE_OPTIONS", "--max-old-space-size=512 --use-system-ca");
    assert_eq!(of(&stores, "trust.node").0, Grade::Ok);
}

#[test]
fn a_store_of_java_is_looked_into() {
    let mut stores = stores(&["java"]);
    let bundle = certificates(&stores.scene.setting.place.bundle).unwrap();
    // As a JKS has them: each after a head of its own.
    let mut store = vec![0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
    for certificate in &bundle {
        store.extend(b"\0\0\0\x02\0\x05alias\0\x05X.509");
        store.extend(certificate.as_ref());
    }
    let all = stores.scene.write("all.jks", &store);
    let cut = stores.scene.write("cut.jks", &store[..store.len() - 1]);
    let options = |path: &Path| format!("-Xmx1g -Djavax.net.ssl.trustStore={} -Dx=y", path.display());
    stores.scene.set("JAVA_TOOL_OPTIONS", options(&all));
    assert_eq!(of(&stores, "trust.java").0, Grade::Ok);
    stores.scene.set("JAVA_TOOL_OPTIONS", options(&cut));
    assert_eq!(of(&stores, "trust.java").0, Grade::Bad);
    stores.scene.set("JAVA_TOOL_OPTIONS", "");
    assert_eq!(of(&stores, "trust.java").0, Grade::Bad, "there is none");
    std::fs::create_dir_all(stores.scene.setting.root.join("etc/ssl/certs/java")).unwrap();
    std::fs::copy(&all, stores.scene.setting.root.join("etc/ssl/certs/java/cacerts")).unwrap();
    assert_eq!(of(&stores, "trust.java").0, Grade::Ok, "the image's own");
}

#[test]
fn a_bundle_that_is_none_is_told_and_no_runtime_judged_by_it() {
    let stores = stores(&["curl"]);
    for content in ["", "no PEM at all", "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"] {
        stores.scene.write("bundle.pem", content);
        let checks: Vec<&str> = look(&stores.scene.setting).into_iter().map(|finding| finding.check).collect();
        assert_eq!(checks, ["trust.setup", "trust.bundle"], "{content:?}");
        assert_eq!(of(&stores, "trust.bundle").0, Grade::Bad);
    }
}
