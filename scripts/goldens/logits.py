#!/usr/bin/env python3
"""Reference logits over real code, in compact form, and llama.cpp measured against them.

    python3 scripts/goldens/logits.py reference NAME MODEL.gguf   (pip install numpy gguf tokenizers)
    python3 scripts/goldens/logits.py peer NAME MODEL.gguf        (pip install numpy llama-cpp-python)

NAME is a name or, for models that tests do not download, the path of a `.golden` to write; the example
`check_logits` scores our engine on it. A "llama" vocabulary needs llama-cpp-python for the ids.

`reference` runs the numpy forward pass (forward.py) teacher-forced over the first 512 tokens of
each file in text/ and writes crates/cerium-model/tests/data/logits/NAME.golden. `peer` runs
llama.cpp on the same token ids, f16 keys and values, and adds its figures to the header.

The file: UTF-8 header lines up to an empty line, then little-endian arrays without padding.

    cerium logits 1
    model NAME
    sha256 HEX                                  of the GGUF
    top 32
    segment N_TOKENS TEXT                       one line a segment; each starts an empty context
    peer ENGINE flash=0|1 segment=I top1=F kl=F max_kl=F
    (empty line)
    for each segment: u32 ids[N_TOKENS]
    for each segment, for each position:
        u32 id[32]        the likeliest next tokens, likeliest first
        u16 score[33]     their -ln(p) * 2048, rounded, at most 65535; the 33rd is all other tokens

A distribution is read as exp(-score / 2048), normalised to sum 1: it is then a proper
distribution, so that the divergence below is never negative.

Score of an engine at a position: with q its softmax over the whole vocabulary, and its own
33 buckets from the same 32 ids and the rest, KL = sum p ln(p / q) over the 33 buckets, where an
empty bucket counts as 1e-10. Merging tokens into a bucket can only lose divergence, so this is a
lower bound of the KL over the whole vocabulary; it is computed alike for every engine. Top-1
agrees when the engine's largest logit is at id[0].
"""
import hashlib
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
OUT = HERE.parents[1] / "crates/cerium-model/tests/data/logits"
TEXTS = ["click_formatting.py", "globset_pathutil.rs", "tree_sitter_changed_ranges.c"]
N_TOKENS, TOP, UNIT, EMPTY = 512, 32, 2048, 1e-10
# The pre-tokenizers that the two files name, as published with the models.
SPLITS = {
    "qwen2": [r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]+|\s+(?!\S)|\s+"],
    "smollm": [r"\p{N}", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"],
}


def golden_path(name):
    return pathlib.Path(name) if name.endswith(".golden") else OUT / f"{name}.golden"


def encode(model, path, text):
    """Token ids by the `tokenizers` package, from the file's own vocabulary and merges; by llama.cpp
    where it has none."""
    if model.field("tokenizer.ggml.model") == "llama":
        import llama_cpp
        return llama_cpp.Llama(path, vocab_only=True, verbose=False).tokenize(text.encode(), add_bos=True)
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    vocab = {token: i for i, token in enumerate(model.field("tokenizer.ggml.tokens"))}
    merges = [tuple(m.split(" ")) for m in model.field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    splits = [pre_tokenizers.Split(Regex(s), "isolated") for s in SPLITS[model.field("tokenizer.ggml.pre")]]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    return tokenizer.encode(text).ids


def buckets(logits, ids):
    """Log-probabilities of `ids` at each position, then of all other tokens together."""
    wide = logits.astype(np.float64)
    wide = np.exp(wide - wide.max(-1, keepdims=True))
    total = wide.sum(-1, keepdims=True)
    chosen = np.take_along_axis(wide, ids, -1)
    np.put_along_axis(wide, ids, 0.0, -1)
    both = np.concatenate([chosen, wide.sum(-1, keepdims=True)], -1) / total
    return np.log(np.maximum(both, EMPTY))


def compress(logits):
    ids = np.argsort(-logits, axis=-1, kind="stable")[:, :TOP]
    scores = np.minimum(np.round(-buckets(logits, ids) * UNIT), 65535)
    return ids.astype("<u4"), scores.astype("<u2")


def score(ids, scores, logits):
    """Top-1 agreement, mean and largest KL of `logits` against a compressed reference."""
    p = np.exp(-scores.astype(np.float64) / UNIT)
    p /= p.sum(-1, keepdims=True)
    kl = (p * (np.log(p) - buckets(logits, ids.astype(np.int64)))).sum(-1)
    return (logits.argmax(-1) == ids[:, 0]).mean(), kl.mean(), kl.max()


def write(path, header, arrays):
    data = "\n".join(header).encode() + b"\n\n" + b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
    path.write_bytes(data)
    print(f"{path}: {len(data)} bytes")


def read(path):
    header, data = path.read_bytes().split(b"\n\n", 1)
    header = header.decode().split("\n")
    lengths = [int(line.split()[1]) for line in header if line.startswith("segment ")]
    at = 0

    def take(kind, *shape):
        nonlocal at
        array = np.frombuffer(data, kind, int(np.prod(shape)), at).reshape(shape)
        at += array.nbytes
        return array

    tokens = [take("<u4", n) for n in lengths]
    record = np.dtype([("ids", "<u4", TOP), ("scores", "<u2", TOP + 1)])
    tops = [take(record, n) for n in lengths]
    return header, tokens, tops


def reference(name, path):
    from forward import Model
    model = Model(path)
    digest = hashlib.file_digest(open(path, "rb"), "sha256").hexdigest()
    header = ["cerium logits 1", f"model {name}", f"sha256 {digest}", f"top {TOP}"]
    tokens, tops = [], []
    for text in TEXTS:
        ids = encode(model, path, (HERE / "text" / text).read_text())[:N_TOKENS]
        assert len(ids) == N_TOKENS, f"{text} has only {len(ids)} tokens"
        logits = model.logits(ids)
        hits = (logits[:-1].argmax(-1) == ids[1:]).mean()
        best, scores = compress(logits)
        print(f"{text}: predicts {hits:.1%} of the next tokens; of itself: {score(best, scores, logits)}")
        top = np.empty(len(ids), np.dtype([("ids", "<u4", TOP), ("scores", "<u2", TOP + 1)]))
        top["ids"], top["scores"] = best, scores
        header.append(f"segment {len(ids)} {text}")
        tokens.append(np.array(ids, "<u4"))
        tops.append(top)
    write(golden_path(name), header, tokens + tops)


def peer(name, path):
    import llama_cpp
    golden = golden_path(name)
    header, tokens, tops = read(golden)
    header = [line for line in header if not line.startswith("peer ")]
    features = llama_cpp.llama_print_system_info().decode()
    isa = next(i for i in ("AVX512_VNNI", "AVX512", "AVX2", "AVX", "") if f"{i} = 1" in features or not i)
    engine = f"llama-cpp-python-{llama_cpp.__version__}-{isa or 'scalar'}"
    for flash in (False, True):
        llama = llama_cpp.Llama(path, n_ctx=N_TOKENS, n_batch=N_TOKENS, n_threads=2, n_threads_batch=2,
                                logits_all=True, flash_attn=flash, verbose=False)
        for i, (ids, top) in enumerate(zip(tokens, tops)):
            llama.reset()
            llama.eval(ids.tolist())
            top1, kl, worst = score(top["ids"], top["scores"], llama.scores[:len(ids)])
            header.append(f"peer {engine} flash={flash:d} segment={i} top1={top1:.6f} kl={kl:.9f} max_kl={worst:.6f}")
            print(header[-1])
    write(golden, header, tokens + tops)


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("reference", "peer"):
        sys.exit(__doc__)
    {"reference": reference, "peer": peer}[sys.argv[1]](sys.argv[2], sys.argv[3])
