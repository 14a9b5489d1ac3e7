//! The corpus of `tests/attacks`, run over every way in that a case applies to.
//!
//! A case is a file: what is sent, and what must come of it. After every run of every case the oracles of
//! [`run`] are asked too. `tests/attacks/README.md` is the format for those who write cases.

mod bytes;
mod case;
mod dns;
mod frames;
pub(crate) mod hello;
mod run;
mod watch;
mod ways;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use case::Case;
use run::Bench;
use ways::By;

/// Appliances that work on the corpus side by side, each with an origin and records of its own.
const BENCHES: usize = 4;
/// The longest that one run may take; a case has no business to be slow.
const LONGEST: Duration = Duration::from_secs(20);

/// A case on a way, with what went wrong.
type Outcome = (String, Vec<(By, Option<String>)>, Option<String>);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attacks")
}

/// Every case, by its name: `smuggling/cl-te`.
fn cases() -> Vec<(String, Case)> {
    let mut found = Vec::new();
    for class in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        if !class.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&class).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.strip_prefix(folder()).unwrap().with_extension("").display().to_string();
            assert_eq!(file.extension().unwrap(), "yaml", "{name}: only cases stand here");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("# "), "{name}: its source must stand on top");
            found.push((name.clone(), Case::read(&name, text)));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_of_the_corpus_over_every_way_in() {
    let begun = Instant::now();
    let only = std::env::var("STUBGATE_ATTACK").unwrap_or_default();
    let all: VecDeque<(String, Case)> = cases().into_iter().filter(|(name, _)| name.contains(&only)).collect();
    let count = all.len();
    let queue = Arc::new(Mutex::new(all));
    let workers: Vec<_> = (0..BENCHES)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move { work(&queue).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for worker in workers {
        outcomes.extend(worker.await.unwrap());
    }
    outcomes.sort();
    let (mut runs, mut failed, mut gaps) = (0, Vec::new(), Vec::new());
    for (name, ways, gap) in &outcomes {
        let marks: Vec<String> =
            ways.iter().map(|(by, wrong)| format!("{by}{}", if wrong.is_some() { " FAILED" } else { "" })).collect();
        println!("{name}: {}", marks.join(", "));
        runs += ways.len();
        let wrong: Vec<String> =
            ways.iter().filter_map(|(by, wrong)| Some(format!("{name} by {by}: {}", wrong.as_ref()?))).collect();
        match gap {
            None => failed.extend(wrong),
            Some(gap) if wrong.is_empty() => println!("  passes now; `known_gap` can go: {gap}"),
            Some(gap) => gaps.push(format!("{name}: {gap}")),
        }
    }
    println!("{count} cases, {runs} runs, {} known gaps, in {:?}", gaps.len(), begun.elapsed());
    for gap in &gaps {
        println!("known gap: {gap}");
    }
    assert!(failed.is_empty(), "{} of {runs} runs failed:\n{}", failed.len(), failed.join("\n"));
    assert!(!only.is_empty() || count >= 150, "a corpus of {count}");
}

/// Takes cases until none is left. A bench on which something went wrong is not used again.
async fn work(queue: &Mutex<VecDeque<(String, Case)>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut bench = Arc::new(Bench::new().await);
    loop {
        let Some((name, case)) = queue.lock().unwrap().pop_front() else { return outcomes };
        let case = Arc::new(case);
        let mut ways = Vec::new();
        for by in case.ways() {
            let (on, this) = (Arc::clone(&bench), Arc::clone(&case));
            let mut running = tokio::spawn(async move { on.run(&this, by).await });
            let wrong = match tokio::time::timeout(LONGEST, &mut running).await {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(wrong))) => Some(wrong),
                Ok(Err(panicked)) => Some(panicked.to_string()),
                Err(_) => {
                    running.abort();
                    Some("it did not end".into())
                }
            };
            if wrong.is_some() {
                bench = Arc::new(Bench::new().await);
            }
            ways.push((by, wrong));
        }
        outcomes.push((name, ways, case.known_gap.clone()));
    }
}
