//! The system calls that serving takes, and no others.
//!
//! Three filters, of which the strictest answer counts: a list of what is allowed, everything else being an error
//! (`EPERM`); a few that must look as if the kernel did not have them (`ENOSYS`), so that libraries take their other way;
//! and those that no library tries by itself: whoever calls one of them has taken over the process, which is killed.
//!
//! The list was written from what the runtime, the C library and our own code are known to call. Traced with it in force, the
//! lab's suites of clients, names and records met no error but that of `clone3`; reloads, rotations and drain pass untraced. `docs/hardening.md` says how to find a call that is
//! missing in it.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Filters the calls of the calling thread and of those that it starts. Sets `no_new_privs` where it is not set yet.
pub(super) fn filter() -> Result<String, String> {
    let programs = programs().map_err(|error| error.to_string())?;
    for program in &programs {
        apply_filter(program).map_err(|error| error.to_string())?;
    }
    Ok(String::new())
}

fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let always = |calls: &[i64]| -> Rules { calls.iter().map(|&call| (call, Vec::new())).collect() };
    let mut allowed = always(ALLOWED);
    allowed.extend(always(OF_THIS_PROCESSOR));
    // Of two errors the later filter's is the one that is seen.
    allowed.extend(always(HIDDEN));
    allowed.extend(conditional()?);
    let compiled = [
        (always(KILLED), SeccompAction::Allow, SeccompAction::KillProcess),
        (always(HIDDEN), SeccompAction::Allow, enosys),
        // The list of what is allowed comes last: with it in force no further filter can be set.
        (allowed, eperm, SeccompAction::Allow),
    ];
    let arch = std::env::consts::ARCH.try_into()?;
    compiled
        .into_iter()
        .map(|(rules, other, listed)| SeccompFilter::new(rules, other, listed, arch)?.try_into())
        .collect()
}

/// Calls that are allowed with some arguments.
fn conditional() -> Result<Rules, seccompiler::BackendError> {
    let is = |at: u8, value: u64| SeccompCondition::new(at, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    let has = |at: u8, mask: u64, value: u64| {
        SeccompCondition::new(at, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)
    };
    let one_of = |at: u8, values: &[i64]| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        values.iter().map(|&value| SeccompRule::new(vec![is(at, value.unsigned_abs())?])).collect()
    };
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let not_executable = || -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        Ok(vec![SeccompRule::new(vec![has(2, executable, 0)?])?])
    };
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let own = i64::from(rustix::process::getpid().as_raw_nonzero().get());
    Ok(Rules::from([
        // No Unix socket (of a container runtime, say), no raw packet, no netlink, no vsock.
        (libc::SYS_socket, one_of(0, &[libc::AF_INET.into(), libc::AF_INET6.into()])?),
        // The runtime tells itself of signals that way.
        (libc::SYS_socketpair, one_of(0, &[libc::AF_UNIX.into()])?),
        // Threads, and no processes.
        (libc::SYS_clone, vec![SeccompRule::new(vec![has(0, thread, thread)?])?]),
        // No code but the program's own.
        (libc::SYS_mmap, not_executable()?),
        (libc::SYS_mprotect, not_executable()?),
        // Names of threads and of memory; nothing that would undo the lock-down.
        (libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME.into(), libc::PR_SET_VMA.into()])?),
        (libc::SYS_ioctl, one_of(1, &[FIONBIO, FIONREAD, FIOCLEX])?),
        // Ending itself; no signal to anybody else.
        (libc::SYS_tgkill, one_of(0, &[own])?),
    ]))
}

// The same on both processors; the C library's own constants differ in type from one to the other.
const FIONBIO: i64 = 0x5421;
const FIONREAD: i64 = 0x541b;
const FIOCLEX: i64 = 0x5451;

/// Allowed with any argument. Names that both processors have.
const ALLOWED: &[i64] = &[
    // Sockets. `listen` is not here: what is listened on was opened before.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // Files; which ones is for landlock to say.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchmod,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mremap,
    libc::SYS_munlock,
    libc::SYS_munmap,
    // Threads, time, randomness, signals to oneself, the end.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_membarrier,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// What a C library still calls by the older names that only this processor has.
#[cfg(target_arch = "x86_64")]
const OF_THIS_PROCESSOR: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OF_THIS_PROCESSOR: &[i64] = &[];

/// As if the kernel did not have them: `clone3` has its arguments in memory, where a filter can't look.
const HIDDEN: &[i64] = &[libc::SYS_clone3];

/// Nobody calls them by mistake.
const KILLED: &[i64] = &[
    // Running programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Looking into other processes, and taking what they hold.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Around file permissions.
    libc::SYS_open_by_handle_at,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Into the kernel.
    libc::SYS_bpf,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_filters_compile_and_no_call_is_in_two_of_them() {
        assert_eq!(programs().unwrap().len(), 3);
        let conditional: Vec<i64> = conditional().unwrap().into_keys().collect();
        let lists = [ALLOWED, OF_THIS_PROCESSOR, HIDDEN, KILLED, &conditional];
        let all: BTreeSet<i64> = lists.iter().flat_map(|list| list.iter().copied()).collect();
        assert_eq!(all.len(), lists.iter().map(|list| list.len()).sum::<usize>());
        assert!(!all.contains(&libc::SYS_listen), "nothing new is listened on");
    }
}
