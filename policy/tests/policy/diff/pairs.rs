//! Pairs of small policies, with what differs as people see it.

use std::path::Path;

use stubgate_policy::SourceFile;
use stubgate_policy::diff::Diff;

use crate::support::policy_of;

fn files(folder: &Path, side: &str) -> Vec<SourceFile> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(side));
    paths.sort();
    let file = |path: &std::path::PathBuf| SourceFile {
        name: path.display().to_string(),
        text: std::fs::read_to_string(path).unwrap(),
    };
    paths.iter().map(file).collect()
}

#[test]
fn pairs_differ_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/diff");
    let mut pairs: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pairs.retain(|path| {
        path.is_dir() && path.file_name().unwrap().to_str().unwrap().starts_with(|c: char| c.is_ascii_digit())
    });
    pairs.sort();
    assert!(pairs.len() >= 25);
    for pair in pairs {
        let diff = Diff::between(&policy_of(&files(&pair, "old")), &policy_of(&files(&pair, "new")));
        insta::assert_snapshot!(pair.file_name().unwrap().to_str().unwrap(), diff.human(false));
    }
}
