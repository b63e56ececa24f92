//! Where a forward pass spends its time. Always kept: a dozen looks at the clock per layer are some
//! microseconds in a step of many milliseconds.

use std::time::{Duration, Instant};

/// A kind of work of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Rows of the embedding, and the angles of positions.
    Embedding,
    /// Norms and quantising before products, and adding their results to the residual stream.
    Norms,
    /// Products that make queries, keys and values.
    Qkv,
    /// Biases, rotary positions, storing keys and values.
    Positions,
    /// Attention, and quantising its result.
    Attention,
    /// The product that follows attention.
    Output,
    /// The hidden layer of the feed-forward network: the choice of experts, products, the activation
    /// function, quantising.
    Hidden,
    /// The product out of it, and the sum of what experts made.
    Down,
    /// The last norm and the product that makes logits.
    Head,
}

impl Work {
    /// All kinds, in the order of the pass.
    pub const ALL: [Self; 9] = [
        Self::Embedding,
        Self::Norms,
        Self::Qkv,
        Self::Positions,
        Self::Attention,
        Self::Output,
        Self::Hidden,
        Self::Down,
        Self::Head,
    ];

    /// Name for people and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Norms => "norms",
            Self::Qkv => "qkv",
            Self::Positions => "positions",
            Self::Attention => "attention",
            Self::Output => "output",
            Self::Hidden => "hidden",
            Self::Down => "down",
            Self::Head => "head",
        }
    }
}

/// Time by kind of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile([Duration; Work::ALL.len()]);

impl Profile {
    /// Time spent on a kind of work.
    pub fn of(&self, work: Work) -> Duration {
        self.0[work as usize]
    }

    /// Time spent in all.
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }
}

/// A running measurement.
pub(crate) struct Clock<'p> {
    profile: &'p mut Profile,
    last: Instant,
}

impl<'p> Clock<'p> {
    pub(crate) fn start(profile: &'p mut Profile) -> Self {
        Self { profile, last: Instant::now() }
    }

    /// What passed since the last look was this work.
    pub(crate) fn lap(&mut self, work: Work) {
        let now = Instant::now();
        self.profile.0[work as usize] += now - self.last;
        self.last = now;
    }
}
