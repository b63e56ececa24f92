//! Causal attention over pages of half-precision keys and values.
//!
//! A sequence's keys and values lie in pages of 64 positions. A query's softmax is computed page by
//! page on that absolute grid and the partial results are merged in page order, so its bits depend
//! on its own position alone: not on the batch, the thread or where the prompt was cut.

use crate::cpu::{Cpu, Isa, per_isa};
use crate::elementwise::{exp, fold};
use crate::half::f16s_to_f32s;
use crate::team::{Shareable, Team};
use std::ops::Range;

/// Positions per page.
pub const PAGE: usize = 64;

/// Columns that a weighted sum keeps in registers.
const COLUMNS: usize = 64;

/// Rows that one work item serves, so that a page's conversion to f32 is shared.
const ROWS_PER_ITEM: usize = 8;

/// Heads of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
}

impl Heads {
    /// Halves in one layer's keys (or values) of a page.
    pub fn page_len(self) -> usize {
        self.n_kv_heads * self.head_dim * PAGE
    }
}

/// How a layer attends.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Its heads.
    pub heads: Heads,
    /// What scores are multiplied with before the softmax: `1 / sqrt(head_dim)` in most families.
    pub scale: f32,
    /// Positions that a row sees, its own the last of them; all before it where there is no window.
    pub window: Option<usize>,
    /// A score per query head that takes its share of the softmax and gives nothing for it.
    pub sinks: Option<&'a [f32]>,
}

impl Attention<'_> {
    /// The positions that position `pos` sees.
    fn visible(&self, pos: usize) -> Range<usize> {
        self.window.map_or(0, |window| (pos + 1).saturating_sub(window))..pos + 1
    }
}

/// The rows of a batch that belong to one sequence, with that sequence's pages of one layer.
#[derive(Debug)]
pub struct Span<'a> {
    /// Index of the first row in the batch.
    pub first_row: usize,
    /// Number of rows.
    pub n_rows: usize,
    /// Position of the first row in its sequence.
    pub first_pos: usize,
    /// Keys per page, `[n_kv_heads, head_dim, PAGE]`, halves.
    pub keys: Vec<&'a [u16]>,
    /// Values per page, `[n_kv_heads, PAGE, head_dim]`, halves.
    pub values: Vec<&'a [u16]>,
}

/// Writes one position's key and value into a page.
///
/// * `key`, `value`: `[n_kv_heads, head_dim]`
/// * `slot`: position inside the page
///
/// # Panics
/// If lengths do not fit `heads` or `slot` is outside the page.
pub fn store_kv(
    heads: Heads,
    (key, value): (&[f32], &[f32]),
    slot: usize,
    (keys, values): (&mut [u16], &mut [u16]),
) {
    let dim = heads.head_dim;
    assert!(slot < PAGE && key.len() == heads.n_kv_heads * dim && value.len() == key.len());
    assert!(keys.len() == heads.page_len() && values.len() == keys.len(), "page length");
    for (i, &k) in key.iter().enumerate() {
        keys[i * PAGE + slot] = crate::f32_to_f16(k);
    }
    for (head, value) in value.chunks_exact(dim).enumerate() {
        let at = (head * PAGE + slot) * dim;
        crate::f32s_to_f16s(Cpu::SCALAR, value, &mut values[at..at + dim]);
    }
}

/// Attends every row of the spans to its own position and those before it that it sees.
///
/// * `queries`, `out`: `[n_rows, n_heads, head_dim]`
///
/// # Panics
/// If shapes do not fit each other, `head_dim` is not a multiple of 16, a window is 0, or pages are
/// missing.
pub fn attention(
    cpu: Cpu,
    team: &Team,
    how: Attention<'_>,
    spans: &[Span<'_>],
    queries: &[f32],
    out: &mut [f32],
) {
    let heads = how.heads;
    let width = heads.n_heads * heads.head_dim;
    assert!(how.window != Some(0), "a row sees itself");
    assert!(how.sinks.is_none_or(|sinks| sinks.len() == heads.n_heads), "a sink per head");
    assert!(heads.head_dim.is_multiple_of(16) && heads.n_heads.is_multiple_of(heads.n_kv_heads));
    assert_eq!(queries.len(), out.len(), "as many outputs as queries");
    let mut items = Vec::new();
    for span in spans {
        assert!((span.first_row + span.n_rows) * width <= queries.len(), "rows of the batch");
        let n_pages = (span.first_pos + span.n_rows).div_ceil(PAGE);
        assert!(span.keys.len() >= n_pages && span.values.len() >= n_pages, "pages");
        let page_len = heads.page_len();
        assert!(span.keys.iter().chain(&span.values).all(|p| p.len() == page_len), "page length");
        for row in (0..span.n_rows).step_by(ROWS_PER_ITEM) {
            for kv_head in 0..heads.n_kv_heads {
                items.push((span, row, kv_head));
            }
        }
    }
    let out = Shareable(out.as_mut_ptr());
    // Later rows attend to more: longest first balances the threads.
    team.run(items.len(), &|i| {
        let (span, row, kv_head) = items[items.len() - 1 - i];
        let rows = row..span.n_rows.min(row + ROWS_PER_ITEM);
        attend(cpu, how, span, rows, kv_head, queries, &out);
    });
}

/// A query's softmax so far.
#[derive(Clone, Copy, Debug)]
struct Partial {
    /// Greatest score.
    max: f32,
    /// Sum of `exp(score - max)`.
    sum: f32,
}

/// One key head for a few rows: all query heads of its group.
fn attend(
    cpu: Cpu,
    how: Attention<'_>,
    span: &Span<'_>,
    rows: Range<usize>,
    kv_head: usize,
    queries: &[f32],
    out: &Shareable<f32>,
) {
    let heads = how.heads;
    let dim = heads.head_dim;
    let group = heads.n_heads / heads.n_kv_heads;
    let width = heads.n_heads * dim;
    let mut keys = vec![0.0; dim * PAGE];
    // Rows of values are padded to whole runs of 64 columns.
    let padded = dim.next_multiple_of(COLUMNS);
    let mut values = vec![0.0; padded * PAGE];
    // A sink comes before all pages: its score is the greatest so far, and its own share is 1.
    let start = |head: usize| match how.sinks {
        Some(sinks) => Partial { max: sinks[kv_head * group + head], sum: 1.0 },
        None => Partial { max: f32::NEG_INFINITY, sum: 0.0 },
    };
    let mut state: Vec<_> = (0..rows.len() * group).map(|i| start(i % group)).collect();
    let mut sums = vec![0.0; rows.len() * group * dim];
    let first_page = how.visible(span.first_pos + rows.start).start / PAGE;
    let n_pages = (span.first_pos + rows.end).div_ceil(PAGE);
    for page in first_page..n_pages {
        let at = kv_head * dim * PAGE;
        f16s_to_f32s(cpu, &span.keys[page][at..at + dim * PAGE], &mut keys);
        let rows_of_values = span.values[page][at..at + dim * PAGE].chunks_exact(dim);
        for (from, to) in rows_of_values.zip(values.chunks_exact_mut(padded)) {
            f16s_to_f32s(cpu, from, &mut to[..dim]);
        }
        for (i, row) in rows.clone().enumerate() {
            let visible = how.visible(span.first_pos + row);
            let slot = |pos: usize| pos.saturating_sub(page * PAGE).min(PAGE);
            let valid = slot(visible.start)..slot(visible.end);
            if valid.is_empty() {
                continue;
            }
            let at = (span.first_row + row) * width + kv_head * group * dim;
            let scale = how.scale;
            let page = Page { keys: &keys, values: &values, padded, scale, valid };
            let (queries, j) = (&queries[at..at + group * dim], i * group);
            let (state, sums) = (&mut state[j..j + group], &mut sums[j * dim..(j + group) * dim]);
            // Four heads at a time share the loads of a page.
            let heads =
                queries.chunks(4 * dim).zip(state.chunks_mut(4)).zip(sums.chunks_mut(4 * dim));
            for ((queries, state), sums) in heads {
                match state.len() {
                    4 => page.attend::<4>(cpu, queries, state, sums),
                    3 => page.attend::<3>(cpu, queries, state, sums),
                    2 => page.attend::<2>(cpu, queries, state, sums),
                    _ => page.attend::<1>(cpu, queries, state, sums),
                }
            }
        }
    }
    for (i, row) in rows.enumerate() {
        for g in 0..group {
            let j = i * group + g;
            let at = (span.first_row + row) * width + (kv_head * group + g) * dim;
            // SAFETY: the row is inside the batch (checked in `attention`), and this row's values
            // of this key head's group are written by this item alone.
            let out = unsafe { std::slice::from_raw_parts_mut(out.0.add(at), dim) };
            let inverse = 1.0 / state[j].sum;
            for (out, sum) in out.iter_mut().zip(&sums[j * dim..][..dim]) {
                *out = sum * inverse;
            }
        }
    }
}

/// One key head of a page, as floats.
#[derive(Clone, Debug)]
struct Page<'a> {
    /// `[head_dim, PAGE]`
    keys: &'a [f32],
    /// `[PAGE, padded]`
    values: &'a [f32],
    /// `head_dim`, padded to whole runs of [`COLUMNS`].
    padded: usize,
    /// See [`Attention::scale`].
    scale: f32,
    /// Slots that the row sees.
    valid: Range<usize>,
}

impl Page<'_> {
    /// Adds this page to the softmax of `N` heads of one row.
    ///
    /// * `queries`, `sums`: `[N, head_dim]`
    fn attend<const N: usize>(
        &self,
        cpu: Cpu,
        queries: &[f32],
        state: &mut [Partial],
        sums: &mut [f32],
    ) {
        let dim = queries.len() / N;
        let mut heads = [queries; N];
        for (head, query) in heads.iter_mut().zip(queries.chunks_exact(dim)) {
            *head = query;
        }
        let mut weights = weighted_sums(cpu, heads, self.keys, PAGE);
        let (mut keep, mut take) = ([0.0; N], [0.0; N]);
        for (i, (weights, state)) in weights.iter_mut().zip(state).enumerate() {
            for score in weights.iter_mut() {
                *score *= self.scale;
            }
            let part = softmax(cpu, weights, self.valid.clone());
            let max = if part.max > state.max { part.max } else { state.max };
            (keep[i], take[i]) = (exp(state.max - max), exp(part.max - max));
            *state = Partial { max, sum: state.sum * keep[i] + part.sum * take[i] };
        }
        let weights = weights.each_ref().map(|weights| &weights[self.valid.clone()]);
        let values = &self.values[self.valid.start * self.padded..];
        for c in (0..dim).step_by(COLUMNS) {
            let page = weighted_sums(cpu, weights, &values[c..], self.padded);
            let n = COLUMNS.min(dim - c);
            for (i, page) in page.iter().enumerate() {
                let sums = &mut sums[i * dim + c..][..n];
                merge(cpu, keep[i], take[i], sums, &page[..n]);
            }
        }
    }
}

/// Softmax over the `valid` scores of a page, unnormalised; the rest become 0.
fn softmax(cpu: Cpu, scores: &mut [f32; PAGE], valid: Range<usize>) -> Partial {
    per_isa!(cpu, softmax_body(scores: &mut [f32; PAGE], valid: Range<usize>) -> Partial)
}

#[inline(always)]
fn softmax_body(scores: &mut [f32; PAGE], valid: Range<usize>) -> Partial {
    for (i, score) in scores.iter_mut().enumerate() {
        *score = if valid.start <= i && i < valid.end { *score } else { f32::NEG_INFINITY };
    }
    let mut greatest = [f32::NEG_INFINITY; 16];
    for scores in scores.as_chunks::<16>().0 {
        for (max, &s) in greatest.iter_mut().zip(scores) {
            *max = if s > *max { s } else { *max };
        }
    }
    let max = greatest.iter().fold(f32::NEG_INFINITY, |m, &s| if s > m { s } else { m });
    let mut lanes = [0.0f32; 16];
    for scores in scores.as_chunks_mut::<16>().0 {
        for (lane, score) in lanes.iter_mut().zip(scores) {
            *score = exp(*score - max);
            *lane += *score;
        }
    }
    Partial { max, sum: fold(lanes) }
}

/// For each of `N` lists of weights `sum over i of weights[i] * rows[i * stride + c]` for 64 columns
/// `c`, `i` in ascending order. The columns stay in registers while all rows pass.
fn weighted_sums<const N: usize>(
    cpu: Cpu,
    weights: [&[f32]; N],
    rows: &[f32],
    stride: usize,
) -> [[f32; COLUMNS]; N] {
    let n = weights[0].len();
    assert!(weights.iter().all(|weights| weights.len() == n), "as many weights in each list");
    assert!(n == 0 || rows.len() >= (n - 1) * stride + COLUMNS, "rows");
    let mut sums = [[0.0f32; COLUMNS]; N];
    match cpu.0 {
        Isa::Scalar => {
            for (sums, weights) in sums.iter_mut().zip(weights) {
                for (w, row) in weights.iter().zip(rows.chunks(stride)) {
                    sums.iter_mut().zip(row).for_each(|(sum, v)| *sum = w.mul_add(*v, *sum));
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            for (sums, weights) in sums.iter_mut().zip(weights) {
                // SAFETY: `available` makes this value only after detecting AVX2 and FMA, and the
                // rows are as long as asserted.
                *sums = unsafe { weighted_sum_avx2(weights, rows, stride) };
            }
        }
        // SAFETY: as above, with AVX-512.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { weighted_sums_avx512(weights, rows, stride, &mut sums) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx => unsafe { weighted_sums_avx512(weights, rows, stride, &mut sums) },
    }
    sums
}

/// # Safety
/// `rows` holds `weights.len()` rows at distance `stride`, of at least 64 values each.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn weighted_sum_avx2(weights: &[f32], rows: &[f32], stride: usize) -> [f32; COLUMNS] {
    use std::arch::x86_64::*;
    let mut acc = [_mm256_setzero_ps(); COLUMNS / 8];
    let mut row = rows.as_ptr();
    for &w in weights {
        let w = _mm256_set1_ps(w);
        for (i, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *acc = _mm256_fmadd_ps(w, unsafe { _mm256_loadu_ps(row.add(8 * i)) }, *acc);
        }
        row = row.wrapping_add(stride);
    }
    let mut sums = [0.0; COLUMNS];
    for (sums, acc) in sums.as_chunks_mut::<8>().0.iter_mut().zip(acc) {
        // SAFETY: eight floats are stored into eight.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), acc) };
    }
    sums
}

/// Sixteen sums in registers: enough to keep both multipliers busy, and each row is loaded once.
///
/// # Safety
/// As for [`weighted_sum_avx2`], and all lists have the length of the first.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn weighted_sums_avx512<const N: usize>(
    weights: [&[f32]; N],
    rows: &[f32],
    stride: usize,
    sums: &mut [[f32; COLUMNS]; N],
) {
    use std::arch::x86_64::*;
    let mut acc = [[_mm512_setzero_ps(); COLUMNS / 16]; N];
    for i in 0..weights[0].len() {
        let row = rows.as_ptr().wrapping_add(i * stride);
        for c in 0..COLUMNS / 16 {
            // SAFETY: the caller's promise.
            let row = unsafe { _mm512_loadu_ps(row.add(16 * c)) };
            for (acc, weights) in acc.iter_mut().zip(weights) {
                // SAFETY: `i` is below the common length.
                let w = _mm512_set1_ps(unsafe { *weights.get_unchecked(i) });
                acc[c] = _mm512_fmadd_ps(w, row, acc[c]);
            }
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        for (sums, acc) in sums.as_chunks_mut::<16>().0.iter_mut().zip(acc) {
            // SAFETY: sixteen floats are stored into sixteen.
            unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), acc) };
        }
    }
}

/// Joins a page's weighted values to those of the pages before it.
fn merge(cpu: Cpu, keep: f32, take: f32, sums: &mut [f32], page: &[f32]) {
    per_isa!(cpu, merge_body(keep: f32, take: f32, sums: &mut [f32], page: &[f32]));
}

#[inline(always)]
fn merge_body(keep: f32, take: f32, sums: &mut [f32], page: &[f32]) {
    for (sum, page) in sums.iter_mut().zip(page) {
        *sum = *sum * keep + page * take;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::half::{f16_to_f32, f32_to_f16};

    fn wave(n: usize, f: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * f).sin() * 2.0).collect()
    }

    /// Pages of a sequence of `n` positions.
    fn pages(heads: Heads, keys: &[f32], values: &[f32]) -> (Vec<Vec<u16>>, Vec<Vec<u16>>) {
        let width = heads.n_kv_heads * heads.head_dim;
        let n_pages = (keys.len() / width).div_ceil(PAGE);
        // Stale contents must not matter: fill with a finite value.
        let mut k = vec![vec![0x5555; heads.page_len()]; n_pages];
        let mut v = k.clone();
        for (pos, kv) in keys.chunks(width).zip(values.chunks(width)).enumerate() {
            store_kv(heads, kv, pos % PAGE, (&mut k[pos / PAGE], &mut v[pos / PAGE]));
        }
        (k, v)
    }

    fn run(
        cpu: Cpu,
        team: &Team,
        how: Attention<'_>,
        q: &[f32],
        first: usize,
        kv: &(Vec<Vec<u16>>, Vec<Vec<u16>>),
    ) -> Vec<f32> {
        let n_rows = q.len() / (how.heads.n_heads * how.heads.head_dim);
        let keys = kv.0.iter().map(Vec::as_slice).collect();
        let values = kv.1.iter().map(Vec::as_slice).collect();
        let span = Span { first_row: 0, n_rows, first_pos: first, keys, values };
        let mut out = vec![f32::NAN; q.len()];
        attention(cpu, team, how, &[span], q, &mut out);
        out
    }

    #[test]
    fn it_is_softmax_attention_and_its_bits_do_not_depend_on_the_batch() {
        let sinks = [0.5, -3.0, 2.0, 0.0, 9.0, -0.5];
        for (n_heads, n_kv_heads, head_dim, window, has_sinks) in [
            (6, 2, 64, None, false),
            (2, 2, 128, None, true),
            (4, 1, 48, None, false),
            (4, 1, 48, Some(1), false),
            (6, 2, 64, Some(10), true),
            (2, 2, 16, Some(64), false),
            (4, 2, 16, Some(100), true),
            (4, 2, 16, Some(1000), false),
        ] {
            let heads = Heads { n_heads, n_kv_heads, head_dim };
            let sinks = has_sinks.then_some(&sinks[..n_heads]);
            let how = Attention { heads, scale: 0.11, window, sinks };
            let n = 150;
            let (width, kv_width) = (n_heads * head_dim, n_kv_heads * head_dim);
            let (q, k, v) =
                (wave(n * width, 0.37), wave(n * kv_width, 0.73), wave(n * kv_width, 0.19));
            let kv = pages(heads, &k, &v);
            let all = run(Cpu::best(), &Team::new(2), how, &q, 0, &kv);
            for pos in [0, 1, 63, 64, 100, 149] {
                for head in 0..n_heads {
                    let q = &q[pos * width + head * head_dim..][..head_dim];
                    let want = attended(how, q, head, pos, &k, &v);
                    let got = &all[pos * width + head * head_dim..][..head_dim];
                    for (got, want) in got.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() < 2e-5, "{how:?}: {got} {want}");
                    }
                }
            }
            // Alone, in another cut, on other paths and teams: the same bits.
            for cpu in Cpu::available() {
                for team in [Team::new(1), Team::new(2)] {
                    let mut got = Vec::new();
                    for (first, n_rows) in [(0, 1), (1, 6), (7, 64), (71, 79)] {
                        let q = &q[first * width..(first + n_rows) * width];
                        got.extend(run(cpu, &team, how, q, first, &kv));
                    }
                    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&got), bits(&all), "{how:?} on {}", cpu.name());
                }
            }
        }
    }

    /// One head of one query in f64, over keys and values as they are stored.
    fn attended(
        how: Attention<'_>,
        query: &[f32],
        head: usize,
        pos: usize,
        keys: &[f32],
        values: &[f32],
    ) -> Vec<f64> {
        let Heads { n_heads, n_kv_heads, head_dim } = how.heads;
        let first = how.window.map_or(0, |window| (pos + 1).saturating_sub(window));
        let at = |pos: usize| (pos * n_kv_heads + head * n_kv_heads / n_heads) * head_dim;
        let half = |x: f32| f64::from(f16_to_f32(f32_to_f16(x)));
        let mut total = how.sinks.map_or(0.0, |sinks| f64::from(sinks[head]).exp());
        let mut sums = vec![0.0; head_dim];
        for pos in first..=pos {
            let key = &keys[at(pos)..][..head_dim];
            let dot: f64 = query.iter().zip(key).map(|(&q, &k)| f64::from(q) * half(k)).sum();
            let weight = (dot * f64::from(how.scale)).exp();
            total += weight;
            for (sum, &value) in sums.iter_mut().zip(&values[at(pos)..][..head_dim]) {
                *sum += weight * half(value);
            }
        }
        sums.iter().map(|sum| sum / total).collect()
    }
}
