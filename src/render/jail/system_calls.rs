//! What a render asks of the kernel: seccomp.
//!
//! Two filters, of which the stricter answer counts: one refuses by name what a hostile render would try first, so that
//! its complaint reads as what it is; the other lets in what programs need, and answers all else as if the kernel did
//! not have it, which every program can live with.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

use super::{Cell, JailError};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Sockets, and making processes (threads are let in below).
const REFUSED: &[c_long] = &[libc::SYS_socket, libc::SYS_socketpair];
/// The same where a processor has calls of its own for it.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[libc::SYS_fork, libc::SYS_vfork];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// What programs need to start, read files, compute and print.
const NEEDED: &[c_long] = &[
    libc::SYS_execve,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Files that are open, and opening them: Landlock says which.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fchdir,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_ioctl,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_chdir,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_futex,
    libc::SYS_getitimer,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_restart_syscall,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_settime,
    libc::SYS_wait4,
    libc::SYS_waitid,
    // Threads and signals.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_get_robust_list,
    libc::SYS_gettid,
    libc::SYS_prctl,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    // Who am I.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_uname,
];
/// The older calls of the same meaning, where a processor has them.
#[cfg(target_arch = "x86_64")]
const NEEDED_HERE: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getcpu,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const NEEDED_HERE: &[c_long] = &[];

/// From here on, this process makes no sockets and no processes, and sends no signal to another.
pub(super) fn restrict(_: &Cell) -> Result<(), JailError> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| {
        JailError::Unsupported(
            "system calls cannot be filtered on this processor: x86-64, ARM64 and RISC-V are known",
        )
    })?;
    let refused = |error: seccompiler::Error| JailError::Refused {
        what: "the filter of system calls (seccomp)",
        reason: error.to_string(),
    };
    let compile = |rules, other, matching| -> Result<BpfProgram, JailError> {
        SeccompFilter::new(rules, other, matching, architecture)
            .and_then(BpfProgram::try_from)
            .map_err(|error| refused(error.into()))
    };
    let by_name = compile(
        refusals()?,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EACCES.unsigned_abs()),
    )?;
    let lets_in = compile(
        needs()?,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
    )?;
    for filter in [by_name, lets_in] {
        apply_filter(&filter).map_err(|error| match error {
            seccompiler::Error::Prctl(_) | seccompiler::Error::Seccomp(_) => JailError::Unsupported(
                "this kernel cannot filter system calls: seccomp is missing (CONFIG_SECCOMP_FILTER)",
            ),
            other => refused(other),
        })?;
    }
    Ok(())
}

fn refusals() -> Result<Rules, JailError> {
    let mut rules: Rules = REFUSED
        .iter()
        .chain(REFUSED_HERE)
        .map(|call| (*call, Vec::new()))
        .collect();
    // `clone` without CLONE_THREAD makes a process.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![rule(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
    Ok(rules)
}

fn needs() -> Result<Rules, JailError> {
    let mut rules: Rules = NEEDED
        .iter()
        .chain(NEEDED_HERE)
        // Those are let in here because the other filter answers for them.
        .chain(REFUSED)
        .chain(REFUSED_HERE)
        .chain(&[libc::SYS_clone])
        .map(|call| (*call, Vec::new()))
        .collect();
    // Executing another program in one's place keeps the process id.
    let own = u64::from(std::process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        rules.insert(call, vec![rule(0, SeccompCmpOp::Eq, own)?]);
    }
    // Limits may be read, and not be changed.
    rules.insert(libc::SYS_prlimit64, vec![rule(2, SeccompCmpOp::Eq, 0)?]);
    Ok(rules)
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, JailError> {
    let length = if argument == 0 {
        SeccompCmpArgLen::Dword
    } else {
        SeccompCmpArgLen::Qword
    };
    SeccompCondition::new(argument, length, operator, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(|error| JailError::Refused {
            what: "the filter of system calls (seccomp)",
            reason: error.to_string(),
        })
}
