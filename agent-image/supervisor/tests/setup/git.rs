//! Real git: what it is told, and what is done to clones.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::server::{Server, answer};
use crate::world::World;

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@b.invalid", "-c", "init.defaultBranch=main"]);
    let output = command.args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", name]);
}

/// A world with one repository `site` to clone.
fn world() -> World {
    let world = World::new();
    let origin = world.path("origin/site");
    fs::create_dir_all(&origin).unwrap();
    git(&origin, &["init", "--quiet"]);
    commit(&origin, "one", "1");
    world.agent_file(
        "devbot/agent.yaml",
        &format!("workspace: {{ repositories: ['file://{}'], primary: site }}\n", origin.display()),
    );
    world
}

#[test]
fn the_stub_is_sent_again_after_a_401() {
    let world = World::new();
    let server = Server::tls(|_| answer("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", ""));
    let host = format!("localhost:{}", server.address.port());
    world.agent_file("devbot/agent.yaml", &format!("git: {{ stubs: {{ '{host}': proxy-token-github }} }}\n"));
    // One of the system's that would be asked, and would forget.
    world.file("home/.gitconfig", "[credential]\n\thelper = store\n");
    assert_eq!(world.setup().code, Some(0));
    // x-access-token:proxy-token-github
    let sent = "Authorization: Basic eC1hY2Nlc3MtdG9rZW46cHJveHktdG9rZW4tZ2l0aHVi";
    for round in 1..=2 {
        let output =
            world.program("git").args(["ls-remote", &format!("https://{host}/acme/site.git")]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Authentication failed"), "{said}");
        let times = server.heads().iter().filter(|head| head.contains(sent)).count();
        assert_eq!(times, round, "{:#?}", server.heads());
    }
    assert!(!world.home(".git-credentials").exists());
}

#[test]
fn another_host_is_handed_nothing() {
    let world = World::new();
    world.setup();
    let fill = |host: &str| {
        let script = format!("printf 'protocol=https\\nhost={host}\\n\\n' | git credential fill");
        let output = world.program("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(fill("github.com").contains("password=proxy-token-github"));
    assert!(!fill("gitlab.com").contains("password"));
    assert!(!fill("github.com.example.org").contains("password"));
}

#[test]
fn the_agent_is_who_its_files_say_and_what_it_set_itself_wins() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "git: { email: devbot@example.com, name: 'The \"dev\" \\ bot' }\n");
    world.setup();
    let get = |name: &str| {
        let output = world.program("git").args(["config", "--get", name]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(get("user.name"), "The \"dev\" \\ bot");
    assert_eq!(get("user.email"), "devbot@example.com");
    world.program("git").args(["config", "--global", "user.email", "own@example.com"]).status().unwrap();
    assert!(world.setup().step("git").starts_with("unchanged"));
    assert_eq!(get("user.email"), "own@example.com");
}

#[test]
fn a_stub_that_would_leave_its_quotes_is_refused() {
    let world = World::new();
    world.agent_file("devbot/agent.yaml", "git: { stubs: { github.com: \"x'; touch /tmp/x; '\" } }\n");
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    assert!(run.step("git").starts_with("failed: git.stubs"), "{}", run.text);
}

#[test]
fn a_repository_is_cloned_and_then_moved_forward() {
    let world = world();
    assert_eq!(world.setup().step("repositories"), "done: site cloned");
    assert_eq!(world.setup().step("repositories"), "unchanged: site up to date");
    commit(&world.path("origin/site"), "two", "2");
    assert_eq!(world.setup().step("repositories"), "done: site moved forward");
    assert_eq!(world.text("workspace/site/two"), "2");
}

#[test]
fn what_is_not_committed_or_not_pushed_is_left() {
    let world = world();
    world.setup();
    let (origin, clone) = (world.path("origin/site"), world.path("workspace/site"));
    commit(&origin, "two", "2");
    fs::write(clone.join("one"), "mine").unwrap();
    let run = world.setup();
    assert_eq!((run.code, world.text("workspace/site/one").as_str()), (Some(0), "mine"));
    assert!(run.step("repositories").contains("left behind its origin"), "{}", run.text);

    commit(&clone, "three", "3");
    let mine = git(&clone, &["rev-parse", "HEAD"]);
    let run = world.setup();
    assert!(run.step("repositories").contains("went different ways"), "{}", run.text);
    assert_eq!(git(&clone, &["rev-parse", "HEAD"]), mine);

    git(&clone, &["checkout", "--quiet", "-b", "own"]);
    let run = world.setup();
    assert!(run.step("repositories").contains("follows none of the origin's"), "{}", run.text);
}

#[test]
fn a_clone_that_was_cut_off_is_made_anew() {
    let world = world();
    world.file("workspace/.site.cloning/half", "of one");
    assert_eq!(world.setup().step("repositories"), "done: site cloned");
    assert!(!world.path("workspace/.site.cloning").exists());
}

#[test]
fn a_repository_that_can_not_be_had_blocks_nothing() {
    let world = world();
    let gone = world.path("origin/gone");
    let both = format!("'file://{}', 'file://{}'", gone.display(), world.path("origin/site").display());
    world.agent_file("devbot/agent.yaml", &format!("workspace: {{ repositories: [{both}], primary: gone }}\n"));
    let run = world.setup();
    assert_eq!(run.code, Some(0));
    let told = run.step("repositories");
    assert!(told.starts_with("failed: gone: ") && told.ends_with("site cloned"), "{told}");
}

#[test]
fn something_else_at_its_place_is_left() {
    let world = world();
    world.file("workspace/site/notes", "mine");
    let run = world.setup();
    assert!(run.step("repositories").contains("something else at its place"), "{}", run.text);
    assert_eq!(world.text("workspace/site/notes"), "mine");
}
