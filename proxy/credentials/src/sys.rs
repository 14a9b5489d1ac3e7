//! Memory for secrets: pages of their own that are never swapped out or dumped, wiped before they are given back.
//!
//! The only unsafe code of this crate. Where the system does not allow locking (`RLIMIT_MEMLOCK`), the pages are used
//! without it and counted, so that the appliance can say so; wiping does not depend on it.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap};
use zeroize::{Zeroize, Zeroizing};

/// Secrets that live in memory which is not locked.
static UNLOCKED: AtomicUsize = AtomicUsize::new(0);

/// How many secrets could be swapped out, because the system did not let their memory be locked.
pub fn unlocked_secrets() -> usize {
    UNLOCKED.load(Ordering::Relaxed)
}

/// Whether memory can be locked at all, tried with one page.
///
/// # Errors
/// What the system says against it.
pub fn try_lock_memory() -> io::Result<()> {
    let pages = Pages::new(1)?;
    if pages.is_locked { Ok(()) } else { Err(io::Error::from_raw_os_error(rustix::io::Errno::NOMEM.raw_os_error())) }
}

/// Bytes of one secret. Never moved or grown, so that there is one copy.
pub(crate) struct Kept(Place);

enum Place {
    Pages(Pages),
    /// Where there was no room for pages of its own.
    Heap(Zeroizing<Box<[u8]>>),
}

impl Kept {
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let place = match Pages::new(bytes.len()) {
            Ok(mut pages) => {
                pages.bytes_mut().copy_from_slice(bytes);
                Place::Pages(pages)
            }
            Err(_) => Place::Heap(Zeroizing::new(Box::from(bytes))),
        };
        let kept = Self(place);
        if !kept.is_locked() {
            UNLOCKED.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Place::Pages(pages) => pages.bytes(),
            Place::Heap(bytes) => bytes,
        }
    }

    fn is_locked(&self) -> bool {
        matches!(&self.0, Place::Pages(pages) if pages.is_locked)
    }
}

impl Zeroize for Kept {
    fn zeroize(&mut self) {
        match &mut self.0 {
            Place::Pages(pages) => pages.bytes_mut().zeroize(),
            Place::Heap(bytes) => bytes.iter_mut().zeroize(),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_locked() {
            UNLOCKED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A mapping of whole pages that belongs to one value.
struct Pages {
    start: NonNull<u8>,
    /// Bytes in use, from the start.
    length: usize,
    /// Bytes mapped.
    size: usize,
    is_locked: bool,
}

// SAFETY: the mapping belongs to this value alone, like the buffer of a box.
unsafe impl Send for Pages {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Pages {}

impl Pages {
    fn new(length: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let size = length.max(1).checked_next_multiple_of(page).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: an anonymous mapping at a place that the kernel chooses overlaps nothing.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) }?;
        // From here on `Drop` gives it back.
        let mut pages = Self {
            start: NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            length,
            size,
            is_locked: false,
        };
        // SAFETY: the whole mapping and nothing else.
        pages.is_locked = unsafe { mlock(start, size) }.is_ok();
        // A dump and a child have it not. Neither is to be had anyway, so that a kernel without it does no harm.
        // SAFETY: as above; the advice does not change the content.
        let _ = unsafe { madvise(start, size, Advice::LinuxDontDump) };
        // SAFETY: as above.
        let _ = unsafe { madvise(start, size, Advice::LinuxDontFork) };
        Ok(pages)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and zeroed by the kernel, `length` is not above `size`, and lives as long as `self`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.bytes_mut().zeroize();
        // SAFETY: the mapping that `new` made, which nothing refers to any more. Unmapping unlocks.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says of the mapping that holds an address.
    fn flags(address: *const u8) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let wanted = address as usize;
        let mut is_it = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(from, to)| (number(from), number(to))) {
                is_it = (from..to).contains(&wanted);
            } else if is_it && line.starts_with("VmFlags:") {
                return format!("{line} ");
            }
        }
        panic!("no mapping at {address:?}");
    }

    #[test]
    fn a_secret_lies_in_locked_pages_of_its_own_that_no_dump_has() {
        let kept = Kept::copy_of(b"real-secret-0123456789");
        assert_eq!(kept.bytes(), b"real-secret-0123456789");
        let flags = flags(kept.bytes().as_ptr());
        assert!(flags.contains(" dd "), "{flags}");
        assert!(flags.contains(" dc "), "{flags}");
        assert_eq!(flags.contains(" lo "), kept.is_locked(), "{flags}");
        assert_eq!(kept.is_locked(), try_lock_memory().is_ok());
    }

    #[test]
    fn what_is_wiped_is_gone_in_pages_and_on_the_heap() {
        for mut kept in [Kept::copy_of(&[b'x'; 8192]), Kept(Place::Heap(Zeroizing::new(Box::from([b'x'; 8192]))))] {
            if !kept.is_locked() {
                UNLOCKED.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(kept.bytes(), [b'x'; 8192]);
            kept.zeroize();
            assert_eq!(kept.bytes(), [0; 8192]);
        }
    }
}
