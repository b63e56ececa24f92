//! Weights in the layout the matrix kernels read.
//!
//! A quantised matrix is cut into *panels* of 16 rows; the rows of a panel are interleaved so that
//! one vector instruction works on all of them. A panel is a run of records along k:
//!
//! ```text
//! record  = header, then 1 block of 32 columns (8 for the K types)
//! header  = d: [f16; 16], bfloats where the type has those, and for types with minima m: [f16; 16]
//! block   = quants, then for the K types the scale factors and minimum factors, [i8; 16] each
//!           (twice, for columns 0..16 and 16..32, where the type has groups of 16)
//! quants  = low nibbles: 4 runs of 64 bytes; byte 4r+j of run c holds row r, columns
//!           8c+j (low half) and 8c+4+j (high half)
//!           5 bits: + 64 bytes; bit s of byte 4r+j is the fifth bit of row r, column 4s+j
//!           6 bits: + 2 runs of 64 bytes; bits 2s.. of byte 4r+j of run p: row r, column 16p+4s+j
//!           8 bits: instead 8 runs of 64 bytes; byte 4r+j of run s holds row r, column 4s+j
//! ```
//!
//! Float matrices are kept as little-endian f32, interleaved the same way: `[panel][column][16 rows]`.

use crate::block::{self, BLOCK, Block, IQ4_CODES, MXFP4_CODES};
use crate::{ScreenShape, Team, TensorType};
use bytes::Bytes;
use std::ops::Range;

/// Rows per panel.
pub(crate) const PANEL: usize = 16;

/// What the kernels need to know of a packed type, at compile time.
pub(crate) trait Layout {
    /// Stored bits per quant: 4, 5, 6 or 8.
    const BITS: usize;
    /// What the quants stand for, where it is not themselves.
    const CODES: Option<&'static [u8; 16]> = None;
    /// Whether scales are bfloats.
    const BFLOATS: bool = false;
    /// Blocks of 32 per record: 1, or a super-block.
    const BLOCKS: usize;
    /// Whether factors hold for 16 columns instead of 32: only in super-blocks.
    const GROUPS_OF_16: bool;
    /// Whether the type stores minima.
    const MINS: bool;
    /// What is subtracted from a quant, or from what it stands for; 0 where there are minima.
    const OFFSET: i32;

    /// Bits of what is multiplied: of the quants, or of what they stand for.
    const FACTOR_BITS: usize = match Self::CODES {
        Some(codes) => bits(codes),
        None => Self::BITS,
    };

    const QUANT_BYTES: usize = 64 * Self::BITS;
    const HEADER_BYTES: usize = if Self::MINS { 64 } else { 32 };
    const FACTOR_RUNS: usize = if Self::BLOCKS == 1 {
        0
    } else {
        (if Self::GROUPS_OF_16 { 2 } else { 1 }) * (if Self::MINS { 2 } else { 1 })
    };
    const BLOCK_BYTES: usize = Self::QUANT_BYTES + PANEL * Self::FACTOR_RUNS;
    const RECORD_BYTES: usize = Self::HEADER_BYTES + Self::BLOCKS * Self::BLOCK_BYTES;
}

/// Bits that products of such factors are made for.
const fn bits(codes: &[u8; 16]) -> usize {
    let mut i = 0;
    while i < codes.len() {
        if codes[i] >= 32 {
            return 8;
        }
        i += 1;
    }
    5
}

macro_rules! layouts {
    ($($name:ident: $bits:literal bits, $blocks:literal blocks, of16 $of16:literal, mins $mins:literal, offset $offset:literal
        $(, codes $codes:ident)? $(, bfloats $bfloats:literal)?;)*) => {
        $(
            #[derive(Clone, Copy, Debug)]
            pub(crate) struct $name;
            impl Layout for $name {
                const BITS: usize = $bits;
                const BLOCKS: usize = $blocks;
                const GROUPS_OF_16: bool = $of16;
                const MINS: bool = $mins;
                const OFFSET: i32 = $offset;
                $(const CODES: Option<&'static [u8; 16]> = Some(&$codes);)?
                $(const BFLOATS: bool = $bfloats;)?
            }
        )*
    };
}

layouts! {
    Q4x0: 4 bits, 1 blocks, of16 false, mins false, offset 8;
    Q4x1: 4 bits, 1 blocks, of16 false, mins true, offset 0;
    Q5x0: 5 bits, 1 blocks, of16 false, mins false, offset 16;
    Q5x1: 5 bits, 1 blocks, of16 false, mins true, offset 0;
    Q8x0: 8 bits, 1 blocks, of16 false, mins false, offset 128;
    Q2k: 4 bits, 8 blocks, of16 true, mins true, offset 0;
    Q3k: 4 bits, 8 blocks, of16 true, mins false, offset 4;
    Q4k: 4 bits, 8 blocks, of16 false, mins true, offset 0;
    Q5k: 5 bits, 8 blocks, of16 false, mins true, offset 0;
    Q6k: 6 bits, 8 blocks, of16 true, mins false, offset 32;
    Iq4nl: 4 bits, 1 blocks, of16 false, mins false, offset 128, codes IQ4_CODES;
    Iq4xs: 4 bits, 8 blocks, of16 false, mins false, offset 128, codes IQ4_CODES;
    Mxfp4: 4 bits, 1 blocks, of16 false, mins false, offset 12, codes MXFP4_CODES, bfloats true;
}

/// Runs `$use` with `$layout` bound to the layout type of `$kind`; `$float` for the float types.
macro_rules! with_layout {
    ($kind:expr, $layout:ident => $use:expr, float => $float:expr) => {
        match $kind {
            $crate::TensorType::Q4_0 => {
                type $layout = $crate::pack::Q4x0;
                $use
            }
            $crate::TensorType::Q4_1 => {
                type $layout = $crate::pack::Q4x1;
                $use
            }
            $crate::TensorType::Q5_0 => {
                type $layout = $crate::pack::Q5x0;
                $use
            }
            $crate::TensorType::Q5_1 => {
                type $layout = $crate::pack::Q5x1;
                $use
            }
            $crate::TensorType::Q8_0 => {
                type $layout = $crate::pack::Q8x0;
                $use
            }
            $crate::TensorType::Q2_K => {
                type $layout = $crate::pack::Q2k;
                $use
            }
            $crate::TensorType::Q3_K => {
                type $layout = $crate::pack::Q3k;
                $use
            }
            $crate::TensorType::Q4_K => {
                type $layout = $crate::pack::Q4k;
                $use
            }
            $crate::TensorType::Q5_K => {
                type $layout = $crate::pack::Q5k;
                $use
            }
            $crate::TensorType::Q6_K => {
                type $layout = $crate::pack::Q6k;
                $use
            }
            $crate::TensorType::IQ4_NL => {
                type $layout = $crate::pack::Iq4nl;
                $use
            }
            $crate::TensorType::IQ4_XS => {
                type $layout = $crate::pack::Iq4xs;
                $use
            }
            $crate::TensorType::MXFP4 => {
                type $layout = $crate::pack::Mxfp4;
                $use
            }
            $crate::TensorType::F32 | $crate::TensorType::F16 | $crate::TensorType::BF16 => $float,
        }
    };
}
pub(crate) use with_layout;

/// Type and shape of a weight matrix that can be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    kind: TensorType,
    n_rows: usize,
    n_cols: usize,
}

/// A weight matrix ready for [`crate::matmul`]. A copy shares the panels.
#[derive(Clone, Debug)]
pub struct PackedMatrix {
    shape: MatrixShape,
    /// On the heap, or wherever else packed bytes are held: a mapped file, say.
    panels: Bytes,
}

/// What a matrix reads of its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Quants with a scale per block.
    Blocks,
    /// Quants with a scale per super-block.
    Supers,
    Floats,
}

/// Why a tensor cannot be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Rows are whole blocks: the type's own, and at least 32 values.
    #[error("rows of {n_cols} values do not divide into blocks of {block_len} ({kind})")]
    Columns {
        /// Values per row.
        n_cols: usize,
        /// Values per block of the type.
        block_len: usize,
        /// Name of the type.
        kind: &'static str,
    },
    /// The bytes are not those of such a matrix.
    #[error("{found} bytes where {wanted} hold a matrix of {n_rows} x {n_cols} in {kind}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes of such a matrix.
        wanted: usize,
        /// Rows.
        n_rows: usize,
        /// Columns.
        n_cols: usize,
        /// Name of the type.
        kind: &'static str,
    },
}

impl MatrixShape {
    /// A matrix of `n_rows` outputs and `n_cols` inputs.
    ///
    /// # Errors
    /// [`PackError::Columns`] when rows are not whole blocks.
    pub fn new(kind: TensorType, n_rows: usize, n_cols: usize) -> Result<Self, PackError> {
        // Activations come in blocks of 32, so even float rows must divide into them.
        let block_len = kind.block_len().max(BLOCK);
        if n_cols == 0 || !n_cols.is_multiple_of(block_len) {
            return Err(PackError::Columns { n_cols, block_len, kind: kind.name() });
        }
        Ok(Self { kind, n_rows, n_cols })
    }

    /// Type the file stores it in.
    pub fn kind(self) -> TensorType {
        self.kind
    }

    /// Output features.
    pub fn n_rows(self) -> usize {
        self.n_rows
    }

    /// Input features.
    pub fn n_cols(self) -> usize {
        self.n_cols
    }

    /// Bytes once packed; `usize::MAX` for a matrix that no memory holds.
    pub fn n_bytes(self) -> usize {
        self.panel_bytes().saturating_mul(self.n_rows.div_ceil(PANEL))
    }

    fn panel_bytes(self) -> usize {
        with_layout!(self.kind, L => panel_bytes::<L>(self.n_cols), float => 4 * PANEL * self.n_cols)
    }

    /// Packs `bytes`, `[n_rows, n_cols]` in row-major order as a GGUF file stores them, into
    /// `packed`, which is zeroed and [`n_bytes`](Self::n_bytes) long.
    ///
    /// Rows are padded with zeros to whole panels.
    ///
    /// # Errors
    /// [`PackError::Length`] when the bytes are not those of such a matrix.
    ///
    /// # Panics
    /// If `packed` has another length.
    pub fn pack(self, team: &Team, bytes: &[u8], packed: &mut [u8]) -> Result<(), PackError> {
        let Self { kind, n_rows, n_cols } = self;
        let row_bytes = n_cols / kind.block_len() * kind.block_bytes();
        let wanted = row_bytes.saturating_mul(n_rows);
        if bytes.len() != wanted {
            let (found, kind) = (bytes.len(), kind.name());
            return Err(PackError::Length { found, wanted, n_rows, n_cols, kind });
        }
        assert_eq!(packed.len(), self.n_bytes(), "room for the panels");
        team.for_each_chunk(packed, self.panel_bytes(), |i, panel| {
            let rows = &bytes[i * PANEL * row_bytes..bytes.len().min((i + 1) * PANEL * row_bytes)];
            let rows = rows.chunks_exact(row_bytes);
            with_layout!(
                kind,
                L => pack_panel::<L>(kind, &rows.collect::<Vec<_>>(), panel),
                float => pack_floats(kind, rows, n_cols, panel)
            );
        });
        Ok(())
    }
}

impl PackedMatrix {
    /// Packs `bytes` onto the heap; see [`MatrixShape::pack`].
    ///
    /// # Errors
    /// [`PackError`] when the shape does not fit the type or the bytes.
    pub fn pack(
        team: &Team,
        kind: TensorType,
        bytes: &[u8],
        n_rows: usize,
        n_cols: usize,
    ) -> Result<Self, PackError> {
        let shape = MatrixShape::new(kind, n_rows, n_cols)?;
        let mut packed = vec![0; shape.n_bytes()];
        shape.pack(team, bytes, &mut packed)?;
        Ok(Self::new(shape, packed.into()))
    }

    /// A matrix that was packed before, wherever its bytes are.
    ///
    /// # Panics
    /// If they are not [`MatrixShape::n_bytes`].
    pub fn new(shape: MatrixShape, packed: Bytes) -> Self {
        assert_eq!(packed.len(), shape.n_bytes(), "bytes of the panels");
        Self { shape, panels: packed }
    }

    /// Some of the rows as a matrix of its own, which shares the panels.
    ///
    /// # Panics
    /// If they do not begin with a panel (every 16th row does), or are not there.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Self {
        assert!(rows.start.is_multiple_of(PANEL) && rows.end <= self.n_rows(), "whole panels");
        let shape = MatrixShape { n_rows: rows.len(), ..self.shape };
        let first = rows.start / PANEL * shape.panel_bytes();
        Self { shape, panels: self.panels.slice(first..first + shape.n_bytes()) }
    }

    /// Type the file stored it in.
    pub fn kind(&self) -> TensorType {
        self.shape.kind
    }

    /// Output features.
    pub fn n_rows(&self) -> usize {
        self.shape.n_rows
    }

    /// Input features.
    pub fn n_cols(&self) -> usize {
        self.shape.n_cols
    }

    /// Type and shape.
    pub fn shape(&self) -> MatrixShape {
        self.shape
    }

    /// All panels, as [`Self::new`] takes them.
    pub fn bytes(&self) -> &Bytes {
        &self.panels
    }

    pub(crate) fn form(&self) -> Form {
        with_layout!(
            self.kind(),
            L => if L::BLOCKS > 1 { Form::Supers } else { Form::Blocks },
            float => Form::Floats
        )
    }

    /// The bytes of some panels.
    pub(crate) fn panels(&self, range: Range<usize>) -> &[u8] {
        let len = self.shape.panel_bytes();
        &self.panels[range.start * len..range.end * len]
    }

    pub(crate) fn n_panels(&self) -> usize {
        self.n_rows().div_ceil(PANEL)
    }
}

/// Packed bytes of one small matrix of every type, and those of a screen: as long as they are the same, bytes that were packed
/// before can be read.
///
/// # Panics
/// If a type could not hold the sample, which a test would show.
pub fn layout_sample() -> Vec<u8> {
    let (team, n_rows, n_cols) = (Team::new(1), PANEL + 5, 512);
    let mut sample = Vec::new();
    for kind in TensorType::ALL {
        let n = n_rows * n_cols / kind.block_len() * kind.block_bytes();
        // Any bytes that do not repeat within a block.
        let bytes: Vec<u8> =
            (0..n as u32).map(|i| (i.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        let matrix = PackedMatrix::pack(&team, kind, &bytes, n_rows, n_cols);
        sample.extend_from_slice(matrix.expect("the sample fits every type").bytes());
    }
    let floats: Vec<f32> = (0..n_rows * n_cols).map(|i| ((i * i) % 1009) as f32).collect();
    let bytes: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    let shape = ScreenShape::new(n_rows, n_cols);
    let mut screen = vec![0; shape.n_bytes()];
    shape.build(&team, TensorType::F32, &bytes, &floats[..n_cols], &mut screen);
    sample.extend_from_slice(&screen);
    sample
}

/// Bytes of one panel of `n_cols` columns.
pub(crate) fn panel_bytes<L: Layout>(n_cols: usize) -> usize {
    n_cols / BLOCK / L::BLOCKS * L::RECORD_BYTES
}

/// Interleaves up to 16 rows of floats of any width.
fn pack_floats<'a>(
    kind: TensorType,
    rows: impl Iterator<Item = &'a [u8]>,
    n_cols: usize,
    panel: &mut [u8],
) {
    let mut row = vec![0.0f32; n_cols];
    let panel = panel.as_chunks_mut::<4>().0;
    for (r, bytes) in rows.enumerate() {
        block::dequantize(kind, bytes, &mut row);
        for (packed, value) in panel.iter_mut().skip(r).step_by(PANEL).zip(&row) {
            *packed = value.to_le_bytes();
        }
    }
}

/// Interleaves up to 16 rows. `panel` is zeroed and exactly one panel long.
fn pack_panel<L: Layout>(kind: TensorType, rows: &[&[u8]], panel: &mut [u8]) {
    for (i_record, record) in panel.chunks_exact_mut(L::RECORD_BYTES).enumerate() {
        let (header, blocks) = record.split_at_mut(L::HEADER_BYTES);
        for (i_block, packed) in blocks.chunks_exact_mut(L::BLOCK_BYTES).enumerate() {
            let (quants, factors) = packed.split_at_mut(L::QUANT_BYTES);
            for (r, bytes) in rows.iter().enumerate() {
                let block = block::read(kind, bytes, i_record * L::BLOCKS + i_block);
                // All blocks of a record share d and m; writing them again changes nothing.
                header[2 * r..2 * r + 2].copy_from_slice(&block.d.to_le_bytes());
                if L::MINS {
                    let at = 2 * PANEL + 2 * r;
                    header[at..at + 2].copy_from_slice(&block.m.to_le_bytes());
                }
                if L::BLOCKS > 1 {
                    pack_factors::<L>(&block, r, factors);
                }
                pack_quants::<L>(&block.q, r, quants);
            }
        }
    }
}

fn pack_factors<L: Layout>(block: &Block, r: usize, factors: &mut [u8]) {
    let n_groups = if L::GROUPS_OF_16 { 2 } else { 1 };
    for group in 0..n_groups {
        factors[group * PANEL + r] = block.scales[group] as u8;
        if L::MINS {
            factors[(n_groups + group) * PANEL + r] = block.mins[group] as u8;
        }
    }
}

/// Puts a row's block in its place, four columns at a time: they are neighbours in the file's order as
/// in the packed one.
fn pack_quants<L: Layout>(q: &[u8; BLOCK], r: usize, quants: &mut [u8]) {
    let mut put = |run: usize, bits: u32| {
        if let Some(bytes) = quants[64 * run + 4 * r..].first_chunk_mut() {
            *bytes = (u32::from_le_bytes(*bytes) | bits).to_le_bytes();
        }
    };
    for (step, q) in q.as_chunks::<4>().0.iter().enumerate() {
        let q = u32::from_le_bytes(*q);
        if L::BITS == 8 {
            put(step, q);
            continue;
        }
        put(step / 2, (q & 0x0f0f_0f0f) << (step % 2 * 4));
        if L::BITS == 5 {
            put(4, ((q >> 4) & 0x0101_0101) << step);
        } else if L::BITS == 6 {
            put(4 + step / 4, ((q >> 4) & 0x0303_0303) << (step % 4 * 2));
        }
    }
}

/// What the quant of a row and column of a packed block stands for: the inverse of [`pack_quants`].
pub(crate) fn quant<L: Layout>(quants: &[u8], r: usize, column: usize) -> u8 {
    let (step, byte) = (column / 4, 4 * r + column % 4);
    if L::BITS == 8 {
        return quants[64 * step + byte];
    }
    let low = (quants[64 * (step / 2) + byte] >> (step % 2 * 4)) & 15;
    match L::BITS {
        5 => low | (((quants[256 + byte] >> step) & 1) << 4),
        6 => low | (((quants[256 + 64 * (step / 4) + byte] >> (step % 4 * 2)) & 3) << 4),
        _ => L::CODES.map_or(low, |codes| codes[usize::from(low)]),
    }
}
