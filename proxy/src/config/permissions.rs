//! Who may write policy (PO-14). A file or folder of policy that every user of the machine can write to is no policy:
//! whoever gets to run anything there decides what agents may do.
//!
//! Sticky folders and symlinks are well: so Kubernetes mounts ConfigMaps. Groups are the operator's matter.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stubgate_policy::SourceFile;

const OTHERS_MAY_WRITE: u32 = 0o002;
/// Who may write to such a folder can't exchange what others have in it.
const STICKY: u32 = 0o1000;

/// The first of these files, or of the folders that they stand in, that every user can write to. `paths` are folders and
/// files as configured, `files` what was read from them.
pub fn open_to_all(paths: &[PathBuf], files: &[SourceFile]) -> Option<PathBuf> {
    let files = files.iter().map(|file| Path::new(&file.name));
    let all = paths.iter().map(PathBuf::as_path).chain(files);
    let mut with_folders = all.flat_map(|path| {
        let real = path.canonicalize().ok();
        let folders = [Some(path), real.as_deref()].into_iter().flatten().filter_map(Path::parent);
        let folders: Vec<PathBuf> = folders.filter(|folder| *folder != Path::new("")).map(Path::to_owned).collect();
        std::iter::once(path.to_owned()).chain(folders)
    });
    with_folders.find(|path| is_open(path))
}

fn is_open(path: &Path) -> bool {
    // What can't be looked at can't be read either, which is said elsewhere.
    let Ok(found) = fs::metadata(path) else { return false };
    let is_spared = found.is_dir() && found.mode() & STICKY != 0;
    found.mode() & OTHERS_MAY_WRITE != 0 && !is_spared
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_every_user_can_write_is_named_and_what_kubernetes_mounts_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir(base.join("..2026")).unwrap();
        fs::write(base.join("..2026/p.yaml"), "").unwrap();
        symlink("..2026", base.join("..data")).unwrap();
        symlink("..data/p.yaml", base.join("p.yaml")).unwrap();
        let file = SourceFile { name: base.join("p.yaml").display().to_string(), text: String::new() };
        let found = || open_to_all(&[base.to_owned()], std::slice::from_ref(&file));
        // As Kubernetes mounts it, and as a group that edits policy has it.
        for mode in [0o755, 0o1777, 0o3777, 0o775, 0o700] {
            set(base, mode);
            assert_eq!(found(), None, "{mode:o}");
        }
        for mode in [0o777, 0o702] {
            set(base, mode);
            assert_eq!(found(), Some(base.to_owned()), "{mode:o}");
        }
        set(base, 0o755);
        for mode in [0o664, 0o644, 0o400] {
            set(&base.join("..2026/p.yaml"), mode);
            assert_eq!(found(), None, "{mode:o}");
        }
        set(&base.join("..2026/p.yaml"), 0o666);
        assert_eq!(found(), Some(base.join("p.yaml")));
        set(&base.join("..2026/p.yaml"), 0o644);
        set(&base.join("..2026"), 0o777);
        assert_eq!(found(), Some(base.canonicalize().unwrap().join("..2026")));
    }
}
