//! What a person says to a call in progress: to do it otherwise, or to stop. The call is not told of it, it looks.

use cerium_harness::redirect::joined;
use cerium_server::Caller;
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What is wanted of a call instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Otherwise(String),
    Stop,
}

/// The way to one call.
#[derive(Debug)]
pub(super) struct Line(watch::Sender<Said>);

#[derive(Debug)]
enum Said {
    Nothing,
    Wished(Wish),
    /// The call has come to its end.
    Over,
}

impl Line {
    /// Says something. False once it is too late.
    fn say(&self, wish: Wish) -> bool {
        self.0.send_if_modified(|said| {
            let both = match (mem::replace(said, Said::Over), wish) {
                (Said::Over, _) => return false,
                (Said::Wished(Wish::Otherwise(first)), Wish::Otherwise(more)) => {
                    Wish::Otherwise(joined(&first, &more))
                }
                (Said::Wished(Wish::Stop), _) => Wish::Stop,
                (_, wish) => wish,
            };
            *said = Said::Wished(both);
            true
        })
    }

    /// Whether something was said that nobody has taken notice of.
    pub(super) fn is_heard(&self) -> bool {
        matches!(*self.0.borrow(), Said::Wished(_))
    }

    /// Waits for that.
    pub(super) async fn heard(&self) {
        let mut said = self.0.subscribe();
        // The sender is here, so it waits for ever if nothing is said.
        let _ = said.wait_for(|said| matches!(said, Said::Wished(_))).await;
    }

    /// Takes notice of what was said. When it is not to be done otherwise, the call is over, and nothing more can be said.
    pub(super) fn take(&self) -> Option<Wish> {
        let mut taken = None;
        self.0.send_modify(|said| {
            if let Said::Wished(wish) = mem::replace(said, Said::Over) {
                if matches!(wish, Wish::Otherwise(_)) {
                    *said = Said::Nothing;
                }
                taken = Some(wish);
            }
        });
        taken
    }
}

/// The ways to all calls in progress, by number.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: u64,
    calls: HashMap<u64, (Caller, Arc<Line>)>,
}

/// A way that is open while this lives.
pub(super) struct Opened {
    lines: Arc<Lines>,
    pub(super) number: u64,
    pub(super) line: Arc<Line>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.lines.open().calls.remove(&self.number);
    }
}

impl Lines {
    /// Opens the way to a call of somebody.
    pub(super) fn add(self: &Arc<Self>, caller: &Caller) -> Opened {
        let line = Arc::new(Line(watch::Sender::new(Said::Nothing)));
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.calls.insert(number, (caller.clone(), Arc::clone(&line)));
        Opened { lines: Arc::clone(self), number, line }
    }

    /// Says something to a call of the same person. False when it has come to its end, or is not theirs.
    pub(super) fn say(&self, caller: &Caller, number: u64, wish: Wish) -> bool {
        let open = self.open();
        let call = open.calls.get(&number).filter(|(owner, _)| owner.is(caller));
        call.is_some_and(|(_, line)| line.say(wish))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_taken_once_and_not_too_late() {
        let line = Line(watch::Sender::new(Said::Nothing));
        let otherwise = |text: &str| Wish::Otherwise(text.to_owned());
        assert!(line.say(otherwise("be short")) && line.say(otherwise("in French")));
        assert!(line.is_heard());
        assert_eq!(line.take(), Some(otherwise("be short. in French")));
        assert!(!line.is_heard() && line.say(otherwise("in verse")) && line.say(Wish::Stop));
        assert!(line.say(otherwise("no")));
        assert_eq!(line.take(), Some(Wish::Stop), "who stops it does not want anything else");
        assert!(!line.say(otherwise("too late")));
        let line = Line(watch::Sender::new(Said::Nothing));
        assert_eq!(line.take(), None);
        assert!(!line.say(Wish::Stop) && !line.is_heard(), "it is over");
    }
}
