use std::path::Path;

use proptest::prelude::*;

use super::report::Grade;
use super::*;
use crate::agent::AgentFile;

/// A container of folders, with a home and nothing else.
pub(super) struct Scene {
    pub(super) folder: tempfile::TempDir,
    pub(super) setting: Setting,
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let place = Place {
            name: "devbot".into(),
            agents: at("agents"),
            home: at("home"),
            workspace: at("workspace"),
            bundle: folder.path().join("bundle.pem"),
            trust: at("trust"),
            run: at("run"),
        };
        let agent = Agent { name: "devbot".into(), file: AgentFile::default(), place: place.clone() };
        let names = names::Where { resolv_conf: folder.path().join("resolv.conf"), dns_port: 53, http_port: 80 };
        let environment = [("PATH".to_owned(), at("bin").display().to_string())].into();
        let setting = Setting {
            place,
            mask: Mask::of_stubs(&agent),
            agent: Ok(agent),
            environment,
            root: at("root"),
            proc: at("proc"),
            names,
            targets: Vec::new(),
        };
        Scene { folder, setting }
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<Path>) {
        self.setting.environment.insert(name.into(), value.as_ref().display().to_string());
    }

    /// A program of that name, as installed.
    pub(super) fn install(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

pub(super) fn end() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

pub(super) fn grades(findings: &[Finding]) -> Vec<(&'static str, Grade)> {
    findings.iter().map(|finding| (finding.check, finding.grade)).collect()
}

#[test]
fn an_empty_container_is_looked_at_in_full_and_its_lacks_are_told() {
    let findings = examine(Scene::new().setting, None).unwrap();
    let bad: Vec<&str> =
        findings.all().iter().filter(|finding| finding.grade == Grade::Bad).map(|finding| finding.check).collect();
    assert_eq!(bad, ["trust.setup", "trust.bundle", "names.servers", "confinement.root"]);
    assert!(findings.is_bad());
    let json: serde_json::Value = serde_json::from_str(&findings.json()).unwrap();
    assert_eq!((&json["version"], &json["ok"]), (&1.into(), &false.into()));
    assert_eq!(json["checks"].as_array().unwrap().len(), findings.all().len());
    assert_eq!(json["checks"][0]["grade"], "ok");
}

#[test]
fn an_agent_whose_files_are_wrong_is_told_and_the_rest_is_looked_at() {
    let mut scene = Scene::new();
    scene.setting.agent = Err("agent.yaml:3: unknown key".into());
    let findings = examine(scene.setting, None).unwrap();
    assert_eq!((findings.all()[0].check, findings.all()[0].grade), ("agent", Grade::Bad));
    assert!(findings.all().len() > 4);
}

#[test]
fn it_changes_nothing() {
    let scene = Scene::new();
    scene.write("home/.claude/.credentials.json", "{}");
    scene.write("proc/7/environ", "A=b\0");
    let list = |folder: &Path| {
        let mut found: Vec<(PathBuf, std::time::SystemTime)> = Vec::new();
        let mut left = vec![folder.to_owned()];
        while let Some(path) = left.pop() {
            found.push((path.clone(), std::fs::metadata(&path).unwrap().modified().unwrap()));
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        found.sort();
        found
    };
    let before = list(scene.folder.path());
    let Scene { folder, setting } = scene;
    examine(setting, None).unwrap();
    assert_eq!(list(folder.path()), before);
}

#[test]
fn lines_are_for_people() {
    let found = vec![Finding::ok("a", "fine"), Finding::bad("a.longer", "not\nfine").advise("mend it")];
    let text = Findings::new(found, &Mask::default()).lines();
    assert_eq!(text, "ok    a         fine\nbad   a.longer  not fine\n                → mend it\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the agent names its files, processes and variables: no value is ever printed, and each is found.
    #[test]
    fn no_value_is_ever_printed(which in 0usize..13, body in "[A-Za-z0-9]{12}Ab3dEf7h", where_ in 0..6) {
        let scene = Scene::new();
        let (kind, value) = shapes::tests::examples(&body).remove(which);
        let name = value.replace(['/', '\n'], "_");
        match where_ {
            0 => drop(scene.write("home/.netrc", format!("machine x password {value}\n"))),
            1 => drop(scene.write(&format!("workspace/{}.token", &name[..name.len().min(200)]), &value)),
            2 => drop(scene.write("proc/7/environ", format!("A=b\0TOKEN={value}\0"))),
            3 => drop(scene.write("proc/7/environ", format!("{value}={value}\0"))),
            4 => {
                scene.write("proc/7/environ", "A=b\0");
                scene.write("proc/7/comm", &value);
                scene.write("proc/7/cmdline", format!("curl\0-H\0Authorization: Bearer {value}\0"));
            }
            _ => drop(scene.write("workspace/x/.git/config", format!("[http]\n extraheader = {value}\n"))),
        }
        let findings = examine(scene.setting, None).unwrap();
        let found = findings.all().iter().filter(|finding| finding.check.starts_with("credentials.") && finding.grade == Grade::Bad);
        prop_assert!(found.clone().any(|finding| finding.what.contains(kind)), "{}", findings.lines());
        for text in [findings.lines(), findings.json()] {
            prop_assert!(!text.contains(&body[..12]) && !text.contains(&body[..12].to_uppercase()), "{text}");
        }
    }
}
