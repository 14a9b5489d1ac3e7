use super::super::report::Grade;
use super::super::shapes::tests::{BODY, examples};
use super::super::tests::{Scene, end, grades};
use super::*;

#[test]
fn each_process_is_told_with_the_variable_and_the_kind() {
    let scene = Scene::new();
    let of = |at: usize| examples(BODY).remove(at).1;
    scene.write("proc/7/environ", format!("PATH=/bin\0GH_TOKEN={}\0EMPTY\0", of(0)));
    scene.write("proc/7/comm", "claude\n");
    scene.write("proc/12/environ", "GH_TOKEN=proxy-token-github\0");
    scene.write("proc/12/cmdline", format!("psql\0--token={}\0", of(11)));
    scene.write("proc/self/environ", format!("A={}", of(0)));
    let told: Vec<String> = look(&scene.setting, end()).into_iter().map(|finding| finding.what).collect();
    assert_eq!(
        told,
        [
            "process 7 (claude): a token of GitHub in the variable GH_TOKEN",
            "process 12 (): a JSON Web Token on its command line"
        ]
    );
}

#[test]
fn stubs_are_no_findings_and_a_process_that_ended_is_none() {
    let scene = Scene::new();
    scene.write("proc/7/environ", "GH_TOKEN=proxy-token-github\0ANTHROPIC_AUTH_TOKEN=access-token-stub\0");
    std::fs::create_dir_all(scene.setting.proc.join("8")).unwrap();
    let told = look(&scene.setting, end());
    assert_eq!(grades(&told), [(CHECK, Grade::Ok)]);
    assert_eq!(told[0].what, "1 processes hold nothing that looks real");
}

#[test]
fn a_real_process_is_looked_at() {
    let scene = Scene::new();
    let (_, value) = examples(BODY).remove(0);
    let mut child = std::process::Command::new("sleep").arg("600").env("DOCTOR_TEST", value).spawn().unwrap();
    // It, and no other of this machine.
    let number = child.id().to_string();
    std::os::unix::fs::symlink(Path::new("/proc").join(&number), scene.setting.proc.join(&number)).unwrap();
    // A program is begun before its variables are to be seen.
    let environ = Path::new("/proc").join(&number).join("environ");
    let deadline = end();
    while std::fs::read(&environ).unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "no variables are to be seen");
        std::thread::yield_now();
    }
    let told = look(&scene.setting, end());
    child.kill().unwrap();
    child.wait().unwrap();
    let expected = format!("process {number} (sleep): a token of GitHub in the variable DOCTOR_TEST");
    let of_test: Vec<&str> = told.iter().map(|finding| &*finding.what).filter(|what| what.contains("DOCTOR")).collect();
    assert_eq!(of_test, [expected]);
}
