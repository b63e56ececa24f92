//! What a score costs: the time of a key with a head, both products and the softmax, when keys and values come
//! from memory. For `docs/long-context.md`; `cargo bench -p cerium-kernels --bench attention`.

use cerium_kernels::{
    Attention, Cpu, Heads, KvFormat, KvLayout, KvPage, PAGE, Span, Team, attention,
};
use std::sync::Arc;
use std::time::Instant;

/// A wave that gets faster, so that no transform gathers it in one feature.
fn wave(n: usize, f: f32) -> Vec<f32> {
    (0..n).map(|i| ((i * i % 4093) as f32 * f).sin() * 2.0).collect()
}

fn main() {
    const LAYERS: usize = 8;
    let halves_and_bytes = [KvFormat::F16, KvFormat::Q8];
    for (n_heads, n_kv_heads, head_dim) in [(14, 2, 64), (12, 2, 128)] {
        let heads = Heads { n_heads, n_kv_heads, head_dim };
        let how = Attention { heads, scale: 0.11, window: None, sinks: None };
        let width = n_kv_heads * head_dim;
        let (key, value) = (wave(PAGE * width, 0.73), wave(PAGE * width, 0.19));
        for format in halves_and_bytes {
            let layout = KvLayout { heads, n_layers: LAYERS, format };
            let mut page = KvPage::new(layout);
            for layer in 0..LAYERS {
                for (slot, (key, value)) in key.chunks(width).zip(value.chunks(width)).enumerate() {
                    page.store(Cpu::best(), layer, slot, key, value);
                }
            }
            let pages: Vec<_> = (0..32_768 / PAGE).map(|_| Arc::new(page.clone())).collect();
            for (n_rows, end) in [(1, 32_768), (4, 32_768), (16, 32_768), (256, 4_096)] {
                let q = wave(n_rows * n_heads * head_dim, 0.37);
                let mut out = vec![0.0; q.len()];
                for n_threads in [1, 2] {
                    let (cpu, team) = (Cpu::best(), Team::new(n_threads));
                    let mut seconds: Vec<f64> = (0..5 * LAYERS)
                        .map(|i| {
                            let (first_pos, layer) = (end - n_rows, i % LAYERS);
                            let span =
                                Span { first_row: 0, n_rows, first_pos, pages: &pages, layer };
                            let start = Instant::now();
                            attention(cpu, &team, how, &[span], &q, &mut out);
                            start.elapsed().as_secs_f64()
                        })
                        .collect();
                    seconds.sort_by(f64::total_cmp);
                    let median = seconds[seconds.len() / 2];
                    let n_scores = (n_rows * n_heads * (end - n_rows / 2)) as f64;
                    let n_bytes = (end / PAGE * layout.page_bytes() / LAYERS) as f64;
                    eprintln!(
                        "{head_dim} {} rows {n_rows:3} after {end}, {n_threads} threads: {:.2} ns, {:.1} GB/s",
                        format.name(),
                        median / n_scores * 1e9,
                        n_bytes / median / 1e9,
                    );
                }
            }
        }
    }
}
