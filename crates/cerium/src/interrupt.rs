//! Ctrl-C: the first one ends the program at once where nothing can be lost, and elsewhere asks the
//! work at hand to stop; the second one always ends it. Where several works go on beside each other, each can be
//! asked to stop alone.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// What a shell reports for a command ended by Ctrl-C.
pub(crate) const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
/// What must be put in order before the program ends at once.
static BEFORE_EXIT: Mutex<Option<fn()>> = Mutex::new(None);
/// How many pieces of work want to be asked rather than ended.
static DEFERRED: AtomicUsize = AtomicUsize::new(0);
/// Somebody else hears signals.
static HANDED_OVER: AtomicBool = AtomicBool::new(false);
static NOTIFY: Notify = Notify::const_new();

/// Takes over Ctrl-C (and the polite signal to end) for the rest of the program.
pub(crate) fn install() {
    let taken = ctrlc::set_handler(|| {
        if HANDED_OVER.load(Ordering::SeqCst) {
            return;
        }
        let second = REQUESTED.swap(true, Ordering::SeqCst);
        if second || DEFERRED.load(Ordering::SeqCst) == 0 {
            if let Some(put_in_order) = *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner)
            {
                put_in_order();
            }
            process::exit(i32::from(EXIT_CODE));
        }
        NOTIFY.notify_waiters();
    });
    // Without a handler Ctrl-C ends the program at once, which loses nothing either.
    drop(taken);
}

/// From now on a server in this process hears signals itself, so that answers in progress may end; also SIGHUP,
/// which to a server is no reason to end. To the end of the process: what else hears of the last one may be late.
pub(crate) fn hand_over() {
    HANDED_OVER.store(true, Ordering::SeqCst);
}

/// While this lives, the first Ctrl-C only raises the request.
#[must_use]
pub(crate) struct Deferred(());

/// Asks to be asked: work begins that can stop by itself.
pub(crate) fn defer() -> Deferred {
    DEFERRED.fetch_add(1, Ordering::SeqCst);
    Deferred(())
}

impl Drop for Deferred {
    fn drop(&mut self) {
        DEFERRED.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Has this done before a signal ends the program at once.
pub(crate) fn before_exit(put_in_order: fn()) {
    *BEFORE_EXIT.lock().unwrap_or_else(PoisonError::into_inner) = Some(put_in_order);
}

thread_local! {
    /// What can stop the work that this thread does.
    static CURRENT: RefCell<Option<Stop>> = const { RefCell::new(None) };
}

/// Asks one work among several to stop; clones ask the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    requested: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Asks the work to stop. Once is for ever.
    pub(crate) fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.notify.notify_waiters();
    }

    /// Whether it was asked.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }

    /// Does some work on this thread, of which [`requested`] and [`wait`] tell that it was asked to stop.
    pub(crate) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let outer = CURRENT.replace(Some(self.clone()));
        let done = work();
        CURRENT.set(outer);
        done
    }
}

/// Whether Ctrl-C was pressed, or the work of this thread was asked to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
        || CURRENT.with_borrow(|current| current.as_ref().is_some_and(Stop::is_requested))
}

/// Whether work goes on, as whatever reports how far it is wants to hear it: not once it was asked to stop.
pub(crate) fn going_on() -> ControlFlow<()> {
    if requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Waits for Ctrl-C, or until the work of this thread is asked to stop.
pub(crate) async fn wait() {
    let stop = CURRENT.with_borrow(Clone::clone).unwrap_or_default();
    let (everything, alone) = (NOTIFY.notified(), stop.0.notify.notified());
    tokio::pin!(everything, alone);
    // Listen first, look afterwards: a request between the two must not be missed.
    everything.as_mut().enable();
    alone.as_mut().enable();
    if !requested() {
        tokio::select! {
            () = everything => {}
            () = alone => {}
        }
    }
}
