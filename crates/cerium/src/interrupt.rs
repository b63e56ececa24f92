//! Ctrl-C: the first one ends the program at once where nothing can be lost, and elsewhere asks the
//! work at hand to stop; the second one always ends it.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What a shell reports for a command ended by Ctrl-C.
pub(crate) const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
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

/// Whether Ctrl-C was pressed.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Waits for Ctrl-C.
pub(crate) async fn wait() {
    let notified = NOTIFY.notified();
    tokio::pin!(notified);
    // Listen first, look afterwards: a request between the two must not be missed.
    notified.as_mut().enable();
    if !requested() {
        notified.await;
    }
}
