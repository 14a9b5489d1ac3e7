//! The filter of system calls that the command and all that it starts live under, as a program for the kernel.
//!
//! It lists what is refused, because what a command needs can't be known. What can't be told by numbers alone, where a Unix
//! socket leads, is asked of the process that watches over the sandbox (see [`crate::connect`]): `connect` is the only such
//! call, because a socket that takes an address with each message (a datagram of the Unix family) is not to be had.
//!
//! Pure: it makes a list of instructions.

use libc::{sock_filter, sock_filter as Instruction};

/// Offsets in what the kernel shows a filter.
const NUMBER: u32 = 0;
const PROCESSOR: u32 = 4;
const ARGUMENTS: u32 = 16;

#[cfg(target_arch = "x86_64")]
const THIS_PROCESSOR: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const THIS_PROCESSOR: u32 = 0xc000_00b7;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const HAS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
#[cfg(target_arch = "x86_64")]
const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// What is asked of an argument. Only the lower half of it is looked at, as the kernel does for all of these.
#[derive(Clone, Copy)]
enum Test {
    /// The argument, of it these bits, is this.
    Is(u8, u32, u32),
    /// It is not.
    Not(u8, u32, u32),
    /// It has one of these bits.
    Any(u8, u32),
}

const ALL: u32 = u32::MAX;
/// The bits of a socket's type; the others are flags.
const TYPE: u32 = 0xf;

/// New namespaces, however they are asked for.
const NAMESPACES: u32 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP)
    .unsigned_abs();
/// Only `unshare` has it; for `clone` these bits are a signal.
const NEW_TIME: u32 = 0x80;

/// Refused whatever their arguments are: as not permitted.
const REFUSED: &[i64] = &[
    // Other namespaces, and around the file system that there is.
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // Keys that were given to the user outside.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Into the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_syslog,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_lookup_dcookie,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

/// As if the kernel did not have them, so that libraries take their other way: `clone3` has its arguments in memory, where a
/// filter can't look, and `io_uring` connects without a call.
const HIDDEN: &[i64] =
    &[libc::SYS_clone3, libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// The terminal's input as if it had been typed, and its contents: `ioctl`s that only an attacker uses today.
const IOCTLS: [u32; 2] = [0x5412, 0x541c];

/// The program.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut made = Program(Vec::new());
    made.load(PROCESSOR);
    // Numbers of another processor mean other calls: 32-bit programs don't run.
    made.push(EQUAL, THIS_PROCESSOR, 1, 0);
    made.push(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0);
    made.load(NUMBER);
    #[cfg(target_arch = "x86_64")]
    {
        // The calls of x32 are those of this processor by other numbers.
        made.push(AT_LEAST, 0x4000_0000, 0, 1);
        made.push(RETURN, refusal(libc::ENOSYS), 0, 0);
    }
    for &call in REFUSED {
        made.refuse(call, &[], libc::EPERM);
    }
    for &call in HIDDEN {
        made.refuse(call, &[], libc::ENOSYS);
    }
    for request in IOCTLS {
        made.refuse(libc::SYS_ioctl, &[Test::Is(1, ALL, request)], libc::EPERM);
    }
    made.refuse(libc::SYS_clone, &[Test::Any(0, NAMESPACES)], libc::EPERM);
    made.refuse(libc::SYS_unshare, &[Test::Any(0, NAMESPACES | NEW_TIME)], libc::EPERM);
    sockets(&mut made);
    made.when(libc::SYS_connect, &[], libc::SECCOMP_RET_USER_NOTIF);
    made.push(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0);
    made.0
}

/// Streams of the Unix family, TCP and UDP, and the kernel's own tables of addresses and routes; nothing else, so that neither a
/// raw packet, nor a hypervisor, nor a cryptographic device, nor a datagram to a path can be spoken to.
fn sockets(made: &mut Program) {
    const UNIX: u32 = 1;
    const INET: u32 = 2;
    const INET6: u32 = 10;
    const NETLINK: u32 = 16;
    const STREAM: u32 = 1;
    const DATAGRAM: u32 = 2;
    const PACKETS_IN_ORDER: u32 = 5;
    const ROUTES: u32 = 0;
    const TCP: u32 = 6;
    const UDP: u32 = 17;
    let family = |family| Test::Is(0, ALL, family);
    let not_family = |family| Test::Not(0, ALL, family);
    let not_type = |kind| Test::Not(1, TYPE, kind);
    let known = [not_family(UNIX), not_family(INET), not_family(INET6), not_family(NETLINK)];
    made.refuse(libc::SYS_socket, &known, libc::EAFNOSUPPORT);
    made.refuse(libc::SYS_socketpair, &[not_family(UNIX)], libc::EAFNOSUPPORT);
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        made.refuse(call, &[family(UNIX), not_type(STREAM), not_type(PACKETS_IN_ORDER)], libc::EPERM);
    }
    for inet in [INET, INET6] {
        made.refuse(libc::SYS_socket, &[family(inet), not_type(STREAM), not_type(DATAGRAM)], libc::EPERM);
        // Other streams (SCTP, MPTCP) and datagrams (ICMP, UDP-Lite) are other roads through the kernel.
        for (kind, own) in [(STREAM, TCP), (DATAGRAM, UDP)] {
            let other = [family(inet), Test::Is(1, TYPE, kind), Test::Not(2, ALL, 0), Test::Not(2, ALL, own)];
            made.refuse(libc::SYS_socket, &other, libc::EPROTONOSUPPORT);
        }
    }
    made.refuse(libc::SYS_socket, &[family(NETLINK), Test::Not(2, ALL, ROUTES)], libc::EPERM);
}

fn refusal(error: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | error.unsigned_abs()
}

/// A program under construction. Between two parts of it the number of the call is at hand.
struct Program(Vec<Instruction>);

impl Program {
    fn push(&mut self, code: u32, k: u32, jt: usize, jf: usize) {
        self.0.push(instruction(code, k, jt, jf));
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, offset, 0, 0);
    }

    fn refuse(&mut self, call: i64, tests: &[Test], error: i32) {
        self.when(call, tests, refusal(error));
    }

    /// Returns `verdict` for this call where all tests hold.
    fn when(&mut self, call: i64, tests: &[Test], verdict: u32) {
        let mut body = Vec::new();
        // Three instructions a test, then the verdict: what has to be jumped over from behind each.
        let mut left = tests.len() * 3 + 1;
        for &test in tests {
            left -= 3;
            let (at, mask) = match test {
                Test::Is(at, mask, _) | Test::Not(at, mask, _) => (at, mask),
                Test::Any(at, mask) => (at, mask),
            };
            body.push(instruction(LOAD, ARGUMENTS + 8 * u32::from(at), 0, 0));
            body.push(instruction(AND, mask, 0, 0));
            body.push(match test {
                Test::Is(_, _, value) => instruction(EQUAL, value, 0, left),
                Test::Not(_, _, value) => instruction(EQUAL, value, left, 0),
                Test::Any(_, bits) => instruction(HAS, bits, 0, left),
            });
        }
        body.push(instruction(RETURN, verdict, 0, 0));
        // Numbers of calls are small.
        self.push(EQUAL, u32::try_from(call).unwrap_or(u32::MAX), 0, body.len());
        self.0.extend(body);
        if !tests.is_empty() {
            self.load(NUMBER);
        }
    }
}

fn instruction(code: u32, k: u32, jt: usize, jf: usize) -> Instruction {
    // Jumps span one part of the program: a dozen instructions.
    let short = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
    // Each is made of constants of eight bits.
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    Instruction { code, jt: short(jt), jf: short(jf), k }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would do with the program, for a call with these arguments.
    fn run(processor: u32, call: i64, arguments: [u64; 6]) -> u32 {
        let program = program();
        let mut data = Vec::new();
        data.extend(u32::try_from(call).unwrap().to_ne_bytes());
        data.extend(processor.to_ne_bytes());
        data.extend(0_u64.to_ne_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let (mut at, mut held) = (0, 0_u32);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            match u32::from(code) {
                LOAD => held = u32::from_ne_bytes(data[k as usize..k as usize + 4].try_into().unwrap()),
                AND => held &= k,
                EQUAL => at += jump(held == k),
                HAS => at += jump(held & k != 0),
                RETURN => return k,
                #[cfg(target_arch = "x86_64")]
                AT_LEAST => at += jump(held >= k),
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn call(call: i64, arguments: &[u64]) -> u32 {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        run(THIS_PROCESSOR, call, all)
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[test]
    fn connections_are_asked_about_and_ordinary_calls_are_not() {
        assert_eq!(call(libc::SYS_connect, &[3]), libc::SECCOMP_RET_USER_NOTIF);
        for ordinary in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat, libc::SYS_sendmsg, libc::SYS_kill] {
            assert_eq!(call(ordinary, &[1, 2, 3]), ALLOW, "{ordinary}");
        }
        assert_eq!(call(libc::SYS_ioctl, &[0, 0x5413]), ALLOW);
        assert_eq!(call(libc::SYS_clone, &[0x0120_0011]), ALLOW, "fork, as the C library does it");
        assert_eq!(call(libc::SYS_unshare, &[u64::from(libc::CLONE_FILES.unsigned_abs())]), ALLOW);
    }

    #[test]
    fn only_sockets_that_lead_nowhere_else_are_made() {
        let flags = u64::from((libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).unsigned_abs());
        for (family, kind, protocol) in
            [(1, 1, 0), (1, 5, 0), (2, 1, 6), (2, 2, 17), (10, 1, 0), (10, 2, 0), (16, 3, 0), (16, 2, 0)]
        {
            assert_eq!(call(libc::SYS_socket, &[family, kind | flags, protocol]), ALLOW, "{family} {kind}");
        }
        for family in (0..64).filter(|family| ![1, 2, 10, 16].contains(family)) {
            assert_eq!(call(libc::SYS_socket, &[family, 1, 0]), refusal(libc::EAFNOSUPPORT), "{family}");
        }
        for (family, kind, protocol) in
            [(1, 2, 0), (1, 3, 0), (2, 3, 1), (2, 10, 0), (10, 3, 58), (16, 3, 12), (16, 3, 4)]
        {
            assert_eq!(
                call(libc::SYS_socket, &[family, kind | flags, protocol]),
                refusal(libc::EPERM),
                "{family} {kind}"
            );
        }
        for (family, kind, protocol) in
            [(2, 1, 132), (10, 1, 262), (2, 2, 1), (10, 2, 58), (2, 2, 136), (2, 2, 6), (2, 1, 17)]
        {
            let expected = refusal(libc::EPROTONOSUPPORT);
            assert_eq!(
                call(libc::SYS_socket, &[family, kind | flags, protocol]),
                expected,
                "{family} {kind} {protocol}"
            );
        }
        assert_eq!(call(libc::SYS_socketpair, &[1, 1 | flags]), ALLOW);
        assert_eq!(call(libc::SYS_socketpair, &[1, 2 | flags]), refusal(libc::EPERM));
        assert_eq!(call(libc::SYS_socketpair, &[2, 1]), refusal(libc::EAFNOSUPPORT));
    }

    #[test]
    fn what_stands_in_the_upper_half_of_an_argument_hides_nothing() {
        let high = 1 << 40;
        assert_eq!(call(libc::SYS_ioctl, &[0, high | 0x5412]), refusal(libc::EPERM));
        assert_eq!(call(libc::SYS_socket, &[high | 2, high | 3]), refusal(libc::EPERM));
        assert_eq!(call(libc::SYS_clone, &[high | 0x1000_0000]), refusal(libc::EPERM));
    }

    #[test]
    fn namespaces_keys_and_rings_are_out_of_reach() {
        for bit in 0..32 {
            let refused = (NAMESPACES | NEW_TIME) & (1 << bit) != 0;
            let expected = if refused { refusal(libc::EPERM) } else { ALLOW };
            assert_eq!(call(libc::SYS_unshare, &[1 << bit]), expected, "bit {bit}");
        }
        for &number in REFUSED {
            assert_eq!(call(number, &[]), refusal(libc::EPERM), "{number}");
        }
        for &number in HIDDEN {
            assert_eq!(call(number, &[]), refusal(libc::ENOSYS), "{number}");
        }
    }

    #[test]
    fn other_processors_calls_are_no_way_around() {
        assert_eq!(run(0x4000_0003, 102, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(call(0x4000_0000 | libc::SYS_connect, &[3]), refusal(libc::ENOSYS));
    }

    #[test]
    fn no_jump_is_cut_short() {
        let program = program();
        let jumps = program.iter().enumerate().filter(|(_, one)| u32::from(one.code) & 7 == libc::BPF_JMP);
        for (at, one) in jumps {
            let furthest = at + 1 + usize::from(one.jt.max(one.jf));
            assert!(furthest < program.len() && one.jt < u8::MAX && one.jf < u8::MAX, "{at}");
        }
    }
}
