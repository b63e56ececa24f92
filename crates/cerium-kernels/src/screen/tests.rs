//! The screen's arg-max is that of all products, and its coarse products are the definition's on every path.

use super::*;
use crate::{Detail, Product, TensorType, argmax, matmul};

/// Numbers in -1..1 that look random.
fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / 2f32.powi(31) - 1.0
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A matrix with its screen.
struct World {
    weights: PackedMatrix,
    screen: Screen,
}

impl World {
    fn new(kind: TensorType, bytes: &[u8], n_rows: usize, sizes: &[f32]) -> Self {
        let team = Team::new(2);
        let weights = PackedMatrix::pack(&team, kind, bytes, n_rows, sizes.len()).unwrap();
        Self { weights, screen: Screen::build(&team, kind, bytes, n_rows, sizes) }
    }

    fn of_floats(rows: &[f32], n_cols: usize) -> Self {
        Self::new(TensorType::F32, &floats(rows), rows.len() / n_cols, &vec![1.0; n_cols])
    }

    fn activations(&self, cpu: Cpu, fine: bool, rows: &[f32]) -> Activations {
        let (mut x, mut rows) = (Activations::new(), rows.to_vec());
        let detail = Detail::of(fine, &[&self.weights]);
        x.quantize(cpu, &Team::new(1), &mut rows, self.weights.n_cols(), detail, |_, _| {});
        x
    }

    /// The screened arg-max, if the screen decides.
    fn screened(
        &self,
        cpu: Cpu,
        n_threads: usize,
        x: &Activations,
        screening: &mut Screening,
    ) -> Option<Vec<Option<usize>>> {
        self.screen.argmax(cpu, &Team::new(n_threads), &self.weights, x, screening)
    }

    /// Whether the screen decides; if so, it must be right.
    #[track_caller]
    fn check(&self, fine: bool, rows: &[f32]) -> bool {
        let x = self.activations(Cpu::best(), fine, rows);
        let mut out = vec![0.0; x.n_tokens() * self.weights.n_rows()];
        let product = Product { weights: &self.weights, out: &mut out };
        matmul(Cpu::best(), &Team::new(1), &x, &mut [product]);
        let want: Vec<_> = out.chunks_exact(self.weights.n_rows()).map(argmax).collect();
        let got = self.screened(Cpu::best(), 2, &x, &mut Screening::default());
        if let Some(got) = &got {
            assert_eq!(*got, want, "{:?}", self.weights.kind());
        }
        got.is_some()
    }
}

/// Rows of `n_cols` that point anywhere, and tokens that point to some of them.
fn rows_and_tokens(n_rows: usize, n_cols: usize, n_tokens: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut row, mut token) = (noise(1), noise(2));
    let rows: Vec<f32> = (0..n_rows * n_cols).map(|_| row()).collect();
    let toward = |t: usize| &rows[(t * 7919 % n_rows) * n_cols..][..n_cols];
    let tokens =
        (0..n_tokens).flat_map(|t| toward(t).iter().map(|w| w + token()).collect::<Vec<_>>());
    let tokens = tokens.collect();
    (rows, tokens)
}

#[test]
fn coarse_products_are_the_definitions_on_every_path() {
    for (n_rows, n_cols, n_tokens) in [(5, 32, 1), (48, 64, 17), (77, 320, 33), (16, 896, 70)] {
        let (rows, tokens) = rows_and_tokens(n_rows, n_cols, n_tokens);
        let world = World::of_floats(&rows, n_cols);
        let maxima = |cpu: Cpu, n_threads: usize| {
            let x = world.activations(cpu, false, &tokens);
            let (team, mut screening) = (Team::new(n_threads), Screening::default());
            let Screening { tokens, maxima } = &mut screening;
            tokens.read(cpu, &team, &world.weights, &x, world.screen.factors());
            world.screen.fill_maxima(cpu, &team, tokens, maxima);
            let rows = maxima.chunks_exact(tokens.n_filled());
            rows.flat_map(|row| row[..n_tokens].iter().map(|max| max.to_bits())).collect::<Vec<_>>()
        };
        let want = maxima(Cpu::SCALAR, 1);
        assert_eq!(want.len(), n_rows.div_ceil(PANEL) * n_tokens);
        for cpu in Cpu::available() {
            eprintln!("path {}", cpu.name());
            for n_threads in [1, 2, 3] {
                assert!(maxima(cpu, n_threads) == want, "{n_rows} x {n_cols} on {}", cpu.name());
            }
        }
    }
}

#[test]
fn the_greatest_product_of_every_type_is_found() {
    let (n_rows, n_cols, n_tokens) = (1000, 512, 40);
    for kind in TensorType::ALL {
        let n_bytes = n_rows * n_cols / kind.block_len() * kind.block_bytes();
        let mut random = noise(kind as u32 + 3);
        // Scales are halves of moderate size, in whatever byte they are: exponents' top bits are cleared.
        let bytes: Vec<u8> = match kind {
            TensorType::F32 => floats(&(0..n_rows * n_cols).map(|_| random()).collect::<Vec<_>>()),
            _ => (0..n_bytes).map(|_| (random() * 128.0) as i8 as u8 & 0xbf).collect(),
        };
        let sizes: Vec<f32> = (0..n_cols).map(|c| 1.0 + (c % 7) as f32).collect();
        let world = World::new(kind, &bytes, n_rows, &sizes);
        let mut token = noise(4);
        let tokens: Vec<f32> =
            (0..n_tokens * n_cols).map(|i| token() * sizes[i % n_cols]).collect();
        for fine in [false, true] {
            let decided = world.check(fine, &tokens);
            eprintln!("{} fine {fine}: decided {decided}", kind.name());
        }
    }
}

#[test]
fn tokens_that_point_to_a_row_are_decided() {
    for (n_rows, n_cols) in [(999, 256), (4096, 320)] {
        let (rows, tokens) = rows_and_tokens(n_rows, n_cols, 50);
        assert!(World::of_floats(&rows, n_cols).check(false, &tokens));
    }
}

#[test]
fn neither_batch_nor_threads_nor_path_change_the_choice() {
    let (n_cols, n_tokens) = (256, 37);
    let (rows, tokens) = rows_and_tokens(3001, n_cols, n_tokens);
    let world = World::of_floats(&rows, n_cols);
    // A screening that was used before holds other tokens.
    let mut screening = Screening::default();
    let mut choose = |cpu, n_threads, tokens: &[f32]| {
        let x = world.activations(cpu, false, tokens);
        world.screened(cpu, n_threads, &x, &mut screening).expect("it is decided")
    };
    let want = choose(Cpu::SCALAR, 1, &tokens);
    for cpu in Cpu::available() {
        for n_threads in [1, 2, 3] {
            for n in [1, 2, 5, 16, 17, 37] {
                let got = tokens.chunks(n * n_cols).flat_map(|t| choose(cpu, n_threads, t));
                assert_eq!(got.collect::<Vec<_>>(), want, "{} {n_threads} {n}", cpu.name());
            }
        }
    }
}

#[test]
fn equals_and_next_of_kin_are_told_apart() {
    let n_cols = 256;
    let (mut rows, _) = rows_and_tokens(2000, n_cols, 0);
    let mut best: Vec<f32> = rows[..n_cols].to_vec();
    for w in &mut best {
        *w *= 3.0;
    }
    let twin =
        |rows: &mut [f32], r: usize, row: &[f32]| rows[r * n_cols..][..n_cols].copy_from_slice(row);
    let tokens = best.clone();
    // The first of equals, in one panel and in others.
    for r in [1999, 1203, 1200, 7] {
        twin(&mut rows, r, &best);
        let world = World::of_floats(&rows, n_cols);
        assert!(world.check(false, &tokens));
        let x = world.activations(Cpu::best(), false, &tokens);
        assert_eq!(
            world.screened(Cpu::best(), 2, &x, &mut Screening::default()),
            Some(vec![Some(r)])
        );
    }
    // A hair more, where the coarse rows are the same.
    for r in [40, 1300, 1998] {
        best[3] = if best[3] > 0.0 { best[3].next_up() } else { best[3].next_down() };
        twin(&mut rows, r, &best);
        assert!(World::of_floats(&rows, n_cols).check(false, &tokens));
    }
}

#[test]
fn what_has_no_bounds_is_never_ruled_out() {
    let n_cols = 64;
    let (rows, tokens) = rows_and_tokens(1600, n_cols, 20);
    for (at, value) in [
        (1000 * n_cols + 5, f32::NAN),
        (1000 * n_cols + 5, f32::INFINITY),
        (3 * n_cols, f32::NEG_INFINITY),
        (1599 * n_cols, 1e30),
        (1599 * n_cols, f32::MAX),
        (70 * n_cols, -1e16),
        (70 * n_cols, 1e-44),
    ] {
        let mut rows = rows.clone();
        rows[at] = value;
        assert!(World::of_floats(&rows, n_cols).check(false, &tokens), "{value}");
    }
    let world = World::of_floats(&rows, n_cols);
    for value in [f32::NAN, f32::INFINITY, 1e20, f32::MAX] {
        let mut tokens = tokens.clone();
        tokens[3 * n_cols + 7] = value;
        // One of two groups may well be everything.
        world.check(false, &tokens);
        assert!(!world.check(false, &tokens[3 * n_cols..4 * n_cols]), "{value}");
    }
}

#[test]
fn nothing_outliers_and_hairs_are_right_or_left_open() {
    let n_cols = 128;
    let (rows, tokens) = rows_and_tokens(1700, n_cols, 20);
    let world = World::of_floats(&rows, n_cols);
    assert!(!world.check(false, &vec![0.0; n_cols]), "all products are equal");
    for factor in [1e-44, 1e-38, 1e-30, 1e-20, 1e10] {
        world.check(false, &tokens.iter().map(|v| v * factor).collect::<Vec<_>>());
    }
    let mut outliers = tokens.clone();
    for (t, token) in outliers.chunks_exact_mut(n_cols).enumerate() {
        token[t] *= 10f32.powi(t as i32);
    }
    world.check(false, &outliers);
    let zeros = World::of_floats(&vec![0.0; 1700 * n_cols], n_cols);
    assert!(!zeros.check(false, &tokens));
}
