//! What the hook has seen, so that it wakes once for each thing: a file, replaced whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::github::{Found, Pull};
use crate::files;

/// Identifiers that are remembered of one pull request at most.
const MOST: usize = 400;

/// Bytes of the file at most; a longer one is none of ours.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What was seen.
#[derive(Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Seen {
    /// As whom. Nothing was seen yet if it is empty.
    viewer: String,
    repositories: BTreeSet<String>,
    pulls: BTreeMap<String, Comments>,
    /// Not to ask before then.
    pub not_before: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
struct Comments {
    said: BTreeSet<String>,
    open: BTreeSet<String>,
}

/// What is new on a pull request.
#[derive(Debug, PartialEq, Eq)]
pub struct New {
    /// `owner/name`.
    pub repository: String,
    /// Its number.
    pub number: u64,
    /// Comments and reviews.
    pub comments: usize,
    /// Unresolved review threads in which others wrote.
    pub threads: usize,
}

impl Seen {
    /// Reads it. What can't be read is as if nothing had been seen.
    pub fn read(path: &Path) -> Self {
        let text = files::read_bounded(path, LARGEST).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// The disk.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        files::replace(path, &serde_json::to_vec(self)?, 0o600).map(drop)
    }

    /// Takes in what was found, and says what of it is new. Nothing is, the first time; nor in a repository that was not looked at
    /// before, nor for another account than before.
    pub fn take(&mut self, found: &Found, repositories: &[String]) -> Vec<New> {
        if self.viewer != found.viewer {
            *self = Seen { viewer: found.viewer.clone(), ..Seen::default() };
        }
        let mut new = Vec::new();
        let mut pulls = if found.is_complete { BTreeMap::new() } else { self.pulls.clone() };
        for pull in &found.pulls {
            let key = format!("{}#{}", pull.repository.to_ascii_lowercase(), pull.number);
            let before = self.pulls.get(&key).cloned().unwrap_or_default();
            if self.repositories.contains(&pull.repository.to_ascii_lowercase()) {
                new.extend(before.news_of(pull));
            }
            pulls.insert(key, before.with(pull));
        }
        self.pulls = pulls;
        self.repositories = repositories.iter().map(|repository| repository.to_ascii_lowercase()).collect();
        self.not_before = found.pause;
        new
    }
}

impl Comments {
    fn news_of(&self, pull: &Pull) -> Option<New> {
        let comments = pull.said.difference(&self.said).count();
        let threads: BTreeSet<&String> =
            pull.open.iter().filter(|(_, comment)| !self.open.contains(comment)).map(|(thread, _)| thread).collect();
        let new = New { repository: pull.repository.clone(), number: pull.number, comments, threads: threads.len() };
        (new.comments + new.threads > 0).then_some(new)
    }

    /// What was said stays seen, also when it is out of the page. A thread that was resolved is forgotten, so that it is new when
    /// somebody opens it again.
    fn with(self, pull: &Pull) -> Comments {
        let mut said = pull.said.clone();
        for id in self.said {
            if said.len() >= MOST {
                break;
            }
            said.insert(id);
        }
        Comments { said, open: pull.open.iter().map(|(_, comment)| comment.clone()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn pull(number: u64, said: &[&str], open: &[(&str, &str)]) -> Pull {
        Pull {
            repository: "acme/site".into(),
            number,
            said: said.iter().map(|id| (*id).to_owned()).collect(),
            open: open.iter().map(|(thread, id)| ((*thread).to_owned(), (*id).to_owned())).collect(),
        }
    }

    fn found(pulls: Vec<Pull>) -> Found {
        Found { viewer: "devbot".into(), pulls, is_complete: true, pause: None }
    }

    /// What is new, step by step: number, comments, threads.
    fn steps(steps: Vec<Found>) -> Vec<Vec<(u64, usize, usize)>> {
        let mut seen = Seen::default();
        let repositories = ["Acme/site".to_owned()];
        let one = |found: Found| {
            let new = seen.take(&found, &repositories);
            new.into_iter().map(|new| (new.number, new.comments, new.threads)).collect()
        };
        steps.into_iter().map(one).collect()
    }

    #[test]
    fn each_thing_is_new_once_and_nothing_is_the_first_time() {
        let told = steps(vec![
            found(vec![pull(1, &["a"], &[("t", "x")])]),
            found(vec![pull(1, &["a"], &[("t", "x")])]),
            found(vec![pull(1, &["a", "b"], &[("t", "x")])]),
            found(vec![pull(1, &["a", "b"], &[("t", "x"), ("t", "y"), ("u", "z"), ("u", "w")])]),
            found(vec![pull(1, &["a", "b"], &[("t", "x"), ("t", "y"), ("u", "z"), ("u", "w")])]),
            found(vec![pull(1, &["a", "b"], &[("t", "x")]), pull(2, &["c"], &[])]),
        ]);
        assert_eq!(told, [vec![], vec![], vec![(1, 1, 0)], vec![(1, 0, 2)], vec![], vec![(2, 1, 0)]]);
    }

    #[test]
    fn a_thread_that_is_opened_again_is_new_and_an_old_comment_is_not() {
        let told = steps(vec![
            found(vec![pull(1, &["a", "b"], &[("t", "x")])]),
            found(vec![pull(1, &["b"], &[])]),
            found(vec![pull(1, &["a", "b"], &[])]),
            found(vec![pull(1, &["a", "b"], &[("t", "x")])]),
        ]);
        assert_eq!(told, [vec![], vec![], vec![], vec![(1, 0, 1)]]);
    }

    #[test]
    fn what_was_not_looked_at_before_is_not_new() {
        let mut seen = Seen::default();
        let one = ["acme/site".to_owned()];
        assert!(seen.take(&found(vec![]), &["acme/other".to_owned()]).is_empty());
        assert!(seen.take(&found(vec![pull(1, &["a"], &[])]), &one).is_empty());
        let as_another = Found { viewer: "infrabot".into(), ..found(vec![pull(1, &["b"], &[])]) };
        assert!(seen.take(&as_another, &one).is_empty());
        assert_eq!(seen.take(&Found { viewer: "infrabot".into(), ..found(vec![pull(1, &["c"], &[])]) }, &one).len(), 1);
    }

    #[test]
    fn half_of_a_list_forgets_nothing() {
        let half = Found { is_complete: false, ..found(vec![pull(2, &["c"], &[])]) };
        let told = steps(vec![
            found(vec![pull(1, &["a"], &[]), pull(2, &["c"], &[])]),
            half,
            found(vec![pull(1, &["a"], &[]), pull(2, &["c"], &[])]),
        ]);
        assert_eq!(told, [vec![], vec![], vec![]]);
    }

    #[test]
    fn it_is_kept_in_a_file_and_one_that_is_none_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept/pr-comments.json");
        assert_eq!(Seen::read(&path), Seen::default());
        let mut seen = Seen::default();
        seen.take(&found(vec![pull(1, &["a"], &[("t", "x")])]), &["acme/site".to_owned()]);
        seen.write(&path).unwrap();
        assert_eq!(Seen::read(&path), seen);
        fs::write(&path, "{\"viewer\":").unwrap();
        assert_eq!(Seen::read(&path), Seen::default());
    }
}
