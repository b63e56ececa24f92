//! How likely the model itself found a token: before penalties, temperature and whatever else decides.

use cerium_model::{Cpu, log_sum_exp};

/// Logarithms of probabilities, in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// Of the token.
    pub logprob: f32,
    /// Of the likeliest tokens at its place and their ids, likeliest first, equals by id.
    pub top: Vec<(u32, f32)>,
}

impl Likelihood {
    /// That of token `id` where `logits` stood, with the `n_top` likeliest ones.
    pub(crate) fn new(cpu: Cpu, logits: &[f32], id: u32, n_top: usize) -> Self {
        let log_sum = log_sum_exp(cpu, logits);
        let logprob = |logit: f32| (f64::from(logit) - log_sum) as f32;
        let top = greatest(logits, n_top).into_iter().map(|(id, logit)| (id, logprob(logit)));
        Self { logprob: logprob(logits[id as usize]), top: top.collect() }
    }
}

/// The `n` greatest logits with their ids, the greatest first, equals by id.
fn greatest(logits: &[f32], n: usize) -> Vec<(u32, f32)> {
    let mut top: Vec<(u32, f32)> = Vec::with_capacity(n + 1);
    let mut least = f32::NEG_INFINITY;
    for (id, &logit) in logits.iter().enumerate() {
        if (logit > least || top.len() < n) && !logit.is_nan() {
            let at = top.partition_point(|&(_, other)| other >= logit);
            top.insert(at, (id as u32, logit));
            top.truncate(n);
            if top.len() == n {
                least = top.last().map_or(f32::INFINITY, |&(_, logit)| logit);
            }
        }
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_likelihood_is_that_of_the_softmax() {
        let logits = [1.0, 3.0, f32::NEG_INFINITY, 3.0, -2.0, 2.0];
        let total: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let want = |i: usize| (f64::from(logits[i]).exp() / total).ln();
        let got = Likelihood::new(Cpu::best(), &logits, 4, 4);
        assert!((f64::from(got.logprob) - want(4)).abs() < 1e-6, "{got:?}");
        assert_eq!(got.top.iter().map(|&(id, _)| id).collect::<Vec<_>>(), [1, 3, 5, 0]);
        for &(id, logprob) in &got.top {
            assert!((f64::from(logprob) - want(id as usize)).abs() < 1e-6, "{got:?}");
        }
    }

    #[test]
    fn the_greatest_are_the_first_of_all_sorted() {
        let logits: Vec<f32> = (0..500).map(|i| ((i * 7919) % 113) as f32).collect();
        let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        for n in [0, 1, 5, 20, 600] {
            assert_eq!(greatest(&logits, n), sorted[..n.min(500)]);
        }
        assert_eq!(greatest(&[f32::NAN, 1.0], 2), [(1, 1.0)]);
    }
}
