//! Giving up rights for good, before a command takes over this process: Landlock says where it may
//! write, seccomp which doors of the kernel stay shut.
//!
//! Landlock (kernel 6.2 or later, for truncation) keeps all writes inside the tree and the temporary
//! directory, whatever path, link or rename leads there; where the kernel knows more of it, signals
//! and sockets of other processes are out of reach too. Seccomp refuses what Landlock does not see:
//! sockets, other processes' memory, new namespaces and mounts, and leaving the process group, by
//! which the command is counted and ended. Root keeps few capabilities. Both set `no_new_privs`: no program gains rights by its
//! set-user-id bit.

use super::Reach;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// What must be there, or there is no sandbox: writes and truncation.
const NEEDED: ABI = ABI::V3;
/// What is used where it is there.
const WANTED: ABI = ABI::V9;

/// Files outside the tree that everything expects to write.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"];

/// Closes the sandbox around this thread and all it becomes.
///
/// # Errors
/// What is missing, in words.
pub(super) fn close(root: &Path, tmp: &Path, reach: Reach) -> Result<(), String> {
    let status = landlock(root, tmp).map_err(|error| format!("Landlock: {error}"))?;
    if status == RulesetStatus::NotEnforced {
        return Err("the kernel has no Landlock, or it is switched off".to_owned());
    }
    drop_capabilities().map_err(|error| format!("capabilities: {error}"))?;
    seccomp(reach).map_err(|error| format!("seccomp: {error}"))
}

/// Leaves root what makes files its own, and nothing else: not the memory of others, for one, which
/// Landlock lets it read. With `no_new_privs` set no program that is started gets more.
fn drop_capabilities() -> io::Result<()> {
    let kept = CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID;
    let has = capabilities(None)?;
    let left = CapabilitySets {
        effective: has.effective & kept,
        permitted: has.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, left)?)
}

fn landlock(root: &Path, tmp: &Path) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::from_read(WANTED);
    let devices: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile;
    // No devices are made, and none is spoken to but those that stand there already.
    let own = AccessFs::from_all(WANTED) & !(AccessFs::MakeChar | AccessFs::MakeBlock);
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .set_compatibility(CompatLevel::BestEffort)
        .add_rules(path_beneath_rules(["/"], read))?
        .add_rules(path_beneath_rules([root, tmp], own))?
        .add_rules(path_beneath_rules(DEVICES, devices))?;
    Ok(created.restrict_self()?.ruleset)
}

fn seccomp(reach: Reach) -> Result<(), String> {
    let arch: TargetArch =
        std::env::consts::ARCH.try_into().map_err(|_| "not for this processor".to_owned())?;
    let install = |rules, errno: i32| {
        let refuse = SeccompAction::Errno(errno as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
        let program: seccompiler::BpfProgram = filter?.try_into()?;
        apply_filter(&program)
    };
    let rules = refused(reach).map_err(|error| error.to_string())?;
    install(rules, libc::EPERM).map_err(|error| error.to_string())?;
    // The C library then falls back to `clone`, whose flags can be seen.
    let unknown = everywhere([(libc::SYS_clone3, Vec::new())]);
    install(unknown, libc::ENOSYS).map_err(|error| error.to_string())
}

/// Calls that are refused, and for which arguments; for all of them where there is no rule.
fn refused(reach: Reach) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let whole = [
        // Other processes.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        // Out of the group, by which it is counted and ended.
        libc::SYS_setsid,
        libc::SYS_setpgid,
        // Other views of the file system, and ways around paths.
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_open_by_handle_at,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_mount_setattr,
        // Owners and attributes of files, which Landlock does not see.
        libc::SYS_chown,
        libc::SYS_fchown,
        libc::SYS_lchown,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        // The kernel itself.
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
    ];
    let mut rules: Vec<(i64, Vec<SeccompRule>)> =
        whole.into_iter().map(|call| (call, Vec::new())).collect();
    let is = |argument, operator, value| {
        let condition =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value as u64)?;
        Ok(condition)
    };
    let families: &[i32] = match reach {
        Reach::Tree => &[],
        _ => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
    };
    let others: Result<Vec<_>, seccompiler::BackendError> =
        families.iter().map(|&family| is(0, Ne, family)).collect();
    let others = others?;
    let socket = if others.is_empty() { Vec::new() } else { vec![SeccompRule::new(others)?] };
    rules.push((libc::SYS_socket, socket));
    // A pair is a pipe that goes both ways; it leads nowhere else.
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    let mut clone = Vec::new();
    for flag in namespaces {
        clone.push(SeccompRule::new(vec![is(0, MaskedEq(flag as u64), flag)?])?);
    }
    rules.push((libc::SYS_clone, clone));
    // Typing into the terminal.
    let mut ioctl = Vec::new();
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        ioctl.push(SeccompRule::new(vec![is(1, Eq, request as i32)?])?);
    }
    rules.push((libc::SYS_ioctl, ioctl));
    Ok(everywhere(rules))
}

/// The same for calls by their numbers in the x32 convention, which share the processor's name.
fn everywhere(
    rules: impl IntoIterator<Item = (i64, Vec<SeccompRule>)>,
) -> BTreeMap<i64, Vec<SeccompRule>> {
    const X32: i64 = 0x4000_0000;
    let both = |(call, rule): (i64, Vec<SeccompRule>)| [(call, rule.clone()), (call | X32, rule)];
    rules.into_iter().flat_map(both).collect()
}
