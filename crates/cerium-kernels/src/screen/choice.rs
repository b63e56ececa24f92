//! What a screen leaves undecided, and its decision.

use super::tokens::{Token, Tokens};
use super::{Bounds, GROUP, Screen, TINY};
use crate::activations::Activations;
use crate::argmax;
use crate::cpu::{Cpu, per_isa};
use crate::matmul::pair_sums;
use crate::pack::{PANEL, PackedMatrix};
use crate::team::Team;
use std::sync::{Mutex, PoisonError};

/// Of the panels and groups of tokens as many may be undecided as one in this many: products of single
/// panels cost some three times what those of a batch do.
const SHARE: usize = 4;

/// From so many tokens on that want a panel, their whole group is multiplied with it.
const TOKENS_MIN: u32 = 6;

/// Panels that a thread takes at once.
const PANELS_PER_ITEM: usize = 8;

/// Panels that may hold the greatest product of a token.
#[derive(Debug)]
pub(super) struct Choice {
    wanted: Vec<Wanted>,
}

/// A panel that some tokens of a group want: a bit for each.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    panel: usize,
    group: usize,
    tokens: u16,
}

/// The greatest product so far.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Best {
    product: f32,
    row: usize,
}

/// What is known of a group's tokens, one lane for each.
struct Lanes {
    scale: [f32; GROUP],
    norm: [f32; GROUP],
    error: [f32; GROUP],
    size: [f32; GROUP],
}

impl Choice {
    /// None if more than one in [`SHARE`] is undecided.
    pub(super) fn make(
        cpu: Cpu,
        team: &Team,
        screen: &Screen,
        tokens: &Tokens,
        maxima: &[f32],
    ) -> Option<Self> {
        let n_panels = screen.shape.n_panels();
        let n_groups = tokens.n_filled() / GROUP;
        let n_max = n_panels * n_groups / SHARE;
        let wanted = Mutex::new(Vec::new());
        team.run(n_groups, &|group| {
            let lanes = Lanes::of(&tokens.known[group * GROUP..][..GROUP]);
            let n_tokens = GROUP.min(tokens.n - group * GROUP);
            let all = (u32::MAX >> (32 - n_tokens)) as u16;
            let maxima = &maxima.as_chunks::<GROUP>().0[group..];
            let (lanes, bounds) = (&lanes, &screen.bounds[..]);
            let masks = per_isa!(
                cpu,
                undecided(maxima: &[[f32; GROUP]], n_groups: usize, bounds: &[Bounds], lanes: &Lanes) -> Vec<u16>
            );
            let masks = masks.into_iter().map(|mask| mask & all).enumerate();
            let new = masks.filter(|(_, mask)| *mask != 0);
            let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.extend(new.map(|(panel, tokens)| Wanted { panel, group, tokens }).take(n_max + 1));
        });
        let wanted = wanted.into_inner().unwrap_or_else(PoisonError::into_inner);
        (wanted.len() <= n_max).then_some(Self { wanted })
    }

    /// Multiplies what is undecided. Of each token the row of its greatest product, the first of equals.
    pub(super) fn decide(
        mut self,
        cpu: Cpu,
        team: &Team,
        weights: &PackedMatrix,
        x: &Activations,
    ) -> Vec<Option<usize>> {
        // Groups that want the same panel, one after the other.
        self.wanted.sort_unstable_by_key(|wanted| (wanted.panel, wanted.group));
        let all: Mutex<Vec<Option<Best>>> = Mutex::new(vec![None; x.n_tokens()]);
        team.run(self.wanted.len().div_ceil(PANELS_PER_ITEM), &|item| {
            let first = item * PANELS_PER_ITEM;
            let wanted = &self.wanted[first..self.wanted.len().min(first + PANELS_PER_ITEM)];
            let mut found = Vec::with_capacity(wanted.len() * GROUP);
            for wanted in wanted {
                wanted.multiply(cpu, weights, x, &mut found);
            }
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            for (token, new) in found {
                // Whoever comes first: of equals the first row stays.
                let best = &mut all[token];
                if best.is_none_or(|best| new.is_before(best)) {
                    *best = Some(new);
                }
            }
        });
        let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.into_iter().map(|best| best.map(|best| best.row)).collect()
    }
}

impl Best {
    fn is_before(self, other: Self) -> bool {
        self.product > other.product || self.product == other.product && self.row < other.row
    }
}

impl Wanted {
    fn multiply(
        self,
        cpu: Cpu,
        weights: &PackedMatrix,
        x: &Activations,
        found: &mut Vec<(usize, Best)>,
    ) {
        let first = self.group * GROUP;
        let mut sums = [[0.0; PANEL]; GROUP];
        let whole = self.tokens.count_ones() >= TOKENS_MIN;
        let panels = self.panel..self.panel + 1;
        if whole {
            let sums = &mut sums[..GROUP.min(x.n_tokens() - first)];
            pair_sums(cpu, weights, panels.clone(), x, first, sums);
        }
        let n_rows = PANEL.min(weights.n_rows() - self.panel * PANEL);
        for (t, sums) in sums.iter_mut().enumerate().filter(|(t, _)| self.tokens >> t & 1 == 1) {
            if !whole {
                let sums = std::slice::from_mut(sums);
                pair_sums(cpu, weights, panels.clone(), x, first + t, sums);
            }
            if let Some(row) = argmax(&sums[..n_rows]) {
                let best = Best { product: sums[row], row: self.panel * PANEL + row };
                found.push((first + t, best));
            }
        }
    }
}

impl Lanes {
    fn of(tokens: &[Token]) -> Self {
        let mut lanes = Self {
            scale: [0.0; GROUP],
            norm: [0.0; GROUP],
            error: [0.0; GROUP],
            size: [0.0; GROUP],
        };
        for (i, token) in tokens.iter().enumerate() {
            lanes.scale[i] = token.scale;
            lanes.norm[i] = token.norm;
            lanes.error[i] = token.error;
            lanes.size[i] = token.size;
        }
        lanes
    }

    /// How far a panel's coarse products may be from the truth.
    #[inline(always)]
    fn bound(&self, bounds: Bounds, i: usize) -> f32 {
        let Bounds { error, norm, rounding } = bounds;
        error * self.norm[i] + norm * self.error[i] + rounding * self.size[i] + TINY
    }
}

/// Of each panel, a bit for every token of a group that it is not ruled out for.
#[inline(always)]
fn undecided(
    maxima: &[[f32; GROUP]],
    n_groups: usize,
    bounds: &[Bounds],
    lanes: &Lanes,
) -> Vec<u16> {
    // What some row has for certain.
    let mut certain = [f32::NEG_INFINITY; GROUP];
    for (maxima, &bounds) in maxima.iter().step_by(n_groups).zip(bounds) {
        for (i, certain) in certain.iter_mut().enumerate() {
            let least = maxima[i] * lanes.scale[i] - lanes.bound(bounds, i);
            *certain = if least > *certain { least } else { *certain };
        }
    }
    let mut masks = Vec::with_capacity(bounds.len());
    for (maxima, &bounds) in maxima.iter().step_by(n_groups).zip(bounds) {
        let mut ruled_out = 0;
        for (i, certain) in certain.iter().enumerate() {
            let most = maxima[i] * lanes.scale[i] + lanes.bound(bounds, i);
            // What is no number rules nothing out.
            ruled_out |= u16::from(most < *certain) << i;
        }
        masks.push(!ruled_out);
    }
    masks
}
