//! How much somebody may ask for: requests and tokens a minute, and requests at once.

use crate::options::Limits;
use cerium_protocol::{ErrorBody, ErrorKind};
use std::time::{Duration, Instant};

/// When to look again for a place: answers take seconds.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// What is left to somebody.
#[derive(Debug)]
pub(super) struct Allowance {
    /// Nothing, where the server knows no such tier.
    is_served: bool,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// Requests in progress.
    n_running: u32,
    n_running_max: Option<u32>,
    weight: u32,
}

impl Allowance {
    pub(super) fn new(limits: Option<Limits>) -> Self {
        let is_served = limits.is_some();
        let limits = limits.unwrap_or_default();
        Self {
            is_served,
            requests: limits.requests_per_minute.map(Bucket::new),
            tokens: limits.tokens_per_minute.map(Bucket::new),
            n_running: 0,
            n_running_max: limits.concurrency,
            weight: limits.weight.unwrap_or(1),
        }
    }

    /// Other limits hold. What is owed stays owed, and what is left is left, as far as it may be.
    pub(super) fn change(&mut self, limits: Option<Limits>, now: Instant) {
        let last = std::mem::replace(self, Self::new(limits));
        self.n_running = last.n_running;
        let buckets = [(&mut self.requests, last.requests), (&mut self.tokens, last.tokens)];
        for (bucket, last) in buckets {
            if let (Some(bucket), Some(last)) = (bucket, last) {
                (bucket.level, bucket.at) = (last.level(now).min(f64::from(bucket.size)), now);
            }
        }
    }

    pub(super) fn is_served(&self) -> bool {
        self.is_served
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight
    }

    /// Takes one request. How many tokens it will need nobody knows: it begins while there are any
    /// left, and what it took more than that is waited for before the next one.
    pub(super) fn enter(&mut self, now: Instant) -> Result<(), ErrorBody> {
        let wait = self.wait(now);
        if !wait.is_zero() {
            let what = self.spent(now);
            let seconds = wait.as_secs_f64();
            // Clients look for these words.
            return Err(ErrorBody::new(
                ErrorKind::RateLimitError,
                format!("this key has {what}; please try again in {seconds:.3}s"),
            )
            .with_code("rate_limit_exceeded")
            .retry_after(wait));
        }
        if let Some(requests) = &mut self.requests {
            requests.take(1.0, now);
        }
        self.n_running += 1;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.n_running -= 1;
    }

    pub(super) fn charge(&mut self, n_tokens: u64, now: Instant) {
        if let Some(tokens) = &mut self.tokens {
            tokens.take(n_tokens as f64, now);
        }
    }

    /// How long until one more request may begin, as far as is known.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let place = if self.is_full() { PLACE_WAIT } else { Duration::ZERO };
        let buckets = [&self.requests, &self.tokens].into_iter().flatten();
        buckets.map(|bucket| bucket.wait(now)).fold(place, Duration::max)
    }

    /// What is left, in the protocol's spelling.
    pub(super) fn headers(&self, now: Instant) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(bucket) = &self.requests {
            lines.push(("x-ratelimit-limit-requests", bucket.size.to_string()));
            lines.push(("x-ratelimit-remaining-requests", bucket.left(now).to_string()));
            lines.push(("x-ratelimit-reset-requests", span(bucket.full_in(now))));
        }
        if let Some(bucket) = &self.tokens {
            lines.push(("x-ratelimit-limit-tokens", bucket.size.to_string()));
            lines.push(("x-ratelimit-remaining-tokens", bucket.left(now).to_string()));
            lines.push(("x-ratelimit-reset-tokens", span(bucket.full_in(now))));
        }
        lines
    }

    fn is_full(&self) -> bool {
        self.n_running_max.is_some_and(|max| self.n_running >= max)
    }

    /// What there is no more of.
    fn spent(&self, now: Instant) -> String {
        let empty = |bucket: &&Bucket| !bucket.wait(now).is_zero();
        if let Some(bucket) = self.requests.as_ref().filter(empty) {
            format!("used up its {} requests a minute", bucket.size)
        } else if let Some(bucket) = self.tokens.as_ref().filter(empty) {
            format!("used up its {} tokens a minute", bucket.size)
        } else {
            format!("{} requests in progress, which is all it may have", self.n_running)
        }
    }
}

/// What fills by `size` a minute and holds no more than that; it may owe.
#[derive(Debug)]
struct Bucket {
    size: u32,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(size: u32) -> Self {
        Self { size, level: f64::from(size), at: Instant::now() }
    }

    fn level(&self, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        (self.level + minutes * f64::from(self.size)).min(f64::from(self.size))
    }

    fn take(&mut self, n: f64, now: Instant) {
        (self.level, self.at) = (self.level(now) - n, now);
    }

    fn left(&self, now: Instant) -> u32 {
        self.level(now) as u32
    }

    /// Until there is one whole unit.
    fn wait(&self, now: Instant) -> Duration {
        self.until(1.0, now)
    }

    fn full_in(&self, now: Instant) -> Duration {
        self.until(f64::from(self.size), now)
    }

    fn until(&self, level: f64, now: Instant) -> Duration {
        let missing = (level - self.level(now)).max(0.0);
        Duration::try_from_secs_f64(missing / f64::from(self.size) * 60.0).unwrap_or(Duration::MAX)
    }
}

/// A time as Go writes it: `120ms`, `1.5s`, `6m0s`.
fn span(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..60_000 => format!("{}s", ms as f64 / 1e3),
        _ => format!("{}m{}s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(requests: u32, tokens: u32, concurrency: u32) -> Limits {
        Limits {
            requests_per_minute: Some(requests),
            tokens_per_minute: Some(tokens),
            concurrency: Some(concurrency),
            weight: None,
        }
    }

    #[test]
    fn requests_come_back_with_time() {
        let mut allowance = Allowance::new(Some(limits(60, 1000, 100)));
        let now = Instant::now();
        for _ in 0..60 {
            allowance.enter(now).unwrap();
            allowance.leave();
        }
        let error = allowance.enter(now).unwrap_err();
        assert_eq!(error.code.as_deref(), Some("rate_limit_exceeded"));
        assert!(error.message.contains("60 requests a minute; please try again in "), "{error}");
        let wait = allowance.wait(now);
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        allowance.enter(now + Duration::from_millis(1001)).unwrap();
        assert!(allowance.enter(now + Duration::from_millis(1001)).is_err());
    }

    #[test]
    fn what_was_taken_too_much_is_waited_for() {
        let mut allowance = Allowance::new(Some(limits(60, 600, 100)));
        let now = Instant::now();
        allowance.enter(now).unwrap();
        allowance.charge(1200, now);
        allowance.leave();
        let error = allowance.enter(now).unwrap_err();
        assert!(error.message.contains("600 tokens a minute"), "{error}");
        let headers = allowance.headers(now);
        assert!(headers.contains(&("x-ratelimit-remaining-tokens", "0".to_owned())), "{headers:?}");
        assert!(headers.contains(&("x-ratelimit-limit-requests", "60".to_owned())), "{headers:?}");
        assert!(allowance.enter(now + Duration::from_secs(59)).is_err(), "600 are owed");
        allowance.enter(now + Duration::from_secs(61)).unwrap();
    }

    #[test]
    fn limits_change_and_debts_stay() {
        let mut allowance = Allowance::new(Some(limits(60, 600, 2)));
        let now = Instant::now();
        allowance.enter(now).unwrap();
        allowance.charge(1200, now);
        allowance.change(Some(limits(60, 6000, 1)), now);
        assert!(allowance.enter(now).unwrap_err().message.contains("6000 tokens"), "600 are owed");
        let later = now + Duration::from_secs(7);
        assert!(allowance.enter(later).unwrap_err().message.contains("1 requests in progress"));
        allowance.change(None, later);
        assert!(!allowance.is_served());
        allowance.leave();
        allowance.change(Some(limits(60, 6000, 1)), later);
        allowance.enter(later).unwrap();
    }

    #[test]
    fn only_so_many_run_at_once() {
        let mut allowance = Allowance::new(Some(limits(60, 600, 2)));
        let now = Instant::now();
        allowance.enter(now).unwrap();
        allowance.enter(now).unwrap();
        assert!(allowance.enter(now).unwrap_err().message.contains("2 requests in progress"));
        allowance.leave();
        allowance.enter(now).unwrap();
        let mut free = Allowance::new(Some(Limits::default()));
        assert!((0..10_000).all(|_| free.enter(now).is_ok()));
        assert!(free.headers(now).is_empty());
    }

    #[test]
    fn times_are_spelled_as_clients_read_them() {
        for (ms, text) in
            [(0, "0ms"), (120, "120ms"), (1500, "1.5s"), (1000, "1s"), (360_000, "6m0s")]
        {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }
}
