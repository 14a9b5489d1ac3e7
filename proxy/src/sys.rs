//! Memory that is wiped before it is given back, whoever used it; descriptors that are not passed on, whoever opened them; and
//! processes that have ended, whoever started them.
//!
//! The only unsafe code of this crate. A credential that is sent passes through buffers of the HTTP and TLS libraries; with
//! this allocator under all of them, none of its copies outlives the buffer that it stood in. Bytes are wiped when a block
//! is freed, moved or made shorter; what a block holds while it is in use is its owner's matter.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, io, ptr};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::process::Pid;

/// The first descriptor that is none of standard input, output and error.
const FIRST: i32 = 3;

/// Keeps every descriptor but the standard ones from programs that are run: also those that were there before this one.
///
/// # Errors
/// Where the system does not say which ones there are.
pub(crate) fn pass_on_nothing() -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        open.extend(number.filter(|fd| *fd >= FIRST));
    }
    for fd in open {
        // SAFETY: it is not kept, and neither read, written nor closed; one that is closed already is an error.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        // The one through which they were listed is closed by now.
        let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
    Ok(())
}

/// The first `count` descriptors behind the standard ones, which whoever started this process opened for it. Programs that
/// are run don't get them.
///
/// # Errors
/// Where one of them is not open, and where they were taken before.
pub(crate) fn take_descriptors(count: i32) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    for fd in FIRST..FIRST.saturating_add(count) {
        // SAFETY: it is not kept, and looked at only; one that is not open is an error.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl_getfd(fd)?;
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    // SAFETY: they are open, they were opened for this process before it began, so that nothing in it has them, and they are
    // taken once.
    Ok((FIRST..FIRST.saturating_add(count)).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect())
}

/// The time of the clock that service managers compare with; zero where the system has none.
pub(crate) fn monotonic() -> Duration {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the structure is there for the length of the call, and zeroes are one.
    let now = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr());
        now.assume_init()
    };
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// A child that has ended and has not been waited for, if there is one. It is left as it is.
pub(crate) fn ended_child() -> Option<Pid> {
    let mut found = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the structure is there for the length of the call, and zeroes are one. What is read of it is what such a call
    // fills in; where it finds nothing, the number is 0.
    let (answer, process) = unsafe {
        let answer = libc::waitid(libc::P_ALL, 0, found.as_mut_ptr(), options);
        (answer, found.assume_init().si_pid())
    };
    if answer == 0 { Pid::from_raw(process) } else { None }
}

/// An allocator that wipes blocks before it gives them back to another one.
#[derive(Debug, Default)]
pub struct Wiping<A>(pub A);

impl<A> Wiping<A> {
    /// Overwrites a block, in a way that is not left out because nobody reads it any more.
    ///
    /// # Safety
    /// `size` bytes from `start` belong to the caller, and can be written.
    unsafe fn wipe(start: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe { ptr::write_bytes(start, 0, size) };
        // Somebody might read it here.
        black_box(start);
    }
}

// SAFETY: every block comes from the inner allocator with the layout that it is given back with, and is written within its
// bounds only.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the inner allocator's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives up a block of this layout.
        unsafe {
            Self::wipe(block, layout.size());
            self.0.dealloc(block, layout);
        }
    }

    /// Always into a new block: the inner allocator would leave what it moved.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` is not 0, and does not overflow when rounded up to the alignment.
        let new = unsafe { self.0.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: two blocks that do not overlap, each at least this long; the old one is the caller's to give up.
            unsafe {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::sync::Mutex;

    use super::*;

    /// Looks at what it is given back.
    struct Looking(Mutex<Vec<Vec<u8>>>);

    // SAFETY: all is passed on.
    unsafe impl GlobalAlloc for Looking {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block is there until it is given back below.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) }.to_vec();
            self.0.lock().unwrap().push(bytes);
            // SAFETY: passed on.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn what_is_freed_or_moved_is_wiped_and_what_is_moved_is_kept() {
        let allocator = Wiping(Looking(Mutex::default()));
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: each block is used with the layout that it was made with, and given back once.
        unsafe {
            let block = allocator.alloc(layout(24));
            ptr::write_bytes(block, b'x', 24);
            let block = allocator.realloc(block, layout(24), 100);
            assert_eq!(std::slice::from_raw_parts(block, 24), [b'x'; 24]);
            let block = allocator.realloc(block, layout(100), 8);
            assert_eq!(std::slice::from_raw_parts(block, 8), [b'x'; 8]);
            allocator.dealloc(block, layout(8));
        }
        let freed = allocator.0.0.into_inner().unwrap();
        assert_eq!(freed.iter().map(Vec::len).collect::<Vec<_>>(), [24, 100, 8]);
        assert!(freed.iter().flatten().all(|byte| *byte == 0));
    }
}
