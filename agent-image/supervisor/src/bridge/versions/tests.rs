use std::process::Command;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::bridge::testing;

/// Wheels of a package `b` in three versions, of which the last starts and offers nothing that is wanted.
const WHEELS: &str = r#"
import sys, zipfile
folder, double = sys.argv[1:]
for version, tools in [("1.0", "echo"), ("2.0", "echo"), ("3.0", "nothing")]:
    info = f"b-{version}.dist-info"
    with zipfile.ZipFile(f"{folder}/b-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("b.py", f"import sys\nsys.argv += ['--version', '{version}', '--tools', '{tools}']\n" + open(double).read())
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: b\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
"#;

struct Store(TempDir);

impl Store {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let double = testing::double();
        let made = Command::new("/usr/bin/python3").args(["-c", WHEELS]).arg(folder.path()).arg(double).status();
        assert!(made.unwrap().success());
        Store(folder)
    }

    fn bridge(&self, kind: &str, pin: &str) -> Bridge {
        let text = format!("{{ {kind}, package: {{ python: \"b=={pin}\" }}, probe: {{ tools: [echo] }} }}");
        testing::bridge(self.0.path(), &text)
    }

    async fn upgrade(&self, bridge: &Bridge, version: Option<&str>) -> Result<Found, Failed> {
        Versions::of(bridge).upgrade(version, Some(self.0.path())).await
    }
}

/// Versions that have a folder.
fn folders(bridge: &Bridge) -> Vec<String> {
    let all = fs::read_dir(bridge.kept()).unwrap();
    let mut all: Vec<_> = all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    all.retain(|name| is_folder(name));
    all.sort();
    all
}

#[tokio::test]
async fn a_version_is_switched_to_only_if_it_works_and_the_one_before_is_kept() {
    let store = Store::new();
    let bridge = store.bridge("stdio: { command: [python, -m, b] }", "1.0");
    let versions = Versions::of(&bridge);
    assert!(!versions.is_settled() && versions.version().is_none());
    assert_eq!(store.upgrade(&bridge, None).await.unwrap().version, "1.0");
    assert!(versions.is_settled());
    assert!(matches!(versions.rollback(), Err(Failed::Nothing)));

    assert_eq!(store.upgrade(&bridge, Some("2.0")).await.unwrap().version, "2.0");
    assert_eq!((versions.version().unwrap(), versions.last_good().unwrap()), ("2.0".into(), "1.0".into()));
    assert!(versions.is_settled(), "a version that a person chose stays");

    let failed = store.upgrade(&bridge, Some("3.0")).await.unwrap_err();
    assert_eq!(failed.to_string(), "3.0 does not work, and is not used: does not offer echo");
    let missing = store.upgrade(&bridge, Some("4.0")).await.unwrap_err();
    assert!(matches!(missing, Failed::Installation("pip install")), "{missing}");
    assert_eq!(versions.version().unwrap(), "2.0");
    assert_eq!(folders(&bridge), ["1.0", "2.0"]);

    assert_eq!(versions.rollback().unwrap(), "1.0");
    assert_eq!(versions.version().unwrap(), "1.0");
    assert!(matches!(versions.rollback(), Err(Failed::Nothing)));

    // Another pin in the file is put in place by the next start, whatever was chosen.
    assert!(!Versions::of(&store.bridge("stdio: { command: [python, -m, b] }", "2.0")).is_settled());
}

#[tokio::test]
async fn a_server_goes_on_while_the_next_version_is_asked_and_is_then_replaced() {
    let store = Store::new();
    let port = testing::port();
    let kind = format!("http: {{ command: [python, -m, b, --http, \"{{port}}\"], port: {port} }}");
    let bridge = store.bridge(&kind, "1.0");
    store.upgrade(&bridge, None).await.unwrap();
    let installed = Versions::of(&bridge).current().unwrap();
    let Some(crate::bridge::file::Kind::Http(http)) = bridge.entry.kind() else { panic!("of another kind") };
    let mut runs = bridge.serve(http, port, Some(&installed)).unwrap();
    assert_eq!(store.upgrade(&bridge, Some("2.0")).await.unwrap().version, "2.0");
    assert!(runs.id().is_some());
    assert_ne!(Versions::of(&bridge).current().unwrap(), installed);
    runs.stop().await;
    runs = bridge.serve(http, port, Versions::of(&bridge).current().as_deref()).unwrap();
    let mut found = bridge.probe(None, Duration::from_secs(5)).await;
    while matches!(found, Err(probe::Failed::Connection(_))) {
        found = bridge.probe(None, Duration::from_secs(5)).await;
    }
    assert_eq!(found.unwrap().version, "2.0");
    runs.stop().await;
}

#[tokio::test]
async fn what_the_image_has_in_the_pinned_version_needs_no_index() {
    let store = Store::new();
    let image = store.0.path().join("image");
    let (folder, links) = (image.display(), store.0.path().display());
    let made = format!(
        "/usr/bin/python3 -m venv {folder} && {folder}/bin/pip install -q --no-index --find-links {links} b==1.0"
    );
    assert!(Command::new("sh").args(["-c", &made]).status().unwrap().success());
    let kind = "stdio: { command: [python, -m, b] }, environment: { PIP_NO_INDEX: \"1\" }";
    let bridge = store.bridge(kind, "1.0");
    let versions = Versions { python: image.join("bin/python").display().to_string(), ..Versions::of(&bridge) };
    assert_eq!(versions.upgrade(None, None).await.unwrap().version, "1.0");
    let other = versions.upgrade(Some("2.0"), None).await.unwrap_err();
    assert!(matches!(other, Failed::Installation("pip install")), "{other}");

    // Another image: what was taken stays as it is.
    fs::remove_dir_all(&image).unwrap();
    let current = versions.current().unwrap();
    assert_eq!(bridge.probe_installed(&current, Duration::from_secs(20)).await.unwrap().version, "1.0");
}

#[tokio::test]
async fn two_do_not_change_versions_at_once() {
    let store = Store::new();
    let bridge = store.bridge("stdio: { command: [python, -m, b] }", "1.0");
    let _held = Versions::of(&bridge).lock().unwrap();
    assert!(matches!(store.upgrade(&bridge, None).await, Err(Failed::Busy)));
}

#[test]
fn a_version_is_no_path_and_no_word_of_pips() {
    for version in ["", "../1", "1/2", "-r", "1 2", "latest", ".", "1-2"] {
        assert!(!is_version(version), "{version}");
    }
    assert!(is_version("1.30.0rc1.post2"));
}
