//! A team of threads that share the loops of one forward pass.
//!
//! The caller is a member: `Team::new(1)` starts no thread. Workers take items from a shared
//! counter, so a slower core simply takes fewer, and a worker that another process keeps from running
//! is not waited for; what an item computes never depends on who takes it. Between loops a worker
//! spins for some ten microseconds, then sleeps until the next one.

use crate::cores;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};

/// How often a waiting thread looks before it sleeps: about 20 us of `spin_loop`.
const SPINS: usize = 2_000;

/// Threads that run loops together.
pub struct Team {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One loop at a time; a second caller waits.
    turn: Mutex<()>,
}

struct Shared {
    /// The current loop: its number above, then whether it is closed, then how many workers are
    /// inside. A worker joins by adding one while the loop is open, so the leader never waits for
    /// a worker that the system has not let run.
    state: AtomicU64,
    /// What the current loop runs, valid while workers are inside.
    task: AtomicPtr<Task<'static>>,
    /// Whether worker `i` sleeps.
    sleepers: Vec<AtomicBool>,
    stop: AtomicBool,
    panicked: AtomicBool,
}

/// One loop, in the bits of `state`.
const LOOP: u64 = 1 << 32;
const CLOSED: u64 = 1 << 31;
/// Workers inside.
const INSIDE: u64 = CLOSED - 1;

struct Task<'a> {
    body: &'a (dyn Fn(usize) + Sync),
    n_items: usize,
    next: AtomicUsize,
    leader: Thread,
}

impl Team {
    /// Starts a team of `n_threads` members, the caller among them; at least one.
    ///
    /// Workers are bound to processors of their own, to other cores as long as there are some, where
    /// the system allows.
    ///
    /// # Panics
    /// If the system cannot start a thread.
    pub fn new(n_threads: usize) -> Self {
        let n_workers = n_threads.max(1) - 1;
        let shared = Arc::new(Shared {
            state: AtomicU64::new(CLOSED),
            task: AtomicPtr::new(std::ptr::null_mut()),
            sleepers: (0..n_workers).map(|_| AtomicBool::new(false)).collect(),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let workers = (0..n_workers)
            .map(|i| {
                let shared = Arc::clone(&shared);
                let work = move || {
                    if let Some(processor) = cores::processor(i + 1) {
                        cores::bind_to(processor);
                    }
                    shared.work(i);
                };
                let name = format!("cerium-{}", i + 1);
                thread::Builder::new().name(name).spawn(work).expect("a thread can be started")
            })
            .collect();
        Self { shared, workers, turn: Mutex::new(()) }
    }

    /// Members, the caller among them.
    pub fn n_threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `body(0)` to `body(n_items - 1)`, each once, in any order and on any member.
    ///
    /// # Panics
    /// If `body` panics.
    pub fn run(&self, n_items: usize, body: &(dyn Fn(usize) + Sync)) {
        if n_items <= 1 || self.workers.is_empty() {
            (0..n_items).for_each(body);
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let task = Task { body, n_items, next: AtomicUsize::new(0), leader: thread::current() };
        let shared = &*self.shared;
        shared.task.store((&raw const task).cast_mut().cast(), Ordering::Relaxed);
        // Opens the next loop: the last one left the state closed with nobody inside. Sequential
        // consistency pairs with the worker's "I sleep; is there a new loop?".
        let last = shared.state.load(Ordering::Relaxed);
        shared.state.store((last & !CLOSED).wrapping_add(LOOP), Ordering::SeqCst);
        for (sleeper, worker) in shared.sleepers.iter().zip(&self.workers) {
            if sleeper.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        // The task lives on this stack: leave only when no worker can touch it any more, even if
        // `body` panics here.
        let close = Close(shared);
        task.drain();
        drop(close);
        assert!(!shared.panicked.swap(false, Ordering::Relaxed), "a worker panicked");
    }

    /// Runs `body(i, chunk)` for every chunk of `len` elements of `data` (the last may be shorter).
    ///
    /// # Panics
    /// If `len` is 0 or `body` panics.
    pub fn for_each_chunk<T: Send>(
        &self,
        data: &mut [T],
        len: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(len > 0, "chunks of at least one element");
        let n_total = data.len();
        let base = Shareable(data.as_mut_ptr());
        self.run(n_total.div_ceil(len), &|i| {
            let start = i * len;
            let base = &base;
            // SAFETY: `start..start + len` lies inside `data`, which is borrowed for the whole
            // loop, and chunks of different `i` do not overlap.
            let chunk = unsafe {
                std::slice::from_raw_parts_mut(base.0.add(start), len.min(n_total - start))
            };
            body(i, chunk);
        });
    }
}

/// A pointer that may cross threads because what lies behind it is cut into disjoint parts.
pub(crate) struct Shareable<T>(pub(crate) *mut T);
// SAFETY: whoever makes one cuts the data behind it into parts that are used by one thread each.
unsafe impl<T: Send> Send for Shareable<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shareable<T> {}

/// Closes the loop when dropped and waits for the workers that are inside.
struct Close<'a>(&'a Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.state.fetch_or(CLOSED, Ordering::AcqRel) & INSIDE;
        let mut spins = 0;
        while inside > 0 {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                // The last worker to leave unparks the leader.
                thread::park();
            }
            inside = self.0.state.load(Ordering::Acquire) & INSIDE;
        }
    }
}

impl Task<'_> {
    fn drain(&self) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= self.n_items {
                return;
            }
            (self.body)(i);
        }
    }
}

impl Shared {
    fn work(&self, me: usize) {
        let mut seen = 0;
        while let Some(number) = self.join_next(me, seen) {
            seen = number;
            // SAFETY: this worker is inside the loop, so the leader has published the task and
            // keeps it alive until the decrement below.
            let task = unsafe { &*self.task.load(Ordering::Relaxed) };
            let run = std::panic::AssertUnwindSafe(|| task.drain());
            if std::panic::catch_unwind(run).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            let leader = task.leader.clone();
            let before = self.state.fetch_sub(1, Ordering::AcqRel);
            if before & CLOSED != 0 && before & INSIDE == 1 {
                leader.unpark();
            }
        }
    }

    /// Waits for an open loop other than number `seen` and enters it; `None` when the team ends.
    fn join_next(&self, me: usize, seen: u64) -> Option<u64> {
        let mut spins = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if state / LOOP != seen && state & CLOSED == 0 {
                let (old, new) = (Ordering::Relaxed, Ordering::AcqRel);
                if self.state.compare_exchange(state, state + 1, new, old).is_ok() {
                    return Some(state / LOOP);
                }
            } else if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                self.sleep(me, seen);
                spins = 0;
            }
        }
    }

    /// Sleeps until there is something to look at.
    fn sleep(&self, me: usize, seen: u64) {
        self.sleepers[me].store(true, Ordering::SeqCst);
        let state = self.state.load(Ordering::SeqCst);
        let nothing = state / LOOP == seen || state & CLOSED != 0;
        if nothing && !self.stop.load(Ordering::SeqCst) {
            thread::park();
        }
        self.sleepers[me].store(false, Ordering::SeqCst);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches panics of loop bodies; it has none of its own to report.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("n_threads", &self.n_threads()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_runs_once_over_many_loops_and_pauses() {
        for n_threads in [1, 2, 3] {
            let team = Team::new(n_threads);
            for round in 0..500usize {
                let counts: Vec<AtomicUsize> =
                    (0..round % 37).map(|_| AtomicUsize::new(0)).collect();
                team.run(counts.len(), &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1), "round {round}");
                if round % 100 == 0 {
                    thread::sleep(std::time::Duration::from_millis(2)); // Let the workers sleep.
                }
            }
        }
    }

    #[test]
    fn chunks_are_disjoint_and_cover() {
        let team = Team::new(2);
        let mut data = vec![0usize; 1003];
        team.for_each_chunk(&mut data, 10, |i, chunk| chunk.iter_mut().for_each(|v| *v += i + 1));
        assert!(data.iter().enumerate().all(|(i, &v)| v == i / 10 + 1));
    }

    #[test]
    fn a_panic_in_the_body_reaches_the_caller_and_the_team_survives() {
        let team = Team::new(2);
        let run = || team.run(64, &|i| assert_ne!(i, 40, "on purpose"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        let n = AtomicUsize::new(0);
        team.run(64, &|_| {
            n.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(n.into_inner(), 64);
    }
}
