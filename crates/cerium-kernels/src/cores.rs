//! The processors that this process may use, and which of them share a core.
//!
//! Two threads of one core share its vector units and its way to memory: a second one brings next to
//! nothing to work that keeps both busy.

use std::num::NonZero;
use std::{fs, thread};

/// Physical cores that this process may use: within its affinity and, rounded down, its share of the
/// processors' time; at least one.
pub fn n_cores() -> usize {
    let (_, n_cores) = spread(&allowed(), siblings);
    // The standard library knows the affinity and the control group's quota.
    let n_processors = thread::available_parallelism().map_or(1, NonZero::get);
    if n_cores == 0 { n_processors } else { n_cores.min(n_processors) }
}

/// The `i`-th processor to use: one of every core, then their siblings.
pub(crate) fn processor(i: usize) -> Option<usize> {
    spread(&allowed(), siblings).0.get(i).copied()
}

/// Orders processors so that those which share a core with an earlier one come last; and counts the
/// others.
fn spread(allowed: &[usize], siblings: impl Fn(usize) -> Option<String>) -> (Vec<usize>, usize) {
    // Siblings name the same list; whoever names none shares with nobody.
    let (mut first, mut rest, mut cores) = (Vec::new(), Vec::new(), Vec::new());
    for &processor in allowed {
        let core = siblings(processor);
        if core.is_some() && cores.contains(&core) {
            rest.push(processor);
        } else {
            first.push(processor);
            cores.push(core);
        }
    }
    let n_cores = first.len();
    first.extend(rest);
    (first, n_cores)
}

/// The list of processors that share this one's core.
fn siblings(processor: usize) -> Option<String> {
    let dir = format!("/sys/devices/system/cpu/cpu{processor}/topology");
    fs::read_to_string(dir + "/thread_siblings_list").ok()
}

#[cfg(target_os = "linux")]
fn allowed() -> Vec<usize> {
    // SAFETY: an empty set is a valid one, and the call only writes to the set passed to it.
    let (refused, set) = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        (libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set), set)
    };
    let is_allowed = |&processor: &usize| {
        // SAFETY: `processor` is below the size of the set.
        refused == 0 && unsafe { libc::CPU_ISSET(processor, &set) }
    };
    (0..libc::CPU_SETSIZE as usize).filter(is_allowed).collect()
}

#[cfg(not(target_os = "linux"))]
fn allowed() -> Vec<usize> {
    Vec::new()
}

/// Binds the calling thread to one processor, where the system allows.
#[cfg(target_os = "linux")]
pub(crate) fn bind_to(processor: usize) {
    // SAFETY: an empty set is a valid one, `processor` came from a set of this size, and the call only
    // reads it; a refusal leaves the thread where the scheduler puts it.
    unsafe {
        let mut only: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut only);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const only);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_to(_processor: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_come_last_and_do_not_count() {
        let pairs = |processor: usize| Some(format!("{},{}", processor % 4, processor % 4 + 4));
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(spread(&all, pairs), (all.clone(), 4));
        // As some machines number them, and with a part of them forbidden.
        let neighbours = |processor: usize| Some(format!("{}-{}", processor & !1, processor | 1));
        assert_eq!(spread(&all, neighbours), (vec![0, 2, 4, 6, 1, 3, 5, 7], 4));
        assert_eq!(spread(&[1, 2, 3, 7], neighbours), (vec![1, 2, 7, 3], 3));
        // Where the system does not say.
        assert_eq!(spread(&all, |_| None), (all, 8));
        assert_eq!(spread(&[], pairs), (vec![], 0));
    }

    #[test]
    fn there_is_at_least_one_core_and_no_more_than_processors() {
        let n = n_cores();
        assert!(n >= 1 && n <= thread::available_parallelism().unwrap().get());
    }
}
