//! From root to an unprivileged user, once the sockets are open.
//!
//! Only where `process.user` says so. The operator's own CA key and the sockets are opened before, as other daemons do, so
//! that the user needs no right to them; everything after is opened as the user, so that what can't be opened anew later
//! can't be opened at the start either.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::privileges;
use crate::config::User;

/// Whom the process becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    user: u32,
    group: u32,
    groups: Vec<u32>,
}

impl Identity {
    /// Finds a user among those of the machine. Directories of users beyond `/etc/passwd` are not asked.
    ///
    /// # Errors
    /// Where there is no such user, or it is root by another name.
    pub fn find(user: &User) -> anyhow::Result<Self> {
        match user {
            User::Numbers { user, group } => Ok(Identity { user: *user, group: *group, groups: Vec::new() }),
            User::Name(name) => {
                let passwd = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
                // A user without further groups needs no file of them.
                let group = fs::read_to_string("/etc/group").unwrap_or_default();
                named(name, &passwd, &group)
            }
        }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.user
    }

    /// Becomes this user for good. Sets of the calling thread, which must be the only one.
    ///
    /// # Errors
    /// Where the process is neither root nor this user already.
    pub fn assume(&self) -> anyhow::Result<()> {
        let now = geteuid();
        if now.as_raw() == self.user {
            return Ok(());
        }
        if !now.is_root() {
            bail!(
                "process.user names user {}, but stubgate runs as {}, who may not change that",
                self.user,
                now.as_raw()
            );
        }
        if !super::is_alone() {
            bail!("the user can't be changed while other threads run");
        }
        // While the capability to do so is there.
        privileges::empty_bounding_set();
        let groups: Vec<Gid> = self.groups.iter().map(|&group| Gid::from_raw(group)).collect();
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
        set_thread_groups(&groups).context("setting the groups of process.user")?;
        set_thread_res_gid(group, group, group).context("setting the group of process.user")?;
        set_thread_res_uid(user, user, user).context("changing to process.user")?;
        // There must be no way back.
        if set_thread_res_uid(None, Uid::ROOT, None).is_ok() {
            bail!("the change to process.user could be undone");
        }
        Ok(())
    }

    /// Makes a folder of mode 0700 that is this user's, with what is missing above it. One that is there stays as it is.
    ///
    /// # Errors
    /// Where it can't be made.
    pub fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).create(above)?;
        }
        fs::DirBuilder::new().mode(0o700).create(path)?;
        if geteuid().is_root() {
            std::os::unix::fs::lchown(path, Some(self.user), Some(self.group))?;
        }
        Ok(())
    }
}

fn named(name: &str, passwd: &str, group: &str) -> anyhow::Result<Identity> {
    let entry =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|entry| entry.first() == Some(&name));
    let entry = entry.ok_or_else(|| anyhow!("process.user: /etc/passwd has no user `{name}`"))?;
    let number = |at: usize| entry.get(at).and_then(|text| text.parse::<u32>().ok());
    let (Some(user), Some(own)) = (number(2), number(3)) else { bail!("process.user: /etc/passwd is odd at `{name}`") };
    if user == 0 || own == 0 {
        bail!("process.user: `{name}` is root, or of its group");
    }
    let mut groups = vec![own];
    for line in group.lines() {
        let entry: Vec<&str> = line.split(':').collect();
        let is_member = entry.get(3).is_some_and(|members| members.split(',').any(|member| member == name));
        // Membership in root's group would open what belongs to root.
        let id = entry.get(2).and_then(|text| text.parse::<u32>().ok()).filter(|&id| id != 0 && id != own);
        if let (true, Some(id)) = (is_member, id) {
            groups.push(id);
        }
    }
    Ok(Identity { user, group: own, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nwheel:x:7:0::/:\n\
                          stubgate:x:990:985:,,,:/nonexistent:/usr/sbin/nologin\nodd:x\n";
    const GROUP: &str = "root:x:0:stubgate\nstubgate:x:985:stubgate\nsecrets:x:44:www,stubgate\nother:x:45:stubgates\n";

    #[test]
    fn a_user_is_found_with_its_groups_but_not_roots() {
        let found = named("stubgate", PASSWD, GROUP).unwrap();
        assert_eq!(found, Identity { user: 990, group: 985, groups: vec![985, 44] });
        assert_eq!(named("stubgate", PASSWD, "").unwrap().groups, [985]);
    }

    #[test]
    fn a_user_that_is_missing_odd_or_root_by_another_name_is_refused() {
        for name in ["nobody", "odd", "toor", "wheel", "root", ""] {
            assert!(named(name, PASSWD, GROUP).is_err(), "{name}");
        }
    }
}
