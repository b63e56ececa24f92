//! Several answers to one request, told as they come.

use crate::history::Past;
use crate::stream::Stream;
use crate::why::Unexplained;
use cerium_protocol::{ErrorBody, Event, SteerResponse, Usage};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// The events of all candidates of an answer, each with the number of its candidate. Dropping this cancels
/// the work behind all of them.
#[derive(Debug)]
pub struct Candidates {
    streams: Vec<Stream>,
    /// The one that is looked at first, so that none is kept waiting by the others.
    first: usize,
}

impl From<Stream> for Candidates {
    fn from(stream: Stream) -> Self {
        Self::new(vec![stream])
    }
}

impl Candidates {
    pub(crate) fn new(streams: Vec<Stream>) -> Self {
        Self { streams, first: 0 }
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.streams.len()
    }

    /// Waits for the next event of any of them; `None` after the last one of all. Dropping the future loses no
    /// event.
    pub async fn next_async(&mut self) -> Option<(usize, Event)> {
        if let [stream] = &mut self.streams[..] {
            return stream.next_async().await.map(|event| (0, event));
        }
        loop {
            let (n, first) = (self.streams.len(), self.first);
            let open = self.streams.iter_mut().enumerate().filter(|(_, stream)| !stream.is_over());
            let mut waiting: Vec<(usize, Pin<Box<_>>)> =
                open.map(|(i, stream)| (i, Box::pin(stream.next_async()))).collect();
            if waiting.is_empty() {
                return None;
            }
            waiting.sort_by_key(|(i, _)| (i + n - first) % n);
            let next = poll_fn(|cx| {
                for (i, next) in &mut waiting {
                    if let Poll::Ready(event) = next.as_mut().poll(cx) {
                        return Poll::Ready((*i, event));
                    }
                }
                Poll::Pending
            });
            let (i, event) = next.await;
            self.first = (i + 1) % n;
            if let Some(event) = event {
                return Some((i, event));
            }
        }
    }

    /// What a request goes on from, as [`Stream::past`] says; none of several.
    pub fn past(&self) -> Option<Past> {
        let [stream] = &self.streams[..] else { return None };
        stream.past()
    }

    /// What those that have not ended took until here; the prompt is computed once.
    pub fn spent(&self) -> Usage {
        let mut all = Usage::default();
        for usage in self.streams.iter().filter(|stream| !stream.is_over()).map(Stream::spent) {
            all.prompt_tokens = all.prompt_tokens.max(usage.prompt_tokens);
            all.cached_tokens = all.cached_tokens.max(usage.cached_tokens);
            all.output_tokens += usage.output_tokens;
        }
        all
    }

    /// The prompt of a candidate, as [`Stream::unexplained`] says.
    pub fn unexplained(&mut self, index: usize) -> Option<Unexplained> {
        self.streams.get_mut(index)?.unexplained()
    }

    /// Has the answer go on otherwise, as [`Stream::steer`] does; one of several cannot be redirected.
    ///
    /// # Errors
    /// As there.
    pub fn steer(&mut self, request: &SteerResponse) -> Result<(), ErrorBody> {
        let [stream] = &mut self.streams[..] else {
            let what = "one of several candidates is not redirected";
            return Err(ErrorBody::not_served("n", what).with_code("steering_not_supported"));
        };
        stream.steer(request)
    }

    /// Asks for an early end of all of them.
    pub fn cancel(&mut self) {
        self.streams.iter_mut().for_each(Stream::cancel);
    }
}
