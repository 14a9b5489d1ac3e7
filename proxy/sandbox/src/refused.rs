//! Why a sandbox could not be made, and what to do about it. Pure but for [`Circumstances::look`].

use std::fs;
use std::path::Path;

/// What the system says of user namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// `user.max_user_namespaces`.
    pub user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (Debian, older Ubuntu).
    pub unprivileged_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu since 23.10).
    pub apparmor_restricts: Option<u64>,
    /// Whether a container's own signs are there.
    pub in_container: bool,
    /// Whether the user is root.
    pub is_root: bool,
    /// The program, for a profile that names it.
    pub program: String,
}

impl Circumstances {
    /// Looks.
    #[must_use]
    pub fn look() -> Circumstances {
        let number = |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok();
        let signs = ["/.dockerenv", "/run/.containerenv", "/run/host/container-manager"];
        Circumstances {
            user_namespaces: number("user/max_user_namespaces"),
            unprivileged_clone: number("kernel/unprivileged_userns_clone"),
            apparmor_restricts: number("kernel/apparmor_restrict_unprivileged_userns"),
            in_container: signs.iter().any(|path| Path::new(path).exists())
                || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
            is_root: rustix::process::geteuid().is_root(),
            program: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        }
    }
}

/// The text for a person: what failed, why most likely, and the fix.
#[must_use]
pub fn explain(what: &str, number: i32, seen: &Circumstances) -> String {
    let head = format!("the sandbox could not be made: {what}");
    if ![libc::EPERM, libc::EACCES, libc::ENOSPC, libc::EUSERS, libc::ENOSYS, libc::EINVAL].contains(&number) {
        return head;
    }
    let fix = if seen.user_namespaces == Some(0) {
        "user namespaces are switched off (user.max_user_namespaces is 0). An administrator allows them with\n  \
         sysctl -w user.max_user_namespaces=15000\nand for good by a file in /etc/sysctl.d"
            .to_owned()
    } else if number == libc::ENOSPC || number == libc::EUSERS {
        "there are too many namespaces: raise user.max_user_namespaces and its sisters in /proc/sys/user".into()
    } else if seen.unprivileged_clone == Some(0) && !seen.is_root {
        "only root may make user namespaces (kernel.unprivileged_userns_clone is 0). An administrator allows them with\n  \
         sysctl -w kernel.unprivileged_userns_clone=1\nand for good by a file in /etc/sysctl.d"
            .into()
    } else if seen.apparmor_restricts.is_some_and(|value| value != 0) && !seen.is_root {
        format!(
            "AppArmor keeps programs that it has no profile for from using user namespaces \
             (kernel.apparmor_restrict_unprivileged_userns). An administrator allows this program by the file \
             /etc/apparmor.d/stubgate:\n  abi <abi/4.0>,\n  include <tunables/global>\n  profile stubgate {} \
             flags=(unconfined) {{\n    userns,\n  }}\nand `apparmor_parser -r /etc/apparmor.d/stubgate`",
            seen.program
        )
    } else if seen.in_container {
        "this is a container, which keeps its processes from making namespaces or from mounting /proc. Run it with \
         `--security-opt seccomp=unconfined --security-opt systempaths=unconfined` (Docker, Podman), or run stubgate as an \
         appliance beside it: docs/install"
            .into()
    } else {
        "this kernel or its administrator does not allow it: Linux 5.14 or newer with user, network, mount and pid namespaces and \
         seccomp is needed; docs/sandbox.md has the list"
            .into()
    };
    format!("{head}\n{fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Circumstances {
        Circumstances { program: "/usr/bin/stubgate".into(), ..Circumstances::default() }
    }

    fn told(number: i32, seen: &Circumstances) -> String {
        explain("new namespaces: no", number, seen)
    }

    #[test]
    fn each_cause_has_its_fix() {
        let off = Circumstances { user_namespaces: Some(0), unprivileged_clone: Some(0), ..seen() };
        assert!(told(libc::ENOSPC, &off).contains("user.max_user_namespaces=15000"));
        let debian = Circumstances { unprivileged_clone: Some(0), ..seen() };
        assert!(told(libc::EPERM, &debian).contains("unprivileged_userns_clone=1"));
        let ubuntu = Circumstances { apparmor_restricts: Some(1), unprivileged_clone: Some(1), ..seen() };
        let text = told(libc::EACCES, &ubuntu);
        assert!(text.contains("profile stubgate /usr/bin/stubgate flags=(unconfined)"), "{text}");
        let container = Circumstances { in_container: true, ..seen() };
        assert!(told(libc::EPERM, &container).contains("systempaths=unconfined"));
        assert!(told(libc::EPERM, &seen()).contains("Linux 5.14"));
    }

    #[test]
    fn root_is_not_told_of_what_binds_others() {
        let root = Circumstances { is_root: true, apparmor_restricts: Some(1), unprivileged_clone: Some(0), ..seen() };
        assert!(!told(libc::EPERM, &root).contains("sysctl"));
    }

    #[test]
    fn what_has_another_cause_is_not_explained_away() {
        assert_eq!(told(libc::ENOENT, &seen()), "the sandbox could not be made: new namespaces: no");
    }
}
