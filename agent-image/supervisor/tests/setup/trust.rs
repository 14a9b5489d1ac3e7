//! What is written of trust, and whether it is found to be in order.

use std::fs;

use stubgate_agent::agent::{Agent, AgentFile, Place};
use stubgate_agent::setup::trust;

use crate::server::authority;
use crate::world::World;

fn agent(world: &World) -> Agent {
    let place = Place {
        name: "devbot".into(),
        agents: world.path("agents"),
        home: world.path("home"),
        workspace: world.path("workspace"),
        bundle: world.path("bundle.pem"),
        trust: world.path("trust"),
        run: world.path("run"),
    };
    Agent { name: "devbot".into(), file: AgentFile::default(), place }
}

#[test]
fn trust_is_in_order_once_setup_has_run_and_not_before() {
    let world = World::new();
    let agent = agent(&world);
    assert!(trust::check(&agent).is_err());
    assert_eq!(world.setup().code, Some(0));
    assert_eq!(trust::check(&agent), Ok(()));
}

#[test]
fn every_form_of_it_is_looked_at() {
    let world = World::new();
    let agent = agent(&world);
    for name in ["ca-certificates.crt", "certs/bundle.pem", "java/cacerts", "environment"] {
        assert_eq!(world.setup().code, Some(0));
        assert_eq!(trust::check(&agent), Ok(()));
        fs::remove_file(world.path("trust").join(name)).unwrap();
        assert!(trust::check(&agent).is_err(), "{name} is gone");
        world.setup();
        fs::write(world.path("trust").join(name), "A=b\n").unwrap();
        assert!(trust::check(&agent).is_err(), "{name} is another");
    }
}

#[test]
fn a_bundle_that_was_mounted_anew_is_told_until_setup_runs_again() {
    let world = World::new();
    let agent = agent(&world);
    world.setup();
    let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap().cert.pem();
    world.file("bundle.pem", &format!("{}{other}", authority().1));
    let why = trust::check(&agent).unwrap_err();
    assert!(why.contains("has changed since setup ran"), "{why}");
    let run = world.setup();
    assert!(run.step("trust").starts_with("done: 2 certificates"), "{}", run.text);
    assert_eq!(trust::check(&agent), Ok(()));
}

#[test]
fn what_the_container_sets_of_its_own_stays() {
    let world = World::new();
    let mut command = world.command();
    command.env("GH_TOKEN", "a-stub-of-its-own").env("JAVA_TOOL_OPTIONS", "-Xmx1g");
    assert!(command.status().unwrap().success());
    let text = world.text("trust/environment");
    assert!(!text.contains("GH_TOKEN"), "{text}");
    assert!(text.contains("JAVA_TOOL_OPTIONS=-Xmx1g -Djavax.net.ssl.trustStore="), "{text}");
}

#[test]
fn a_run_from_a_shell_that_has_the_variables_writes_the_same() {
    let world = World::new();
    world.setup();
    let before = world.text("trust/environment");
    let mut command = world.command();
    for line in before.lines() {
        let (name, value) = line.split_once('=').unwrap();
        command.env(name, value);
    }
    assert!(command.status().unwrap().success());
    assert_eq!(world.text("trust/environment"), before);
}
