//! Whether the container is as confined as it should be: what the kernel says of this process, which every process of the
//! container shares.

use std::fs;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;

use super::Setting;
use super::report::Finding;
use crate::files;

/// Where Kubernetes puts a service account's token, below the root.
const TOKENS: [&str; 2] =
    ["var/run/secrets/kubernetes.io/serviceaccount/token", "run/secrets/kubernetes.io/serviceaccount/token"];

/// Looks at all of it.
pub(super) fn look(setting: &Setting) -> Vec<Finding> {
    let mut findings = match files::read_bounded(&setting.proc.join("self/status"), 64 * 1024) {
        Ok(status) => of_process(&String::from_utf8_lossy(&status)),
        Err(error) => vec![Finding::warn("confinement.process", format!("/proc/self/status: {error}"))],
    };
    findings.push(root(&setting.root));
    findings.push(token(&setting.root));
    findings
}

/// What the kernel's own account of a process says.
fn of_process(status: &str) -> Vec<Finding> {
    let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()));
    let is_root = field("Uid").is_none_or(|ids| ids.split_whitespace().any(|id| id == "0"));
    let none = |name: &str| field(name).is_some_and(|set| set.bytes().all(|byte| byte == b'0'));
    let held: Vec<&str> = ["CapEff", "CapPrm", "CapInh", "CapAmb"].into_iter().filter(|name| !none(name)).collect();
    let bound = none("CapBnd");
    let no_new = field("NoNewPrivs") == Some("1");
    let filtered = field("Seccomp") == Some("2");
    vec![
        if is_root {
            Finding::bad("confinement.user", "this is root").advise("runAsNonRoot: true, runAsUser: not 0")
        } else {
            Finding::ok("confinement.user", "not root")
        },
        match (held.is_empty(), bound) {
            (true, true) => Finding::ok("confinement.capabilities", "none"),
            (true, false) => Finding::warn("confinement.capabilities", "none are held, but some could be had")
                .advise("capabilities: { drop: [ALL] }"),
            (false, _) => Finding::bad("confinement.capabilities", format!("some are held ({})", held.join(", ")))
                .advise("capabilities: { drop: [ALL] }"),
        },
        if no_new {
            Finding::ok("confinement.no_new_privs", "set")
        } else {
            Finding::bad("confinement.no_new_privs", "not set: a setuid program could give more rights")
                .advise("allowPrivilegeEscalation: false")
        },
        if filtered {
            Finding::ok("confinement.seccomp", "a filter is in force")
        } else {
            Finding::warn("confinement.seccomp", "no filter is in force")
                .advise("seccompProfile: { type: RuntimeDefault }")
        },
    ]
}

fn root(root: &Path) -> Finding {
    const CHECK: &str = "confinement.root";
    match rustix::fs::statvfs(root) {
        Ok(found) if found.f_flag.contains(StatVfsMountFlags::RDONLY) => Finding::ok(CHECK, "mounted read-only"),
        Ok(_) => Finding::bad(CHECK, "the root file system can be written to").advise("readOnlyRootFilesystem: true"),
        Err(error) => Finding::warn(CHECK, format!("{}: {error}", root.display())),
    }
}

fn token(root: &Path) -> Finding {
    const CHECK: &str = "confinement.service_account";
    match TOKENS.iter().map(|path| root.join(path)).find(|path| fs::symlink_metadata(path).is_ok()) {
        Some(path) => {
            Finding::bad(CHECK, format!("{} is there", path.display())).advise("automountServiceAccountToken: false")
        }
        None => Finding::ok(CHECK, "no token"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Grade;
    use super::*;

    const GOOD: &str = "Name:\tx\nUid:\t1000\t1000\t1000\t1000\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                        CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    fn wrong(status: &str) -> Vec<(&'static str, Grade)> {
        let found = of_process(status).into_iter().filter(|finding| finding.grade != Grade::Ok);
        found.map(|finding| (finding.check, finding.grade)).collect()
    }

    #[test]
    fn a_confined_process_has_no_findings_and_each_lack_is_one() {
        assert_eq!(wrong(GOOD), []);
        for (from, to, check, grade) in [
            ("Uid:\t1000\t1000", "Uid:\t1000\t0", "confinement.user", Grade::Bad),
            ("CapEff:\t0000000000000000", "CapEff:\t0000000000000400", "confinement.capabilities", Grade::Bad),
            ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff", "confinement.capabilities", Grade::Warn),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "confinement.no_new_privs", Grade::Bad),
            ("Seccomp:\t2", "Seccomp:\t0", "confinement.seccomp", Grade::Warn),
        ] {
            assert!(GOOD.contains(from));
            assert_eq!(wrong(&GOOD.replace(from, to)), [(check, grade)], "{to}");
        }
    }

    #[test]
    fn what_the_kernel_does_not_say_is_not_taken_for_good() {
        let checks: Vec<&str> = wrong("").into_iter().map(|(check, _)| check).collect();
        let all = ["user", "capabilities", "no_new_privs", "seccomp"].map(|name| format!("confinement.{name}"));
        assert_eq!(checks, all);
    }

    #[test]
    fn a_service_accounts_token_is_found_also_as_a_link_to_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(token(folder.path()).grade, Grade::Ok);
        let path = folder.path().join(TOKENS[0]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("..data/token", &path).unwrap();
        assert_eq!(token(folder.path()).grade, Grade::Bad);
    }

    #[test]
    fn a_root_that_can_be_written_to_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(root(folder.path()).grade, Grade::Bad);
        // The kernel's own, which is mounted so in most containers, and can't be judged where it is not there.
        assert_eq!(root(Path::new("/nonexistent")).grade, Grade::Warn);
    }
}
