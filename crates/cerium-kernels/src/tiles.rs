//! The tile registers of AMX: eight of sixteen rows by 64 bytes.
//!
//! Stable Rust has the instructions as inline assembly only. The compiler never uses tiles itself, so
//! nothing but these functions changes them.

use std::arch::asm;

/// Shapes of the eight tile registers: the operand of `ldtilecfg`.
#[repr(C, align(64))]
pub(crate) struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    pub(crate) row_bytes: [u16; 16],
    pub(crate) rows: [u8; 16],
}

impl Shapes {
    /// Sixteen rows of 64 bytes, all of them.
    pub(crate) fn full() -> Self {
        let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
        row_bytes[..8].fill(64);
        rows[..8].fill(16);
        Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows }
    }
}

/// The tiles of this thread, configured until dropped: they are released before anything else can run
/// on it.
pub(crate) struct Tiles(());

impl Tiles {
    /// Configures the registers of this thread.
    ///
    /// # Safety
    /// The processor has AMX and this process may use it.
    pub(crate) unsafe fn new(shapes: &Shapes) -> Self {
        // SAFETY: the caller's promise; shapes are valid for their palette.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const *shapes, options(nostack)) };
        Self(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there are tiles, or `new` would not have been called.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

/// One register of sums.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Results(pub(crate) [[i32; 16]; 16]);

/// Fills a register, rows `stride` bytes apart.
#[inline(always)]
pub(crate) unsafe fn load<const REGISTER: usize>(from: *const u8, stride: usize) {
    // SAFETY: the rows are readable, by the callers' promise.
    unsafe {
        asm!(
            "tileloadd tmm{r}, [{from} + {stride}*1]",
            r = const REGISTER, from = in(reg) from, stride = in(reg) stride,
            options(nostack, readonly),
        );
    }
}

/// Adds the product of registers `A` and `B`, signed bytes, to register `C`.
#[inline(always)]
pub(crate) unsafe fn multiply<const C: usize, const A: usize, const B: usize>() {
    // SAFETY: the registers are configured and filled, by the callers' promise.
    unsafe {
        asm!(
            "tdpbssd tmm{c}, tmm{a}, tmm{b}",
            c = const C, a = const A, b = const B, options(nomem, nostack),
        );
    }
}

/// The same where the bytes of register `B` are unsigned.
#[inline(always)]
pub(crate) unsafe fn multiply_unsigned<const C: usize, const A: usize, const B: usize>() {
    // SAFETY: the registers are configured and filled, by the callers' promise.
    unsafe {
        asm!(
            "tdpbsud tmm{c}, tmm{a}, tmm{b}",
            c = const C, a = const A, b = const B, options(nomem, nostack),
        );
    }
}

/// Empties a register.
#[inline(always)]
pub(crate) unsafe fn clear<const REGISTER: usize>() {
    // SAFETY: the register is configured, by the callers' promise.
    unsafe {
        asm!("tilezero tmm{r}", r = const REGISTER, options(nomem, nostack));
    }
}

/// Writes a register's sixteen rows.
#[inline(always)]
pub(crate) unsafe fn store<const REGISTER: usize>(into: &mut Results) {
    // SAFETY: the register is configured as results, by the callers' promise.
    unsafe {
        asm!(
            "tilestored [{into} + {stride}*1], tmm{r}",
            r = const REGISTER, into = in(reg) &raw mut *into, stride = in(reg) 64usize,
            options(nostack),
        );
    }
}

/// Results of two registers of rows with two of columns.
pub(crate) type Block = [[Results; 2]; 2];

/// The registers of a block: its rows, its columns, and the results of both.
pub(crate) const A: [usize; 2] = [4, 5];
pub(crate) const B: [usize; 2] = [6, 7];
pub(crate) const C: [[usize; 2]; 2] = [[0, 1], [2, 3]];

/// Empties the results of a block, of which the first `T` registers of rows are used.
#[inline(always)]
pub(crate) unsafe fn clear_block<const T: usize>() {
    // SAFETY: the registers are configured, by the callers' promise.
    unsafe {
        clear::<{ C[0][0] }>();
        clear::<{ C[0][1] }>();
        if T == 2 {
            clear::<{ C[1][0] }>();
            clear::<{ C[1][1] }>();
        }
    }
}

/// Writes them.
#[inline(always)]
pub(crate) unsafe fn store_block<const T: usize>(into: &mut Block) {
    // SAFETY: the registers are configured as results, by the callers' promise.
    unsafe {
        store::<{ C[0][0] }>(&mut into[0][0]);
        store::<{ C[0][1] }>(&mut into[0][1]);
        if T == 2 {
            store::<{ C[1][0] }>(&mut into[1][0]);
            store::<{ C[1][1] }>(&mut into[1][1]);
        }
    }
}
