//! What setup can't go on without: exit 1, and the fix is named.

use std::fs;
use std::os::unix::process::CommandExt;

use crate::server::{Server, answer, authority};
use crate::world::{World, is_root, ran};

#[test]
fn without_a_name_there_is_no_agent() {
    let world = World::new();
    let run = ran(world.command().env_remove("AGENT_NAME").output().unwrap());
    assert_eq!(run.code, Some(1));
    assert!(run.step("agent").contains("set AGENT_NAME"), "{}", run.text);
}

#[test]
fn without_files_there_is_no_agent() {
    let world = World::new();
    let run = ran(world.command().env("AGENT_NAME", "nobody").output().unwrap());
    assert_eq!(run.code, Some(1));
    assert!(run.step("sources").contains("mount the files of \"nobody\" there"), "{}", run.text);
}

#[test]
fn a_file_that_is_wrong_is_named_with_its_place() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "client:\n  programme: claude\n");
    let run = world.setup();
    assert_eq!(run.code, Some(1));
    let told = run.step("agent");
    assert!(told.contains("devbot/agent.yaml") && told.contains("programme"), "{}", run.text);
}

#[test]
fn without_a_bundle_nothing_is_trusted() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "trust: { address: '' }\n");
    fs::remove_file(world.path("bundle.pem")).unwrap();
    let run = world.setup();
    assert_eq!(run.code, Some(1));
    assert!(run.step("trust").contains("mount the bundle (`stubgate ca bundle`) at"), "{}", run.text);
}

#[test]
fn a_bundle_that_is_none_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let certificate = &authority().1;
    let cut = certificate.replace('M', "");
    for bundle in ["", "nonsense", &cut, &key, &format!("{certificate}{key}")] {
        let world = World::new();
        world.file("bundle.pem", bundle);
        let run = world.setup();
        assert_eq!(run.code, Some(1), "{bundle}: {}", run.text);
        assert!(run.step("trust").contains("mount the PEM of `stubgate ca bundle`"), "{}", run.text);
        assert!(!world.path("trust/ca-certificates.crt").exists());
    }
}

#[test]
fn a_bundle_that_is_not_mounted_is_fetched_and_kept_while_it_can_not_be() {
    let world = World::new();
    fs::remove_file(world.path("bundle.pem")).unwrap();
    let server = Server::plain(|_| answer("200 OK", "", &authority().1));
    world.agent_file("devbot/agent.yaml", &format!("trust: {{ address: 'http://{}/bundle.pem' }}\n", server.address));
    let run = world.setup();
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert!(server.heads()[0].starts_with("GET /bundle.pem "));
    assert!(world.path("trust/ca-certificates.crt").is_file());

    let gone = Server::plain(|_| answer("503 Service Unavailable", "", ""));
    world.agent_file("devbot/agent.yaml", &format!("trust: {{ address: 'http://{}/bundle.pem' }}\n", gone.address));
    let run = world.setup();
    assert_eq!(run.code, Some(0), "{}", run.text);
    assert!(run.step("trust").starts_with("unchanged: 1 certificates of the last run"), "{}", run.text);
}

#[test]
fn a_home_that_can_not_be_written_is_told_with_the_user_who_can_not() {
    if !is_root() {
        return;
    }
    let world = World::new();
    let program = world.path("stubgate-agent");
    fs::copy(env!("CARGO_BIN_EXE_stubgate-agent"), &program).unwrap();
    let mut command = std::process::Command::new(program);
    world.put_in_place(&mut command);
    // Nobody: for whom the folder of the test is opened, and nothing in it is his.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(world.folder.path(), open).unwrap();
    let run = ran(command.arg("setup").uid(65534).gid(65534).output().unwrap());
    assert_eq!(run.code, Some(1), "{}", run.text);
    assert!(run.step("home").contains("that user 65534 may write (fsGroup)"), "{}", run.text);
}
