//! What the processes of a machine have in memory, read from outside while they run.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use crate::leak::Search;
use crate::node::Node;

/// A page of memory.
const PAGE: u64 = 4096;
/// The most that is read at once, which also bounds what a needle may straddle unseen: every piece begins with the end of
/// the one before.
const PIECE: u64 = 4 << 20;
/// More than the longest needle.
const OVERLAP: u64 = PAGE;

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Looked {
    /// Processes whose memory was read.
    pub processes: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was found, and in which process.
    pub found: Vec<String>,
}

/// Searches all memory that processes on a machine could have written, as far as it is present, by the name of their
/// program. One that ends meanwhile has no more to show.
pub fn search(node: &Node, program: &str, search: &Search) -> Looked {
    let mut looked = Looked::default();
    let here = fs::read_link(format!("/proc/{}/ns/net", node.pid())).expect("a live machine");
    let entries = fs::read_dir("/proc").expect("/proc").map_while(Result::ok);
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let name = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let is_it = name.file_name().is_some_and(|name| name.to_string_lossy().starts_with(program));
        if is_it && fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|net| net == here) {
            looked.processes += usize::from(process(pid, search, &mut looked).is_some());
        }
    }
    looked
}

fn process(pid: u32, search: &Search, looked: &mut Looked) -> Option<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut pages = File::open(format!("/proc/{pid}/pagemap")).ok()?;
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next()?, words.next()?);
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        if !rights.starts_with("rw") {
            continue;
        }
        for (start, end) in present(&mut pages, from, to) {
            let mut at = start;
            while at < end {
                let length = (end - at).min(PIECE);
                let mut piece = vec![0; usize::try_from(length).ok()?];
                if memory.read_exact_at(&mut piece, at).is_ok() {
                    looked.bytes += length;
                    looked.found.extend(search.bytes(&format!("memory of process {pid}"), &piece));
                }
                at += if at + length < end { length - OVERLAP } else { length };
            }
        }
    }
    Some(())
}

/// The parts of a range that are in memory or swapped out.
fn present(pages: &mut File, from: u64, to: u64) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut at = from;
    while at < to {
        let count = ((to - at) / PAGE).min(64 << 10);
        let mut entries = vec![0; usize::try_from(count * 8).unwrap_or_default()];
        let read = pages.seek(SeekFrom::Start(at / PAGE * 8)).and_then(|_| pages.read_exact(&mut entries));
        if read.is_err() {
            break;
        }
        for entry in entries.chunks_exact(8) {
            // Bits 63 and 62 of Linux's pagemap.
            if entry[7] & 0xc0 != 0 {
                match found.last_mut() {
                    Some((_, end)) if *end == at => *end += PAGE,
                    _ => found.push((at, at + PAGE)),
                }
            }
            at += PAGE;
        }
    }
    found
}
