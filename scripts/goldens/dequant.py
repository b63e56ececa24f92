#!/usr/bin/env python3
"""Known answers for every tensor type: random block bytes and the floats they stand for.

    python3 scripts/goldens/dequant.py            (needs: pip install numpy gguf)

Writes crates/cerium-kernels/tests/data/dequant.bin. The floats come from the `gguf` package,
which is written independently of ours. Everything little-endian:

    magic   8 bytes "CEDEQ\\0\\0\\1"
    u32     number of cases
    case:   u32 ggml type number, u32 n_bytes, u32 n_values,
            n_bytes of block data, n_values f32

Block bytes are seeded and uniform; the half-precision scales inside are replaced by finite ones:
ordinary, negative, zero, subnormal and the largest (65504). One case holds whole blocks only.
`gguf` multiplies scale by sub-scale first and subtracts the minimum last, each rounded to f32;
an implementation that fuses the two differs in the last bit.
"""
import pathlib
import struct

import gguf
import numpy as np

OUT = pathlib.Path(__file__).parents[2] / "crates/cerium-kernels/tests/data/dequant.bin"
T = gguf.GGMLQuantizationType
# Byte offsets of the half-precision scales in a block, and the number of blocks to write.
QUANTS = {
    T.Q4_0: ([0], 16), T.Q4_1: ([0, 2], 16), T.Q5_0: ([0], 16), T.Q5_1: ([0, 2], 16), T.Q8_0: ([0], 16),
    T.Q2_K: ([80, 82], 8), T.Q3_K: ([108], 8), T.Q4_K: ([0, 2], 8), T.Q5_K: ([0, 2], 8), T.Q6_K: ([208], 8),
    T.IQ4_NL: ([0], 16), T.IQ4_XS: ([0], 8), T.MXFP4: ([], 16),
}
SPECIAL = np.array([0.0, -0.0, 65504.0, -65504.0, 5.9604645e-08, -3.0517578e-05, 1.0, -1.0], np.float16)


def scales(rng, n):
    """`n` finite half-precision scales: the special ones first, then what weights really have."""
    ordinary = (rng.standard_normal(n) * 0.02).astype(np.float16)
    return np.concatenate([rng.permutation(SPECIAL), ordinary])[:n]


def quantised(rng, kind, offsets, n):
    _, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    blocks[-2], blocks[-1] = 0x00, 0xFF  # every field at its smallest and its largest
    for at in offsets:
        values = scales(rng, n)
        values[-2:] = [0.5, -0.25]
        blocks[:, at:at + 2] = values.view(np.uint8).reshape(n, 2)
    if kind == T.MXFP4:  # Powers of two: the two smallest, two that stay finite, and ordinary ones.
        blocks[:, 0] = [0, 1, 2, 3, 64, 250, 252, *range(118, 127)][:n]
    return blocks.reshape(-1)


def plain(rng, kind):
    values = (rng.standard_normal(64) * 0.1).astype(np.float32)
    if kind == T.F32:
        values[:6] = [0.0, -0.0, 1e-40, -1e-40, 3.4028235e38, -3.4028235e38]
        return values.view(np.uint8)
    if kind == T.F16:
        half = values.astype(np.float16)
        half[:8] = SPECIAL
        return half.view(np.uint8)
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    upper[:6] = [0x0000, 0x8000, 0x0001, 0x807F, 0x7F7F, 0xFF7F]  # zeros, subnormals, largest
    return upper.view(np.uint8)


def main():
    rng = np.random.default_rng(20240229)
    cases = [(kind, plain(rng, kind)) for kind in (T.F32, T.F16, T.BF16)]
    cases += [(kind, quantised(rng, kind, *how)) for kind, how in QUANTS.items()]
    out = bytearray(b"CEDEQ\0\0\1" + struct.pack("<I", len(cases)))
    for kind, data in cases:
        values = gguf.dequantize(data, kind).astype(np.float32)
        assert np.isfinite(values).all(), kind
        out += struct.pack("<III", int(kind), data.size, values.size) + data.tobytes()
        out += values.astype("<f4").tobytes()
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(out)
    print(f"{OUT}: {len(cases)} types, {len(out)} bytes")


if __name__ == "__main__":
    main()
