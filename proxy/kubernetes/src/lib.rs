//! The pods of a cluster, by address: who has one now, as the API server tells.
//!
//! An address is a pod's only while that pod is known, alive and alone at it. So the [`Directory`] answers for less than the
//! API server says: pods on the host network, pods that have ended or are ending, and pods without an address are not in
//! it; an address of two pods is nobody's; and when too much time has passed since all that was known was surely true, it
//! answers for none (law 5). Each stay of a pod at its addresses has a number that is never given again, so that a
//! connection can be told from one that another pod opens from the same address later.
//!
//! It asks for pods and nothing else (`list` and `watch`), keeps of each only what tells who it is, and writes nothing to
//! the cluster. Who is which agent is not for it to say: that is policy's.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod access;
mod directory;
mod lines;
mod list;
mod pod;
mod watch;
mod wire;

pub use access::{Access, Error};
pub use directory::{At, Clock, Counts, Directory, PodEntry};
pub use lines::{Event, Lines, What};
pub use list::{NotPods, list, read};
pub use pod::{Labels, ListedPod, Sighting};
pub use watch::{Settings, watch};
