//! What the machine can do at most, measured with the instructions that the kernels use: the limits that
//! a figure of ours is read against.

use crate::cpu::{Cpu, Isa, per_isa};
use crate::matmul;
use crate::team::Team;
use std::fmt;
use std::hint::black_box;
use std::time::Instant;

/// Bytes that a thread reads in one piece when bandwidth is measured.
const PIECE_BYTES: usize = 1 << 20;

/// How far ahead reads are asked for.
#[cfg(target_arch = "x86_64")]
const AHEAD_BYTES: usize = 4096;

/// Pieces of work per thread, so that unequal cores are all kept busy to the end.
const PIECES_PER_THREAD: usize = 12;

/// Memory to measure reads on.
pub struct Memory(Vec<HugePage>);

/// What a processor finds with one look, where the system has pages of this size: with those of 4 KiB
/// a tenth of the time of reading goes into finding them.
#[derive(Clone, Copy)]
#[repr(C, align(0x20_0000))]
struct HugePage([u8; 0x20_0000]);

impl Memory {
    /// At least `n_bytes`, in huge pages where the system has them. To measure memory they must be much
    /// more than all caches hold.
    pub fn new(n_bytes: usize) -> Self {
        let n_pages = n_bytes.div_ceil(size_of::<HugePage>());
        let mut pages = Vec::<HugePage>::with_capacity(n_pages);
        let room = pages.as_mut_ptr();
        #[cfg(target_os = "linux")]
        // SAFETY: a hint about memory of ours that nothing was written to; a refusal changes nothing.
        unsafe {
            libc::madvise(room.cast(), n_pages * size_of::<HugePage>(), libc::MADV_HUGEPAGE);
        }
        // SAFETY: there is room for so many pages, and any bytes are a page.
        unsafe {
            room.write_bytes(1, n_pages);
            pages.set_len(n_pages);
        }
        Self(pages)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("n_pages", &self.0.len()).finish()
    }
}

/// Bytes per second that the team reads from memory.
pub fn read_bandwidth(cpu: Cpu, team: &Team, memory: &Memory) -> f64 {
    // Wider loads read no faster.
    #[cfg(target_arch = "x86_64")]
    let cpu = if cpu.0 == Isa::Scalar { cpu } else { Cpu(Isa::Avx2) };
    let pieces = memory.0.iter().flat_map(|page| page.0.chunks_exact(PIECE_BYTES));
    let pieces: Vec<&[u8]> = pieces.collect();
    rate(team, pieces.len(), PIECE_BYTES as f64, &|i| {
        let piece = pieces[i];
        black_box(per_isa!(cpu, read(piece: &[u8]) -> u64));
    })
}

#[inline(always)]
fn read(piece: &[u8]) -> u64 {
    let mut sums = [0u64; 32];
    for words in piece.as_chunks::<256>().0 {
        // As the kernels do for a single token.
        #[cfg(target_arch = "x86_64")]
        for line in 0..4 {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a hint; it reads nothing.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(
                    words.as_ptr().wrapping_add(AHEAD_BYTES + 64 * line).cast(),
                );
            };
        }
        for (sum, word) in sums.iter_mut().zip(words.as_chunks::<8>().0) {
            *sum ^= u64::from_ne_bytes(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Multiply-accumulates of 8-bit integers per second, without loads and scales; 0 on the scalar path,
/// which has no such instruction.
pub fn int8_products(cpu: Cpu, team: &Team) -> f64 {
    products(team, matmul::peaks(cpu).map(|peaks| peaks.int8))
}

/// Multiply-accumulates of f32 per second; 0 on the scalar path.
pub fn float_products(cpu: Cpu, team: &Team) -> f64 {
    products(team, matmul::peaks(cpu).map(|peaks| peaks.float))
}

fn products(team: &Team, run: Option<unsafe fn() -> f64>) -> f64 {
    let Some(run) = run else { return 0.0 };
    // SAFETY: the callers took it of a `Cpu`, which is the licence for its path.
    let run = || unsafe { run() };
    rate(team, PIECES_PER_THREAD * team.n_threads(), run(), &|_| {
        black_box(run());
    })
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
        let (team, memory) = (Team::new(2), Memory::new(4 * PIECE_BYTES));
        for cpu in Cpu::available() {
            assert!(read_bandwidth(cpu, &team, &memory) > 0.0);
            assert_eq!(float_products(cpu, &team) > 0.0, cpu != Cpu::SCALAR, "{}", cpu.name());
            assert_eq!(int8_products(cpu, &team) > 0.0, cpu != Cpu::SCALAR, "{}", cpu.name());
        }
    }
}
