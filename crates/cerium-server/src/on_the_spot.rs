//! Futures that go on where they are woken: a token is put into its frame and written to its socket by the thread
//! that made it.
//!
//! Waking another thread takes longer than all that is done with a token (`docs/socket.md` has the figures). So what
//! waits for an engine is polled by the engine's own thread, within the call that hands the token out. It must be
//! quick, wait for nothing but by being polled again, and wake others only by channels that hold no lock meanwhile, as
//! tokio's do. Threads of the runtime do not go on with it on the spot: they have it scheduled, like any other task.

use futures_util::task::AtomicWaker;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use tokio::runtime::Handle;
use tokio::task::unconstrained;

thread_local! {
    /// Whether this thread, which is none of the runtime's, goes on with something on the spot.
    static GOES_ON: Cell<bool> = const { Cell::new(false) };
}

/// A future that ends when `future` does, which goes on where it is woken. It must be made in a runtime. A panic of
/// `future` is one of whoever waits for it.
pub(crate) fn on_the_spot<F>(future: F) -> OnTheSpot<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    OnTheSpot(Arc::new(Shared {
        runtime: Handle::current(),
        waiting: AtomicWaker::new(),
        calls: AtomicUsize::new(0),
        state: Mutex::new(State::Runs(Box::pin(future))),
    }))
}

/// See [`on_the_spot`].
pub(crate) struct OnTheSpot<F: Future + Send + 'static>(Arc<Shared<F>>)
where
    F::Output: Send;

struct Shared<F: Future> {
    runtime: Handle,
    /// Whoever waits for the end, in the runtime.
    waiting: AtomicWaker,
    /// Calls to go on. Whoever raises it from 0 goes on until it can be put back.
    calls: AtomicUsize,
    state: Mutex<State<F>>,
}

enum State<F: Future> {
    Runs(Pin<Box<F>>),
    Ended(thread::Result<F::Output>),
    /// Nobody waits any more.
    Gone,
}

impl<F> Future for OnTheSpot<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let shared = &self.0;
        shared.waiting.register(cx.waker());
        shared.go_on();
        // Whoever holds it goes on with it, and wakes us at the end.
        let Ok(mut state) = shared.state.try_lock() else { return Poll::Pending };
        match std::mem::replace(&mut *state, State::Gone) {
            State::Ended(Ok(output)) => Poll::Ready(output),
            State::Ended(Err(panic)) => resume_unwind(panic),
            runs => {
                *state = runs;
                Poll::Pending
            }
        }
    }
}

impl<F> Drop for OnTheSpot<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.0.state(), State::Gone);
        drop(state);
    }
}

impl<F> Shared<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    /// Polls until nobody calls any more; where another thread does so, it sees this call, too.
    fn go_on(self: &Arc<Self>) {
        if self.calls.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        loop {
            let seen = self.calls.load(Ordering::Acquire);
            self.poll();
            if self.calls.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return;
            }
        }
    }

    fn poll(self: &Arc<Self>) {
        let mut state = self.state();
        let State::Runs(future) = &mut *state else { return };
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            if GOES_ON.get() {
                // There is no task whose budget it could have.
                pin!(unconstrained(future.as_mut())).poll(&mut context)
            } else {
                future.as_mut().poll(&mut context)
            }
        }));
        *state = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(output)) => State::Ended(Ok(output)),
            Err(panic) => State::Ended(Err(panic)),
        };
        drop(state);
        self.waiting.wake();
    }

    fn state(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Wake for Shared<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn wake(self: Arc<Self>) {
        let is_foreign = GOES_ON.get() || Handle::try_current().is_err();
        if !is_foreign {
            return self.waiting.wake();
        }
        let _runtime = self.runtime.enter();
        let before = GOES_ON.replace(true);
        self.go_on();
        GOES_ON.set(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::thread::ThreadId;
    use std::time::Duration;
    use tokio::runtime::Runtime;
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(30);

    fn runtime() -> Runtime {
        crate::accept::runtime().unwrap()
    }

    fn spawn(
        runtime: &Runtime,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let _runtime = runtime.enter();
        tokio::spawn(on_the_spot(future))
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        timeout(LONG, future).await.expect("it hangs")
    }

    /// Gives the runtime time to come to rest.
    fn pause(runtime: &Runtime) {
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    }

    /// Passes on what comes, and notes who did it.
    async fn pass(
        mut from: mpsc::Receiver<u32>,
        to: mpsc::Sender<u32>,
        noted: Arc<Mutex<HashSet<ThreadId>>>,
    ) {
        while let Some(n) = from.recv().await {
            noted.lock().unwrap().insert(thread::current().id());
            // As a writer does.
            soon(to.send(n)).await.unwrap();
        }
    }

    #[test]
    fn the_thread_that_brings_something_carries_it_to_the_end() {
        let runtime = runtime();
        let (give, first) = mpsc::channel(4);
        let (middle, second) = mpsc::channel(4);
        let (last, mut taken) = mpsc::channel(4);
        let noted = Arc::default();
        let tasks = [
            spawn(&runtime, pass(first, middle, Arc::clone(&noted))),
            spawn(&runtime, pass(second, last, Arc::clone(&noted))),
        ];
        // Both wait before anybody wakes them.
        give.try_send(0).unwrap();
        assert_eq!(runtime.block_on(soon(taken.recv())), Some(0));
        pause(&runtime);
        noted.lock().unwrap().clear();
        let giver = thread::spawn(move || {
            // There before the call returns: nobody else was asked.
            (0..4).for_each(|n| give.try_send(n).unwrap());
            (thread::current().id(), give)
        });
        let (id, give) = giver.join().unwrap();
        let there: Vec<u32> = std::iter::from_fn(|| taken.try_recv().ok()).collect();
        assert_eq!(there, [0, 1, 2, 3]);
        assert_eq!(*noted.lock().unwrap(), HashSet::from([id]));
        drop(give);
        for task in tasks {
            runtime.block_on(soon(task)).unwrap();
        }
    }

    #[test]
    fn nothing_is_lost_and_nothing_overtakes_whoever_wakes() {
        const N: u32 = 20_000;
        let runtime = runtime();
        let (give, first) = mpsc::channel(3);
        let (last, mut taken) = mpsc::channel(2);
        let task = spawn(&runtime, pass(first, last, Arc::default()));
        let foreign = give.clone();
        let foreign = thread::spawn(move || {
            (0..N).for_each(|n| foreign.blocking_send(2 * n).unwrap());
        });
        let own = runtime.spawn(async move {
            for n in 0..N {
                give.send(2 * n + 1).await.unwrap();
            }
        });
        let mut last = [None, None];
        for _ in 0..2 * N {
            let n = runtime.block_on(soon(taken.recv())).unwrap();
            let last = &mut last[(n % 2) as usize];
            assert!(last.is_none_or(|last| last < n));
            *last = Some(n);
        }
        foreign.join().unwrap();
        runtime.block_on(own).unwrap();
        assert_eq!(runtime.block_on(soon(taken.recv())), None);
        runtime.block_on(task).unwrap();
    }

    #[test]
    fn a_panic_is_the_waiters_and_not_the_wakers() {
        let runtime = runtime();
        let (give, taken) = oneshot::channel::<()>();
        let task = spawn(&runtime, async move {
            taken.await.unwrap();
            panic!("as told");
        });
        pause(&runtime);
        give.send(()).unwrap();
        let ended = runtime.block_on(soon(task));
        assert!(ended.unwrap_err().is_panic());
    }

    #[test]
    fn what_nobody_waits_for_is_dropped_at_once() {
        let runtime = runtime();
        let (give, mut taken) = mpsc::channel::<u32>(1);
        let task = spawn(&runtime, async move { while taken.recv().await.is_some() {} });
        task.abort();
        assert!(runtime.block_on(soon(task)).is_err());
        assert!(give.is_closed() && give.try_send(1).is_err());
    }
}
