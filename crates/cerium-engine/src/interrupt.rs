//! Giving up the step that runs, when what it is for is not wanted any more or can wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by the thread that computes and those that ask for something else.
///
/// The worker [announces](Self::begin) a step and then looks for commands once more; whoever has a
/// command sends it first and comes here then. So a command is seen before the step begins, or gives it up.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    /// What the model looks at while it computes.
    raised: AtomicBool,
    step: Mutex<Step>,
}

/// What the step that runs is for.
#[derive(Debug, Default)]
struct Step {
    /// Jobs that still want it.
    ids: Vec<u64>,
    /// Whether anything interactive goes before it.
    gives_way: bool,
}

impl Interrupt {
    /// Rises when the step is to be given up.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.raised
    }

    /// A step for these jobs is about to run.
    pub(crate) fn begin(&self, ids: impl Iterator<Item = u64>, gives_way: bool) {
        let mut step = self.step();
        step.ids.clear();
        step.ids.extend(ids);
        step.gives_way = gives_way;
        self.raised.store(false, Ordering::Release);
    }

    /// No step runs.
    pub(crate) fn end(&self) {
        *self.step() = Step::default();
    }

    /// A job does not want the step that runs. Once nobody wants it, it is given up: others of a
    /// step should not have to pay for it twice, and it is short when there are some.
    pub(crate) fn leave(&self, id: u64) {
        let mut step = self.step();
        let n = step.ids.len();
        step.ids.retain(|&other| other != id);
        if step.ids.is_empty() && n > 0 {
            self.raised.store(true, Ordering::Release);
        }
    }

    /// Something interactive has come.
    pub(crate) fn hurry(&self) {
        if self.step().gives_way {
            self.raised.store(true, Ordering::Release);
        }
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(interrupt: &Interrupt) -> bool {
        interrupt.flag().load(Ordering::Acquire)
    }

    #[test]
    fn a_step_is_given_up_when_nobody_wants_it() {
        let interrupt = Interrupt::default();
        interrupt.begin([1, 2].into_iter(), false);
        interrupt.leave(2);
        interrupt.leave(2);
        interrupt.leave(3);
        assert!(!raised(&interrupt));
        interrupt.leave(1);
        assert!(raised(&interrupt));
        interrupt.begin([4].into_iter(), false);
        assert!(!raised(&interrupt), "each step begins anew");
        interrupt.end();
        interrupt.leave(4);
        assert!(!raised(&interrupt), "it is over");
    }

    #[test]
    fn only_background_work_gives_way() {
        let interrupt = Interrupt::default();
        interrupt.begin([1].into_iter(), false);
        interrupt.hurry();
        assert!(!raised(&interrupt));
        interrupt.begin([1].into_iter(), true);
        interrupt.hurry();
        assert!(raised(&interrupt));
    }
}
