//! Feed-forward networks of which every row uses a few: a router chooses, and what the chosen experts make
//! is weighed and summed.
//!
//! Rows are sorted by expert, so that an expert's weights are read once for all of its rows, and not at
//! all where it has none. What a row gets is summed in the order of its own choice, whoever shares the
//! batch.

use super::forward::{Pass, add_bias};
use crate::profile::Work;
use crate::weights::Experts;
use cerium_kernels::{Detail, Product, add_scaled, matmul};
use std::ops::Range;

/// Which experts the rows of a step use.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// What the router says, `[n_rows, n_experts]`.
    scores: Vec<f32>,
    /// The experts of each row, best first, `[n_rows, n_used]`.
    choices: Vec<Choice>,
    /// Experts that are used, with their places.
    runs: Vec<(usize, Range<usize>)>,
    /// The choice that is at a place.
    sorted: Vec<usize>,
    /// Of a row at a time: its experts, best first.
    order: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Choice {
    expert: usize,
    /// Share of the row's result.
    weight: f32,
    /// Where the row is when all are sorted by expert.
    place: usize,
}

impl Routes {
    /// Chooses the `n_used` experts of greatest score for each row, of equal ones the first. Their weights are
    /// the softmax over these scores.
    fn choose(&mut self, n_experts: usize, n_used: usize) {
        let Self { scores, choices, runs, sorted, order } = self;
        choices.clear();
        for scores in scores.chunks_exact(n_experts) {
            order.clear();
            order.extend(0..n_experts);
            order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            let best = f64::from(scores[order[0]]);
            let share = |expert: usize| (f64::from(scores[expert]) - best).exp();
            let total: f64 = order[..n_used].iter().map(|&expert| share(expert)).sum();
            choices.extend(order[..n_used].iter().map(|&expert| {
                let weight = (share(expert) / total) as f32;
                Choice { expert, weight, place: 0 }
            }));
        }
        sorted.clear();
        sorted.extend(0..choices.len());
        sorted.sort_unstable_by_key(|&choice| (choices[choice].expert, choice));
        runs.clear();
        for (place, &choice) in sorted.iter().enumerate() {
            let choice = &mut choices[choice];
            choice.place = place;
            match runs.last_mut() {
                Some((expert, places)) if *expert == choice.expert => places.end += 1,
                _ => runs.push((choice.expert, place..place + 1)),
            }
        }
    }
}

impl Pass<'_> {
    /// What the experts make of the normed rows, weighed and summed, is what goes to the stream.
    pub(super) fn experts(&mut self, experts: &Experts) {
        let (d_model, n_used) = (self.config.d_model, experts.n_used);
        let n_rows = self.scratch.x.len() / d_model;
        let mut routes = std::mem::take(&mut self.scratch.routes);
        let mut made = std::mem::take(&mut self.scratch.made);
        self.route(experts, &mut routes);
        made.resize(n_rows * n_used * d_model, 0.0);
        for (expert, places) in &routes.runs {
            let network = &experts.each[*expert];
            let (cpu, team, s) = (self.cpu, self.team, &mut *self.scratch);
            let (normed, choices) = (&s.normed, &routes.sorted[places.clone()]);
            s.gathered.resize(places.len() * d_model, 0.0);
            let detail = Detail::of(self.fine, &network.inputs());
            s.quantised.quantize(cpu, team, &mut s.gathered, d_model, detail, |i, row| {
                row.copy_from_slice(&normed[choices[i] / n_used * d_model..][..d_model]);
            });
            self.clock.lap(Work::Norms);
            self.network(network, &mut made[places.start * d_model..places.end * d_model]);
        }
        let cpu = self.cpu;
        self.team.for_each_chunk(&mut self.scratch.delta, d_model, |i, row| {
            row.fill(0.0);
            for choice in &routes.choices[i * n_used..(i + 1) * n_used] {
                add_scaled(cpu, row, choice.weight, &made[choice.place * d_model..][..d_model]);
                if let Some(bias) = &experts.each[choice.expert].down.bias {
                    add_scaled(cpu, row, choice.weight, bias);
                }
            }
        });
        self.clock.lap(Work::Down);
        (self.scratch.routes, self.scratch.made) = (routes, made);
    }

    /// Which experts the normed rows use.
    fn route(&mut self, Experts { router, each, n_used }: &Experts, routes: &mut Routes) {
        let (cpu, x) = (self.cpu, &self.scratch.quantised);
        routes.scores.resize(x.n_tokens() * each.len(), 0.0);
        let product = Product { weights: &router.weights, out: &mut routes.scores };
        matmul(cpu, self.team, x, &mut [product]);
        for row in routes.scores.chunks_exact_mut(each.len()) {
            add_bias(cpu, row, router);
        }
        routes.choose(each.len(), *n_used);
        self.clock.lap(Work::Hidden);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_chosen_and_sorted_by_expert() {
        let scores = vec![1.0, 3.0, 3.0, 0.0, /* next row */ 9.0, -1.0, 2.0, 9.0];
        let mut routes = Routes { scores, ..Routes::default() };
        routes.choose(4, 2);
        let experts: Vec<_> = routes.choices.iter().map(|choice| choice.expert).collect();
        assert_eq!(experts, [1, 2, 0, 3]);
        assert!(routes.choices.iter().all(|choice| choice.weight == 0.5));
        assert_eq!(routes.runs, [(0, 0..1), (1, 1..2), (2, 2..3), (3, 3..4)]);
        assert_eq!(routes.sorted, [2, 0, 1, 3]);

        routes.choose(4, 1);
        let chosen: Vec<_> = routes.choices.iter().map(|c| (c.expert, c.weight, c.place)).collect();
        assert_eq!(chosen, [(1, 1.0, 1), (0, 1.0, 0)]);
    }
}
