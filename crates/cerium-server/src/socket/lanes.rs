//! Which requests of a connection run: one after another in each lane, the lanes side by side.

use crate::body::Held;
use cerium_protocol::{ErrorBody, ErrorKind};
use std::collections::{HashSet, VecDeque};

/// Responses in progress on one connection; further ones wait.
const N_RUNNING_MAX: usize = 16;

/// Named lanes of one connection, over its whole life.
const N_NAMES_MAX: usize = 32;

/// Requests that may wait on one connection, and their bytes together.
const N_WAITING_MAX: usize = 64;
const WAITING_BYTES_MAX: usize = 16 << 20;

/// A lane; one has no name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lane(Option<String>);

impl Lane {
    pub(super) fn new(name: Option<String>) -> Self {
        Self(name)
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// A request that has come.
#[derive(Debug)]
pub(super) struct Create {
    pub(super) lane: Lane,
    /// The response that it goes on from.
    pub(super) previous: Option<String>,
    /// All of it.
    pub(super) held: Held,
}

/// Lanes of one connection.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// In the order in which they came.
    waiting: VecDeque<Create>,
    waiting_bytes: usize,
    busy: HashSet<Lane>,
    names: HashSet<String>,
}

impl Lanes {
    /// Takes a request.
    ///
    /// # Errors
    /// `websocket_stream_limit_reached` for one lane too many, `rate_limit_exceeded` when too much waits.
    pub(super) fn push(&mut self, create: Create) -> Result<(), ErrorBody> {
        if let Some(name) = create.lane.name()
            && !self.names.contains(name)
        {
            if self.names.len() == N_NAMES_MAX {
                let what = format!("a connection has at most {N_NAMES_MAX} named streams");
                return Err(ErrorBody::invalid("stream_id", what)
                    .with_code("websocket_stream_limit_reached"));
            }
            self.names.insert(name.to_owned());
        }
        let n_bytes = create.held.bytes.len();
        let is_full = self.waiting.len() == N_WAITING_MAX
            || (!self.waiting.is_empty() && self.waiting_bytes + n_bytes > WAITING_BYTES_MAX);
        if is_full {
            let what = "too many requests wait on this connection";
            return Err(
                ErrorBody::new(ErrorKind::RateLimitError, what).with_code("rate_limit_exceeded")
            );
        }
        self.waiting_bytes += n_bytes;
        self.waiting.push_back(create);
        Ok(())
    }

    /// The first request whose lane rests, if there is room; its lane is busy then.
    pub(super) fn next(&mut self) -> Option<Create> {
        if self.busy.len() == N_RUNNING_MAX {
            return None;
        }
        let at = self.waiting.iter().position(|create| !self.busy.contains(&create.lane))?;
        let create = self.waiting.remove(at)?;
        self.waiting_bytes -= create.held.bytes.len();
        self.busy.insert(create.lane.clone());
        Some(create)
    }

    /// What ran in a lane has ended.
    pub(super) fn rest(&mut self, lane: &Lane) {
        self.busy.remove(lane);
    }

    /// Whether no request waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(lanes: &mut Lanes, lane: &str, n_bytes: usize) -> Result<(), String> {
        let lane = Lane::new((!lane.is_empty()).then(|| lane.to_owned()));
        let create = Create { lane, previous: None, held: Held::of(n_bytes) };
        lanes.push(create).map_err(|error| error.code.unwrap_or_default())
    }

    fn next(lanes: &mut Lanes) -> Option<String> {
        lanes.next().map(|create| create.lane.name().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_lane_runs_one_after_another_and_the_lanes_side_by_side() {
        let mut lanes = Lanes::default();
        for lane in ["", "a", "a", "", "b"] {
            push(&mut lanes, lane, 1).unwrap();
        }
        let begun: Vec<_> = std::iter::from_fn(|| next(&mut lanes)).collect();
        assert_eq!(begun, ["", "a", "b"]);
        lanes.rest(&Lane::new(Some("a".to_owned())));
        assert_eq!(next(&mut lanes).as_deref(), Some("a"));
        assert!(next(&mut lanes).is_none() && !lanes.is_empty());
        lanes.rest(&Lane::default());
        assert_eq!(next(&mut lanes).as_deref(), Some(""));
        assert!(lanes.is_empty());
    }

    #[test]
    fn only_so_many_run_and_the_others_wait() {
        let mut lanes = Lanes::default();
        for n in 0..N_NAMES_MAX {
            push(&mut lanes, &n.to_string(), 1).unwrap();
        }
        assert_eq!(
            push(&mut lanes, "one more", 1),
            Err("websocket_stream_limit_reached".to_owned())
        );
        push(&mut lanes, "", 1).unwrap();
        let begun = std::iter::from_fn(|| next(&mut lanes)).count();
        assert_eq!(begun, N_RUNNING_MAX);
        lanes.rest(&Lane::new(Some("3".to_owned())));
        assert_eq!(next(&mut lanes).as_deref(), Some("16"));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut lanes = Lanes::default();
        push(&mut lanes, "", WAITING_BYTES_MAX + 9).unwrap();
        assert_eq!(push(&mut lanes, "", 1), Err("rate_limit_exceeded".to_owned()));
        assert!(next(&mut lanes).is_some());
        for _ in 0..N_WAITING_MAX {
            push(&mut lanes, "", 1).unwrap();
        }
        assert_eq!(push(&mut lanes, "", 1), Err("rate_limit_exceeded".to_owned()));
    }
}
