//! Choosing the next token.

use crate::Sampling;
use cerium_model::argmax;
use std::borrow::Cow;

/// The sequence before the token that is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    /// All of it. How long it is determines the draw, with the seed.
    pub(crate) tokens: &'a [u32],
    /// Of these, tokens that were not generated.
    pub(crate) n_prompt: usize,
}

/// Chooses a token from `logits`, in the order of operations that [`Sampling`] tells.
///
/// * `allowed`: the tokens that may be chosen, as of [`Mask::allowed`](crate::Mask::allowed); `None`: all
///
/// Equal logits count as ordered by id, so the choice is a function of the arguments alone.
pub(crate) fn choose(
    sampling: &Sampling,
    logits: &[f32],
    before: Before<'_>,
    allowed: Option<&[u32]>,
) -> u32 {
    let mut logits = Cow::Borrowed(logits);
    if sampling.changes_logits() {
        change(sampling, logits.to_mut(), before);
    }
    if let Some(allowed) = allowed {
        forbid(logits.to_mut(), allowed);
    }
    if sampling.temperature <= 0.0 {
        return argmax(&logits).unwrap_or(0) as u32;
    }
    let mut candidates = candidates(sampling, &logits);
    weigh(sampling.temperature, &mut candidates);
    keep_nucleus(sampling, &mut candidates);
    draw(&candidates, uniform(sampling.seed, before.tokens.len() as u64))
}

/// Biases and penalties.
fn change(sampling: &Sampling, logits: &mut [f32], before: Before<'_>) {
    for &(id, bias) in &sampling.logit_bias {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit += bias;
        }
    }
    if sampling.repetition_penalty != 1.0 {
        penalise(sampling.repetition_penalty, logits, before.tokens);
    }
    if sampling.presence_penalty != 0.0 || sampling.frequency_penalty != 0.0 {
        let mut generated = before.tokens[before.n_prompt..].to_vec();
        generated.sort_unstable();
        for same in generated.chunk_by(|a, b| a == b) {
            if let Some(logit) = logits.get_mut(same[0] as usize) {
                *logit -=
                    sampling.presence_penalty + sampling.frequency_penalty * same.len() as f32;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    logit: f32,
    /// Relative to the likeliest, whose weight is 1.
    weight: f64,
}

fn penalise(penalty: f32, logits: &mut [f32], seen: &[u32]) {
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }
}

/// Makes all tokens impossible that are not allowed.
fn forbid(logits: &mut [f32], allowed: &[u32]) {
    let (whole, rest) = logits.as_chunks_mut::<32>();
    let words = allowed.iter().copied().chain(std::iter::repeat(0));
    for (logits, word) in whole.iter_mut().map(|chunk| &mut chunk[..]).chain([rest]).zip(words) {
        match word {
            u32::MAX => {}
            0 => logits.fill(f32::NEG_INFINITY),
            word => {
                for (i, logit) in logits.iter_mut().enumerate() {
                    if word >> i & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// The `top_k` likeliest (or all), likeliest first. What is impossible is none of them.
fn candidates(sampling: &Sampling, logits: &[f32]) -> Vec<Candidate> {
    let possible = |logit: f32| !logit.is_nan() && logit > f32::NEG_INFINITY;
    let all = logits.iter().enumerate().filter(|&(_, &logit)| possible(logit));
    let mut all: Vec<Candidate> =
        all.map(|(id, &logit)| Candidate { id: id as u32, logit, weight: 0.0 }).collect();
    let order = |a: &Candidate, b: &Candidate| b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id));
    if sampling.top_k > 0 && sampling.top_k < all.len() {
        all.select_nth_unstable_by(sampling.top_k - 1, order);
        all.truncate(sampling.top_k);
    } else if !all.is_empty() {
        // Below e^-40 of the likeliest a token cannot be drawn: 2^-53 is the finest draw.
        let max = all.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
        all.retain(|c| c.logit >= max - 40.0 * sampling.temperature.max(f32::MIN_POSITIVE));
    }
    all.sort_unstable_by(order);
    all
}

fn weigh(temperature: f32, candidates: &mut [Candidate]) {
    let Some(max) = candidates.first().map(|c| f64::from(c.logit)) else { return };
    for c in candidates {
        c.weight = ((f64::from(c.logit) - max) / f64::from(temperature)).exp();
    }
}

/// Applies `top_p` and `min_p`; the likeliest always stays.
fn keep_nucleus(sampling: &Sampling, candidates: &mut Vec<Candidate>) {
    if sampling.top_p < 1.0 {
        let wanted = f64::from(sampling.top_p) * candidates.iter().map(|c| c.weight).sum::<f64>();
        let mut sum = 0.0;
        let n = candidates.iter().take_while(|c| {
            let before = sum;
            sum += c.weight;
            before < wanted
        });
        let n = n.count().max(1);
        candidates.truncate(n);
    }
    if sampling.min_p > 0.0 {
        let floor = f64::from(sampling.min_p);
        let n = candidates.iter().take_while(|c| c.weight >= floor).count().max(1);
        candidates.truncate(n);
    }
}

/// The candidate at `point` (0..1) of the summed weights.
fn draw(candidates: &[Candidate], point: f64) -> u32 {
    let mut rest = point * candidates.iter().map(|c| c.weight).sum::<f64>();
    for c in candidates {
        rest -= c.weight;
        if rest < 0.0 {
            return c.id;
        }
    }
    candidates.last().map_or(0, |c| c.id)
}

/// A number in 0..1 from seed and position. Source: the finaliser of Steele et al. 2014
/// (`SplitMix64`), applied twice.
fn uniform(seed: u64, position: u64) -> f64 {
    let mix = |mut z: u64| {
        z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (mix(mix(seed) ^ position) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A choice after these tokens.
    fn at(sampling: &Sampling, logits: &[f32], tokens: &[u32]) -> u32 {
        choose(sampling, logits, Before { tokens, n_prompt: 0 }, None)
    }

    /// So many tokens before, none of which is among those that are chosen from.
    fn others(n: usize) -> Before<'static> {
        static TOKENS: [u32; 40_000] = [u32::MAX; 40_000];
        Before { tokens: &TOKENS[..n], n_prompt: 0 }
    }

    fn sampling(temperature: f32) -> Sampling {
        Sampling { temperature, ..Sampling::default() }
    }

    fn counts(sampling: &Sampling, logits: &[f32], n: usize) -> Vec<usize> {
        let mut counts = vec![0; logits.len()];
        for position in 0..n {
            counts[choose(sampling, logits, others(position), None) as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_first_of_the_likeliest() {
        let logits = [1.0, 5.0, 5.0, f32::NAN];
        assert_eq!(at(&sampling(0.0), &logits, &[]), 1);
        assert_eq!(choose(&sampling(0.0), &logits, others(0), Some(&[0b1101])), 2);
    }

    #[test]
    fn draws_follow_the_softmax_and_repeat_for_a_seed() {
        let logits = [0.0, 1.0, 2.0, -50.0];
        let n = 40_000;
        let got = counts(&sampling(1.0), &logits, n);
        let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        for (count, logit) in got.iter().zip(logits) {
            let want = f64::from(logit).exp() / total * n as f64;
            // Six standard deviations of a binomial count.
            assert!((*count as f64 - want).abs() <= 6.0 * want.sqrt() + 1.0, "{count} {want}");
        }
        assert_eq!(got, counts(&sampling(1.0), &logits, n));
        let other = Sampling { seed: 1, ..sampling(1.0) };
        assert_ne!(got, counts(&other, &logits, n));
    }

    #[test]
    fn filters_keep_what_they_say() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        let kept = |s: Sampling| counts(&s, &logits, 4000).iter().filter(|&&n| n > 0).count();
        assert_eq!(kept(sampling(1.0)), 4);
        assert_eq!(kept(Sampling { top_k: 2, ..sampling(1.0) }), 2);
        // Probabilities .64 .24 .09 .03.
        assert_eq!(kept(Sampling { top_p: 0.6, ..sampling(1.0) }), 1);
        assert_eq!(kept(Sampling { top_p: 0.8, ..sampling(1.0) }), 2);
        assert_eq!(kept(Sampling { min_p: 0.1, ..sampling(1.0) }), 3);
        assert_eq!(kept(Sampling { min_p: 1.0, ..sampling(1.0) }), 1);
    }

    #[test]
    fn what_is_not_allowed_is_not_drawn() {
        let logits: Vec<f32> = (0..70).map(|i| (i % 7) as f32).collect();
        let mut allowed = [0, 0b1000, 0];
        for s in [sampling(0.0), sampling(1.0), Sampling { top_k: 5, ..sampling(2.0) }] {
            for position in 0..50 {
                assert_eq!(choose(&s, &logits, others(position), Some(&allowed)), 35);
                // Words that are missing allow nothing.
                assert_eq!(choose(&s, &logits, others(position), Some(&[1 << 31])), 31);
            }
        }
        allowed[2] = 0b11;
        let seen: Vec<u32> =
            (0..200).map(|p| choose(&sampling(9.0), &logits, others(p), Some(&allowed))).collect();
        assert!([35, 64, 65].iter().all(|id| seen.contains(id)));
        assert!(seen.iter().all(|id| [35, 64, 65].contains(id)));
    }

    #[test]
    fn the_penalty_pushes_seen_tokens_down() {
        let s = Sampling { repetition_penalty: 2.0, ..sampling(0.0) };
        assert_eq!(at(&s, &[4.0, 3.0, -1.0], &[0]), 1);
        assert_eq!(at(&s, &[-1.0, -1.5, -9.0], &[0, 0]), 1);
    }

    #[test]
    fn what_was_generated_is_penalised_once_or_for_each_time() {
        let chosen = |presence_penalty, frequency_penalty, tokens: &[u32]| {
            let s = Sampling { presence_penalty, frequency_penalty, ..sampling(0.0) };
            choose(&s, &[4.0, 3.0, 2.0], Before { tokens, n_prompt: 2 }, None)
        };
        assert_eq!(chosen(1.5, 0.0, &[0, 0]), 0, "a prompt is not penalised");
        assert_eq!(chosen(1.5, 0.0, &[1, 1, 0]), 1);
        assert_eq!(chosen(0.5, 0.0, &[1, 1, 0, 0, 0]), 0, "once, however often");
        assert_eq!(chosen(0.0, 0.5, &[1, 1, 0, 0, 0]), 1, "for each time");
        assert_eq!(chosen(-2.0, 0.0, &[0, 0, 2]), 0);
        assert_eq!(chosen(-3.0, 0.0, &[0, 0, 2]), 2, "or preferred");
        assert_eq!(chosen(1.0, 1.0, &[0, 0, u32::MAX]), 0, "what is no token is none");
    }

    #[test]
    fn a_bias_is_added_before_anything_else() {
        let biased = |bias: &[(u32, f32)], repetition_penalty, tokens: &[u32]| {
            let logit_bias = bias.to_vec();
            at(&Sampling { repetition_penalty, logit_bias, ..sampling(0.0) }, &[4.0, 3.0], tokens)
        };
        assert_eq!(biased(&[(0, -100.0)], 1.0, &[]), 1);
        assert_eq!(biased(&[(1, 1.5), (9, 100.0)], 1.0, &[]), 1);
        // 4.5 of 9.0 against 4.0: were it added afterwards, it would be 6.5 of 3.0.
        assert_eq!(biased(&[(1, 6.0)], 2.0, &[1]), 1);
        assert_eq!(biased(&[(1, 4.9)], 2.0, &[1]), 0);
    }
}
