//! A process group: started, measured, and ended as a whole.

use super::{Ended, Limits};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group, setrlimit,
    waitid,
};
use std::cell::RefCell;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// How long the members of a killed group may take to go.
const GONE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How much a command gives way to others.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// A child that leads a group of its own, and whatever it starts.
#[derive(Debug)]
pub(super) struct Group {
    leader: RefCell<Child>,
    pid: Pid,
}

/// What a group takes at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processes and threads.
    pub(super) n_tasks: usize,
    /// Resident bytes; what processes share counts for each.
    pub(super) memory_bytes: u64,
}

impl Group {
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        Ok(Self { pid: Pid::from_child(&leader), leader: RefCell::new(leader) })
    }

    /// Whether the leader ended. It is not reaped: until then its number stays the group's.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        Ok(waitid(WaitId::Pid(self.pid), options)?.is_some())
    }

    /// Kills all that is left of the group and waits until it is gone; tells how the leader ended.
    pub(super) fn end(&self) -> io::Result<Ended> {
        let start = Instant::now();
        // In one step for all members: one that is being started meanwhile is killed with its parent.
        while kill_process_group(self.pid, Signal::KILL).is_ok()
            && self.members().any(|member| !member.is_dead)
            && start.elapsed() < GONE_WAIT_MAX
        {
            thread::sleep(Duration::from_millis(2));
        }
        let status = self.leader.borrow_mut().wait()?;
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exit(code),
            (None, signal) => Ended::Signal(signal.unwrap_or(0)),
        })
    }

    /// What it takes while nothing of it moves: measuring many members takes longer than making more of them.
    pub(super) fn usage_at_rest(&self) -> Usage {
        let _ = kill_process_group(self.pid, Signal::STOP);
        let usage = self.usage();
        let _ = kill_process_group(self.pid, Signal::CONT);
        usage
    }

    pub(super) fn usage(&self) -> Usage {
        self.members().fold(Usage::default(), |sum, member| Usage {
            n_tasks: sum.n_tasks + member.n_threads,
            memory_bytes: sum.memory_bytes + member.memory_bytes,
        })
    }

    fn members(&self) -> impl Iterator<Item = Member> {
        let group = self.pid.as_raw_nonzero().get();
        processes()
            .filter_map(|dir| std::fs::read_to_string(dir.join("stat")).ok())
            .filter_map(move |stat| Member::read(&stat).filter(|member| member.group == group))
    }
}

/// The directories of all processes.
fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered = entries.filter(|entry| {
        entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit)
    });
    numbered.map(|entry| entry.path())
}

/// Processes and threads of the whole machine (`proc_loadavg(5)`): one short read, however many there are.
pub(super) fn n_tasks_of_machine() -> Option<usize> {
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    load.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// A caller that gives up leaves nothing running.
impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.leader.borrow_mut().try_wait(), Ok(None)) {
            let _ = self.end();
        }
    }
}

struct Member {
    group: i32,
    n_threads: usize,
    memory_bytes: u64,
    is_dead: bool,
}

impl Member {
    /// From a line of `/proc/PID/stat` (`proc_pid_stat(5)`).
    fn read(stat: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let n_pages: u64 = fields.get(21)?.parse().ok()?;
        Some(Self {
            group: fields.get(2)?.parse().ok()?,
            n_threads: fields.get(17)?.parse().ok()?,
            memory_bytes: n_pages * rustix::param::page_size() as u64,
            is_dead: matches!(fields.first(), Some(&("Z" | "X"))),
        })
    }
}

/// Bounds what this process, and each that it becomes or starts, may take.
///
/// The kernel counts tasks by user, and not those of root at all; for root there is only the
/// watching, which therefore has to come first: the command is nicer than whoever watches it.
#[cfg(target_os = "linux")]
pub(super) fn limit(limits: Limits) -> io::Result<()> {
    rustix::process::nice(NICE)?;
    let n_tasks = (n_tasks_of_user() + limits.n_tasks) as u64;
    let bounds = [
        (Resource::Data, limits.memory_bytes),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Nproc, n_tasks),
        (Resource::Core, 0),
    ];
    for (resource, bound) in bounds {
        let allowed = getrlimit(resource).maximum.map_or(bound, |maximum| maximum.min(bound));
        setrlimit(resource, Rlimit { current: Some(allowed), maximum: Some(allowed) })?;
    }
    Ok(())
}

/// Processes and threads that the person has already.
#[cfg(target_os = "linux")]
fn n_tasks_of_user() -> usize {
    use std::os::unix::fs::MetadataExt;
    let user = rustix::process::getuid().as_raw();
    let own = processes().filter(|dir| dir.metadata().is_ok_and(|meta| meta.uid() == user));
    let stats = own.filter_map(|dir| std::fs::read_to_string(dir.join("stat")).ok());
    stats.filter_map(|stat| Member::read(&stat)).map(|member| member.n_threads).sum()
}

#[cfg(test)]
mod tests {
    use super::Member;

    #[test]
    fn a_name_with_blanks_and_parentheses_is_read_over() {
        let stat = "7 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 9 8192 5 18446744";
        let member = Member::read(stat).unwrap();
        assert_eq!((member.group, member.n_threads, member.is_dead), (42, 3, false));
        assert_eq!(member.memory_bytes, 5 * rustix::param::page_size() as u64);
        assert!(Member::read("7 (a) S 1").is_none());
    }
}
