use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::report::Grade;
use super::super::shapes::tests::{BODY, examples};
use super::super::tests::{Scene, end, grades};
use super::*;

fn token() -> String {
    examples(BODY).remove(0).1
}

fn found(scene: &Scene) -> Vec<String> {
    let bad = look(&scene.setting, end()).into_iter().filter(|finding| finding.grade == Grade::Bad);
    bad.map(|finding| finding.what.replace(&scene.folder.path().display().to_string(), "")).collect()
}

#[test]
fn a_credential_is_told_by_its_place_and_kind() {
    let scene = Scene::new();
    scene.write("home/.netrc", format!("machine github.com\nlogin x\npassword {}\n", token()));
    scene.write("workspace/site/.git/config", format!("url = https://x:{}@github.com/a/b\n", token()));
    scene.write("home/deep/er/notes.txt", format!("{} {}", token(), token()));
    let expected = [
        "/home/.netrc, line 3: a token of GitHub",
        "/home/deep/er/notes.txt, line 1: a token of GitHub",
        "/home/deep/er/notes.txt, line 1: a token of GitHub",
        "/workspace/site/.git/config, line 1: a token of GitHub",
    ];
    assert_eq!(found(&scene), expected);
}

#[test]
fn stubs_and_code_are_no_findings() {
    let scene = Scene::new();
    scene.write("home/.claude/.credentials.json", r#"{"claudeAiOauth":{"accessToken":"access-token-stub"}}"#);
    scene.write("home/.config/gh/hosts.yml", "oauth_token: proxy-token-github");
    // Of the workspace, only what configures something.
    scene.write("workspace/site/src/tests.rs", token());
    for others in ["home/.cache/x", "home/p/node_modules/x.json", "workspace/a/.git/objects/x.json"] {
        scene.write(others, token());
    }
    assert_eq!(found(&scene), [""; 0]);
}

#[test]
fn a_minted_stub_that_looks_real_is_no_finding_where_the_agents_file_names_it() {
    let mut scene = Scene::new();
    scene.write("home/.netrc", token());
    assert_eq!(found(&scene).len(), 1);
    let mut agent = scene.setting.agent.clone().unwrap();
    agent.file.doctor.stubs = vec![token()];
    scene.setting.mask = crate::state::mask::Mask::of_stubs(&agent);
    assert_eq!(found(&scene), [""; 0]);
}

#[test]
fn no_link_is_followed_and_no_pipe_is_waited_for() {
    let scene = Scene::new();
    let outside = scene.write("outside/secret.json", token());
    symlink(&outside, scene.folder.path().join("home/secret.json")).unwrap();
    symlink(outside.parent().unwrap(), scene.folder.path().join("home/folder")).unwrap();
    symlink("..", scene.folder.path().join("home/up")).unwrap();
    symlink("/", scene.folder.path().join("workspace/root")).unwrap();
    let pipe = scene.folder.path().join("home/pipe.json");
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    assert_eq!(grades(&look(&scene.setting, end())), [(CHECK, Grade::Ok)]);
}

#[test]
fn a_long_file_is_looked_at_in_part_and_that_is_told() {
    let scene = Scene::new();
    let mut long = token().into_bytes();
    long.resize(usize::try_from(OF_FILE).unwrap() + 100, b'\n');
    long.extend(token().bytes());
    scene.write("home/session.jsonl", long);
    assert_eq!(found(&scene), ["/home/session.jsonl, line 1: a token of GitHub"]);
    scene.write("home/session.jsonl", vec![b'x'; usize::try_from(OF_FILE).unwrap() + 100]);
    assert!(look(&scene.setting, end())[0].what.ends_with("(1 of them were too long and looked at in part)"));
}

#[test]
fn what_was_not_looked_at_is_no_clean_bill() {
    let scene = Scene::new();
    scene.write("home/a", "");
    let told = look(&scene.setting, Instant::now());
    assert_eq!(grades(&told), [(CHECK, Grade::Warn)]);
    assert!(told[0].what.contains("no time"), "{}", told[0].what);
    let deep: PathBuf = std::iter::repeat_n("d", DEEPEST + 2).collect();
    scene.write(&format!("home/{}/x", deep.display()), token());
    assert_eq!(grades(&look(&scene.setting, end())), [(CHECK, Grade::Warn)]);
}

#[test]
fn many_findings_are_counted_and_not_told_one_by_one() {
    let scene = Scene::new();
    scene.write("home/a", format!("{}\n", token()).repeat(1000));
    let told = look(&scene.setting, end());
    assert!(told.len() <= TOLD + 2, "{}", told.len());
    assert!(told.iter().any(|finding| finding.what.starts_with("and 1")));
}

#[test]
fn a_real_one_in_the_agents_own_file_is_no_stub() {
    let scene = Scene::new();
    let mut agent = scene.setting.agent.clone().unwrap();
    agent.file.client.environment.insert("GH_TOKEN".into(), token());
    assert!(crate::state::mask::Mask::of_stubs(&agent).stubs().iter().all(|stub| *stub != token()));
    assert!(crate::state::mask::Mask::of(&agent, []).stubs().contains(&token()), "it is masked in texts");
}
