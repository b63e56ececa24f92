//! Rotary positions: the angles of a step's rows.

use super::Config;

/// Angles in f64: position 30,000 times a frequency of 1 has no digits to spare in f32.
pub(super) fn fill_turns(
    config: &Config,
    factors: Option<&[f32]>,
    positions: &[usize],
    turns: &mut Vec<(f32, f32)>,
) {
    let n_pairs = config.n_rot / 2;
    let frequency = |i: usize| {
        let exponent = -2.0 * i as f64 / config.n_rot as f64;
        let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
        f64::from(config.rope_theta).powf(exponent) / factor
    };
    let frequencies: Vec<f64> = (0..n_pairs).map(frequency).collect();
    turns.clear();
    for &pos in positions {
        turns.extend(frequencies.iter().map(|f| {
            let (sin, cos) = (pos as f64 * f).sin_cos();
            (cos as f32, sin as f32)
        }));
    }
}
