use super::*;
use crate::sources::read_now;

fn why(path: &Path) -> String {
    match read_now(&Source::File(path.into()).into()) {
        Ok(_) => "good".into(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn reads_a_file_whole_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    assert!(why(&path).starts_with("cannot be read"));
    for (content, expected) in [
        (&b"ghp_0123456789\n"[..], "good"),
        (b"", "is empty"),
        (b"short", "is shorter"),
        (&[b'a'; 8192], "good"),
        (&[b'a'; 8193], "is longer"),
        (&[b'a'; 100_000], "is longer"),
        (b"two\nlines\n", "has a line break"),
    ] {
        std::fs::write(&path, content).unwrap();
        assert!(why(&path).starts_with(expected), "{} for {} bytes", why(&path), content.len());
    }
}

#[test]
fn takes_regular_files_only() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(why(folder.path()), "is not a regular file");
    assert_eq!(why(Path::new("/dev/zero")), "is not a regular file");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert_eq!(why(&socket), "is not a regular file");
}

#[test]
fn follows_symlinks_as_kubernetes_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("..2026")).unwrap();
    std::fs::write(folder.path().join("..2026/github"), "ghp_0123456789").unwrap();
    std::os::unix::fs::symlink("..2026", folder.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/github", folder.path().join("github")).unwrap();
    assert_eq!(why(&folder.path().join("github")), "good");
}

#[test]
fn a_file_is_exposed_where_neither_its_mode_nor_a_folder_keeps_others_out() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "ghp_0123456789").unwrap();
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for (of_folder, of_file, expected) in
        [(0o755, 0o644, true), (0o711, 0o604, true), (0o700, 0o644, false), (0o755, 0o640, false)]
    {
        set(folder.path(), of_folder);
        set(&path, of_file);
        assert_eq!(is_exposed(&Source::File(path.as_path().into())), expected, "{of_folder:o} {of_file:o}");
    }
    set(folder.path(), 0o755);
    set(&path, 0o644);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("secret", &link).unwrap();
    assert!(!is_exposed(&Source::File(link.into())), "as Kubernetes mounts it");
    assert!(!is_exposed(&Source::File(folder.path().join("missing").into())));
    assert!(!is_exposed(&Source::Env("PATH".into())));
}

#[tokio::test]
async fn a_file_whose_reading_hangs_is_not_read_a_second_time_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "ghp_0123456789").unwrap();
    let file = File::new(&path, None);
    file.is_busy.store(true, Ordering::Release);
    assert!(matches!(file.fetch().await, Err(SourceError::Stuck)));
    file.is_busy.store(false, Ordering::Release);
    for _ in 0..2 {
        assert_eq!(file.fetch().await.ok().unwrap().secret.reveal(), b"ghp_0123456789");
    }
}
