//! What the machine can do at most, measured with the instructions that the kernels use: the limits that
//! a figure of ours is read against.

use crate::cpu::{Cpu, Isa, per_isa};
use crate::matmul;
use crate::team::Team;
use std::hint::black_box;
use std::time::Instant;

/// Bytes that a thread reads in one piece when bandwidth is measured.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces of work per thread, so that unequal cores are all kept busy to the end.
const PIECES_PER_THREAD: usize = 12;

/// Bytes per second that the team reads from memory.
///
/// * `buffer`: much larger than all caches; its content does not matter
pub fn read_bandwidth(cpu: Cpu, team: &Team, buffer: &[u8]) -> f64 {
    let pieces: Vec<&[u8]> = buffer.chunks_exact(PIECE_BYTES).collect();
    rate(team, pieces.len(), PIECE_BYTES as f64, &|i| {
        let piece = pieces[i];
        black_box(per_isa!(cpu, read(piece: &[u8]) -> u64));
    })
}

#[inline(always)]
fn read(piece: &[u8]) -> u64 {
    let mut sums = [0u64; 32];
    for words in piece.as_chunks::<256>().0 {
        for (sum, word) in sums.iter_mut().zip(words.as_chunks::<8>().0) {
            *sum ^= u64::from_ne_bytes(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Multiply-accumulates of 8-bit integers per second, without loads and scales; 0 on the scalar path,
/// which has no such instruction.
pub fn int8_products(cpu: Cpu, team: &Team) -> f64 {
    let run = matmul::peak(cpu);
    if run() == 0.0 {
        return 0.0;
    }
    rate(team, PIECES_PER_THREAD * team.n_threads(), run(), &|_| {
        black_box(run());
    })
}

/// Multiply-accumulates of f32 per second.
pub fn float_products(cpu: Cpu, team: &Team) -> f64 {
    const STEPS: usize = 1 << 18;
    let lanes = LANES * if cpu.0 == Isa::Scalar { 1 } else { CHAINS };
    let seed = black_box(0.5f32);
    rate(team, PIECES_PER_THREAD * team.n_threads(), (lanes * STEPS) as f64, &|_| {
        let n_steps = STEPS;
        if cpu.0 == Isa::Scalar {
            black_box(multiply_add::<1>(seed, n_steps));
        } else {
            black_box(per_isa!(cpu, multiply_add_in_chains(seed: f32, n_steps: usize) -> f32));
        }
    })
}

/// Values of the widest register, and chains that hide the latency of one.
const LANES: usize = 16;
const CHAINS: usize = 12;

#[inline(always)]
fn multiply_add_in_chains(seed: f32, n_steps: usize) -> f32 {
    multiply_add::<CHAINS>(seed, n_steps)
}

#[inline(always)]
fn multiply_add<const N: usize>(seed: f32, n_steps: usize) -> f32 {
    let mut sums = [[seed; LANES]; N];
    for _ in 0..n_steps {
        for sums in &mut sums {
            for sum in sums {
                *sum = sum.mul_add(seed, seed);
            }
        }
    }
    sums.as_flattened().iter().sum()
}

/// Work per second, of pieces that all take the same.
fn rate(team: &Team, n_pieces: usize, work: f64, piece: &(dyn Fn(usize) + Sync)) -> f64 {
    // The first round wakes the team and the wide registers.
    team.run(team.n_threads(), &|i| piece(i % n_pieces.max(1)));
    let start = Instant::now();
    team.run(n_pieces, piece);
    n_pieces as f64 * work / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_limits() {
        let (team, buffer) = (Team::new(2), vec![1u8; 4 * PIECE_BYTES]);
        for cpu in Cpu::available() {
            assert!(read_bandwidth(cpu, &team, &buffer) > 0.0);
            assert!(float_products(cpu, &team) > 0.0);
            assert_eq!(int8_products(cpu, &team) > 0.0, cpu != Cpu::SCALAR, "{}", cpu.name());
        }
    }
}
