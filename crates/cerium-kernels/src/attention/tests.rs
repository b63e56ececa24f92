use super::*;
use crate::half::{f16_to_f32, f32_to_f16};

/// A wave that gets faster, so that no transform gathers it in one feature.
fn wave(n: usize, f: f32) -> Vec<f32> {
    (0..n).map(|i| ((i * i % 4093) as f32 * f).sin() * 2.0).collect()
}

/// Queries, keys and values reach 2, so half a step of 16 bits is 3.1e-5. A score is off by the sum of
/// two such errors per feature, and of the products of low bytes, times 0.11: deviations are 3.6e-5 for
/// 64 features and 5.1e-5 for 128. Where values are 4 apart, outputs are off by as much; the bound is
/// eight half steps, five to seven of these deviations.
const BOUND: f64 = 8.0 * 2.0 / 65_024.0;

/// A spread query's greatest feature may be some 1.7 times as far from the others: so is its step.
const BOUND_SPREAD: f64 = 1.7 * BOUND;

/// Pages of a sequence.
fn pages(layout: KvLayout, keys: &[f32], values: &[f32]) -> Vec<Arc<KvPage>> {
    let width = layout.heads.n_kv_heads * layout.heads.head_dim;
    // Stale contents must not matter: fill with something.
    let mut stale = KvPage::new(layout);
    for slot in 0..PAGE {
        stale.store(Cpu::best(), 1, slot, &vec![90.0; width], &vec![-900.0; width]);
    }
    let mut pages = vec![stale; (keys.len() / width).div_ceil(PAGE)];
    for (pos, (key, value)) in keys.chunks(width).zip(values.chunks(width)).enumerate() {
        pages[pos / PAGE].store(Cpu::best(), 1, pos % PAGE, key, value);
    }
    pages.into_iter().map(Arc::new).collect()
}

fn run(
    cpu: Cpu,
    team: &Team,
    how: Attention<'_>,
    q: &[f32],
    first_pos: usize,
    pages: &[Arc<KvPage>],
) -> Vec<f32> {
    let n_rows = q.len() / (how.heads.n_heads * how.heads.head_dim);
    let span = Span { first_row: 0, n_rows, first_pos, pages, layer: 1 };
    let mut out = vec![f32::NAN; q.len()];
    attention(cpu, team, how, &[span], q, &mut out);
    out
}

#[test]
fn it_is_softmax_attention_and_its_bits_do_not_depend_on_the_batch() {
    let sinks = [0.5, -3.0, 2.0, 0.0, 9.0, -0.5];
    for (n, (n_heads, n_kv_heads, head_dim), window, has_sinks, format) in [
        (1100, (6, 2, 64), None, false, KvFormat::F16),
        (150, (2, 2, 128), None, true, KvFormat::F16),
        (150, (4, 1, 48), None, false, KvFormat::F16),
        (150, (4, 1, 48), Some(1), false, KvFormat::F16),
        (150, (6, 2, 64), Some(10), true, KvFormat::F16),
        (150, (2, 2, 16), Some(64), false, KvFormat::F16),
        (700, (4, 2, 16), Some(100), true, KvFormat::F16),
        (150, (4, 2, 16), Some(1000), false, KvFormat::F16),
        (150, (6, 2, 64), None, true, KvFormat::Q8),
        (150, (2, 2, 128), Some(100), false, KvFormat::Q8),
        (700, (3, 1, 48), None, true, KvFormat::Q8),
    ] {
        let heads = Heads { n_heads, n_kv_heads, head_dim };
        let sinks = has_sinks.then_some(&sinks[..n_heads]);
        let how = Attention { heads, scale: 0.11, window, sinks };
        let (width, kv_width) = (n_heads * head_dim, n_kv_heads * head_dim);
        let (q, k, v) = (wave(n * width, 0.37), wave(n * kv_width, 0.73), wave(n * kv_width, 0.19));
        let kv = pages(KvLayout { heads, n_layers: 3, format }, &k, &v);
        let all = run(Cpu::best(), &Team::new(2), how, &q, 0, &kv);
        let (k, v) = (stored_keys(format, head_dim, &k), stored_values(format, head_dim, &v));
        for pos in [0, 1, 63, 64, 100, 149, n - 1] {
            for head in 0..n_heads {
                let q = &q[pos * width + head * head_dim..][..head_dim];
                let want = attended(how, q, head, pos, &k, &v);
                let got = &all[pos * width + head * head_dim..][..head_dim];
                for (got, want) in got.iter().zip(want) {
                    let error = (f64::from(*got) - want).abs();
                    let bound = if format == KvFormat::Q8 { BOUND_SPREAD } else { BOUND };
                    assert!(error < bound, "{how:?}, {format:?}: {got} {want}");
                }
            }
        }
        // Alone, in another cut, on other paths and teams: the same bits.
        for cpu in Cpu::available() {
            for team in [Team::new(1), Team::new(2)] {
                let mut got = Vec::new();
                for (first, end) in [(0, 1), (1, 7), (7, 71), (71, n - 1), (n - 1, n)] {
                    let q = &q[first * width..end * width];
                    got.extend(run(cpu, &team, how, q, first, &kv));
                }
                let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert!(bits(&got) == bits(&all), "{how:?}, {format:?} on {}", cpu.name());
            }
        }
    }
}

#[test]
fn keys_of_8_bits_are_spread_over_all_features() {
    // One feature of a hundred would leave the others three steps.
    let mut key = wave(64, 0.3);
    key[5] = 100.0;
    let mut spread = key.clone();
    rotation::spread(Cpu::best(), &mut spread);
    let size = |key: &[f32]| key.iter().fold(0.0, |max: f32, v| max.max(v.abs()));
    assert!(size(&spread) / 8.0 < size(&key) / 4.0);
    rotation::spread(Cpu::SCALAR, &mut spread);
    assert!(spread.iter().zip(&key).all(|(twice, key)| (twice / 64.0 - key).abs() < 1e-4));
}

#[test]
fn bytes_take_little_more_than_half() {
    for head_dim in [48, 64, 128, 256] {
        let heads = Heads { n_heads: 4, n_kv_heads: 2, head_dim };
        let halves = 2 * 2 * heads.n_kv_heads * head_dim * PAGE;
        let bytes = KvLayout { heads, n_layers: 1, format: KvFormat::Q8 }.page_bytes();
        assert!(bytes as f64 <= 0.55 * halves as f64, "{bytes} for {halves}");
    }
}

/// Values as they are stored.
fn stored_values(format: KvFormat, head_dim: usize, values: &[f32]) -> Vec<f64> {
    let stored = |head: &[f32]| -> Vec<f64> {
        let step = head.iter().fold(0.0, |max: f32, v| max.max(v.abs())) / 127.0;
        let stored = |&value: &f32| match format {
            KvFormat::F16 => f64::from(f16_to_f32(f32_to_f16(value))),
            KvFormat::Q8 => f64::from((value / step).round()) * f64::from(step),
        };
        head.iter().map(stored).collect()
    };
    values.chunks(head_dim).flat_map(stored).collect()
}

/// Keys as they are stored: bytes are those of the spread key.
fn stored_keys(format: KvFormat, head_dim: usize, keys: &[f32]) -> Vec<f64> {
    if format == KvFormat::F16 {
        return stored_values(format, head_dim, keys);
    }
    let mut spread = keys.to_vec();
    spread.chunks_mut(head_dim).for_each(|head| rotation::spread(Cpu::SCALAR, head));
    let mut stored: Vec<f32> =
        stored_values(format, head_dim, &spread).into_iter().map(|v| v as f32).collect();
    stored.chunks_mut(head_dim).for_each(|head| rotation::spread(Cpu::SCALAR, head));
    let width = rotation::width(head_dim) as f64;
    stored.into_iter().map(|v| f64::from(v) / width).collect()
}

/// One head of one query in f64, over keys and values as they are stored.
fn attended(
    how: Attention<'_>,
    query: &[f32],
    head: usize,
    pos: usize,
    keys: &[f64],
    values: &[f64],
) -> Vec<f64> {
    let Heads { n_heads, n_kv_heads, head_dim } = how.heads;
    let first = how.window.map_or(0, |window| (pos + 1).saturating_sub(window));
    let at = |pos: usize| (pos * n_kv_heads + head * n_kv_heads / n_heads) * head_dim;
    let mut total = how.sinks.map_or(0.0, |sinks| f64::from(sinks[head]).exp());
    let mut sums = vec![0.0; head_dim];
    for pos in first..=pos {
        let key = &keys[at(pos)..][..head_dim];
        let dot: f64 = query.iter().zip(key).map(|(&q, &k)| f64::from(q) * k).sum();
        let weight = (dot * f64::from(how.scale)).exp();
        total += weight;
        for (sum, &value) in sums.iter_mut().zip(&values[at(pos)..][..head_dim]) {
            *sum += weight * value;
        }
    }
    sums.iter().map(|sum| sum / total).collect()
}
