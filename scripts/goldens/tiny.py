#!/usr/bin/env python3
"""Whole models of a few hundred kilobytes with random weights, and their reference logits.

    python3 scripts/goldens/tiny.py [NAME...]   (pip install numpy gguf; llama-cpp-python adds its error)

Writes NAME.gguf and NAME.golden under crates/cerium-model/tests/data/tiny/, for tests without a
download. Each file is complete: metadata, a byte-level vocabulary with merges and control
tokens, a chat template. Between them they hold all architectures, all tensor types, tied and
separate heads, biases, 1 to 4 query heads per key head, frequency factors and an odd vocabulary.

NAME.golden: UTF-8 header lines up to an empty line, then little-endian arrays:

    cerium tiny 1
    model NAME
    tokens N
    vocab V
    peer ENGINE rms=F            rms error of llama.cpp (f32 keys and values) over the rms of the logits
    (empty line)
    u32 ids[N], f32 logits[N][V]  the reference of forward.py, position after position

llama.cpp rounds activations to 8 bits for quantised weights, so its error is what a sound int8
engine has too; with F32 weights it shows that the reference and llama.cpp agree on the model.
"""
import pathlib
import sys

import gguf
import numpy as np

from forward import Model

OUT = pathlib.Path(__file__).parents[2] / "crates/cerium-model/tests/data/tiny"
T = gguf.GGMLQuantizationType
N_TOKENS = 40
ROLES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
# kinds: one per role and layer, then the embedding, then the head (None: tied).
MODELS = {
    "qwen2-legacy": dict(arch="qwen2", width=96, heads=(3, 1), head_dim=32, ffn=160, theta=1e6, eps=1e-6, kinds=[
        [T.Q5_0, T.Q5_0, T.Q8_0, T.Q5_0, T.Q5_0, T.Q5_0, T.Q5_1],
        [T.Q4_0, T.Q5_1, T.Q4_1, T.Q8_0, T.Q4_0, T.Q4_1, T.Q8_0]], embedding=T.Q5_0, head=T.Q8_0),
    "qwen2-k": dict(arch="qwen2", width=256, heads=(4, 1), head_dim=64, ffn=256, theta=1e6, eps=1e-6, kinds=[
        [T.Q2_K, T.Q4_K, T.Q6_K, T.Q3_K, T.Q2_K, T.Q3_K, T.Q2_K],
        [T.Q2_K, T.Q5_K, T.Q3_K, T.Q4_K, T.Q2_K, T.Q2_K, T.Q3_K]], embedding=T.Q3_K, head=None),
    "llama-mha": dict(arch="llama", width=64, heads=(2, 2), head_dim=32, ffn=96, theta=1e4, eps=1e-5, kinds=[
        [T.Q4_1, T.Q4_1, T.Q4_0, T.Q4_1, T.Q4_1, T.Q4_1, T.Q8_0],
        [T.F16, T.BF16, T.F16, T.BF16, T.F16, T.BF16, T.F16]], embedding=T.Q8_0, head=None),
    "llama-float": dict(arch="llama", width=64, heads=(4, 2), head_dim=16, ffn=64, theta=5e5, eps=1e-5, kinds=[
        [T.F32] * 7, [T.F32] * 7], embedding=T.F32, head=None, rope_factors=True),
    "qwen3-codes": dict(arch="qwen3", width=96, heads=(4, 2), head_dim=48, ffn=128, theta=1e6, eps=1e-6, kinds=[
        [T.IQ4_NL, T.MXFP4, T.IQ4_NL, T.MXFP4, T.MXFP4, T.IQ4_NL, T.Q8_0],
        [T.MXFP4, T.IQ4_NL, T.Q5_0, T.IQ4_NL, T.IQ4_NL, T.IQ4_NL, T.MXFP4]], embedding=T.Q8_0, head=None),
    "qwen3-k": dict(arch="qwen3", width=256, heads=(3, 1), head_dim=64, ffn=256, theta=1e6, eps=1e-6, kinds=[
        [T.IQ4_XS, T.Q4_K, T.Q6_K, T.Q8_0, T.IQ4_XS, T.Q2_K, T.IQ4_XS]], embedding=T.Q3_K, head=T.IQ4_XS),
    "qwen3-float": dict(arch="qwen3", width=64, heads=(2, 1), head_dim=48, ffn=64, theta=1e6, eps=1e-6, kinds=[
        [T.F32] * 7], embedding=T.F32, head=None),
    "gemma3-window": dict(arch="gemma3", width=64, heads=(4, 1), head_dim=32, ffn=96, theta=1e6, eps=1e-6, window=10,
        scaling=("linear", 8.0), embedding=T.Q8_0, head=None, kinds=[
        [T.Q5_0, T.Q5_0, T.Q8_0, T.Q4_0, T.Q5_0, T.Q5_0, T.Q8_0]] * 7),
    "gemma3-float": dict(arch="gemma3", width=32, heads=(2, 2), head_dim=16, ffn=32, theta=1e6, eps=1e-6, window=7,
        embedding=T.F32, head=None, kinds=[[T.F32] * 7] * 6),
    "gemma3-cap": dict(arch="gemma3", width=64, heads=(3, 1), head_dim=32, ffn=96, theta=1e4, eps=1e-6, cap=4.0,
        embedding=T.Q8_0, head=None, kinds=[[T.Q8_0] * 7] * 2),
    "starcoder2-float": dict(arch="starcoder2", width=64, heads=(2, 1), head_dim=32, ffn=96, theta=1e5, eps=1e-5,
        embedding=T.F32, head=None, kinds=[[T.F32] * 7] * 2),
    "starcoder2-legacy": dict(arch="starcoder2", width=96, heads=(6, 2), head_dim=16, ffn=160, theta=1e6, eps=1e-5,
        embedding=T.Q8_0, head=T.Q5_1, kinds=[[T.Q4_1, T.Q5_0, T.Q8_0, T.Q4_0, None, T.Q4_0, T.Q5_1]] * 2),
    "qwen2-yarn": dict(arch="qwen2", width=128, heads=(2, 1), head_dim=64, ffn=64, theta=1e4, eps=1e-6,
        scaling=("yarn", 4.0), embedding=T.F32, head=None, kinds=[[T.F32] * 7] * 2),
    "qwen3moe-float": dict(arch="qwen3moe", width=64, heads=(2, 1), head_dim=32, ffn=32, theta=1e6, eps=1e-6,
        experts=(5, 2), embedding=T.F32, head=None, kinds=[[T.F32] * 7]),
    "qwen3moe-codes": dict(arch="qwen3moe", width=64, heads=(4, 2), head_dim=16, ffn=32, theta=1e6, eps=1e-6,
        experts=(24, 3), embedding=T.Q8_0, head=T.Q4_0, kinds=[
        [T.Q8_0, T.Q8_0, T.Q8_0, T.Q4_0, T.IQ4_NL, T.Q5_0, T.Q4_0]] * 2),
    "qwen3moe-k": dict(arch="qwen3moe", width=256, heads=(2, 1), head_dim=32, ffn=256, theta=1e6, eps=1e-6,
        experts=(3, 1), embedding=T.Q2_K, head=None, kinds=[
        [T.Q2_K, T.Q2_K, T.Q2_K, T.Q8_0, T.Q2_K, T.Q2_K, T.Q2_K]]),
    # llama.cpp rounds the ramp of YaRN to whole pairs, gpt-oss does not: these bases put it at pairs.
    "gpt-oss-float": dict(arch="gpt-oss", width=32, heads=(2, 1), head_dim=32, ffn=32, theta=15450, eps=1e-5,
        experts=(3, 2), window=9, scaling=("yarn", 8.0), embedding=T.F32, head=T.F32, kinds=[[T.F32] * 7] * 2),
    "gpt-oss-mxfp4": dict(arch="gpt-oss", width=64, heads=(8, 2), head_dim=16, ffn=64, theta=172300, eps=1e-5,
        experts=(6, 4), window=6, scaling=("yarn", 32.0), embedding=T.Q8_0, head=T.Q8_0, kinds=[[T.Q8_0] * 4 + [T.MXFP4] * 3] * 3),
}
# Byte offsets of scale and minimum in a block, the largest sub-scale, the quant's mid value, and
# how much larger the minimum must be for a mean of zero (its sub-scale counts alike).
K_BLOCKS = {T.Q2_K: (80, 82, 15, 1.5), T.Q3_K: (108, None, 32, 0), T.Q4_K: (0, 2, 63, 7.5),
            T.Q5_K: (0, 2, 63, 15.5), T.Q6_K: (208, None, 128, 0),
            T.IQ4_NL: (0, None, 1, 0), T.IQ4_XS: (0, None, 32, 0)}


def k_quant(rng, rows, columns, kind, spread):
    """Random blocks of a type that the package cannot quantise to, about `spread` in size."""
    values, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows * columns // values, size), dtype=np.uint8)
    if kind == T.MXFP4:  # The scale is a power of two.
        blocks[:, 0] = 127
        power = np.log2(spread / gguf.dequantize(blocks.reshape(-1), kind).std())
        blocks[:, 0] = 127 + round(power) - rng.integers(0, 2, len(blocks))
        return blocks.reshape(rows, -1)
    scale_at, min_at, largest, mid = K_BLOCKS[kind]
    set_half = lambda at, x: blocks.__setitem__((slice(None), slice(at, at + 2)), np.full(len(blocks), x, "<f2")
                                                .view(np.uint8).reshape(-1, 2))
    set_half(scale_at, 1.0)
    if min_at is not None:
        set_half(min_at, mid)
    unit = gguf.dequantize(blocks.reshape(-1), kind).std()
    set_half(scale_at, spread / unit)
    if min_at is not None:
        set_half(min_at, mid * spread / unit)
    return blocks.reshape(rows, -1)


def vocabulary():
    """256 byte tokens in GPT-2's letters, a few merges, three control tokens: 301 in all."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 256
    for byte in range(256):
        letters[byte] = chr(byte if byte in plain else extra)
        extra += byte not in plain
    tokens, merges = [letters[b] for b in range(256)], []
    for word in [" the", " def", " self", " return", "    ", " import", " print", "()", "\n\n", " class"]:
        parts = [letters[b] for b in word.encode()]
        while len(parts) > 1:
            if parts[0] + parts[1] not in tokens and len(tokens) < 298:
                merges.append(f"{parts[0]} {parts[1]}")
                tokens.append(parts[0] + parts[1])
            parts[:2] = [parts[0] + parts[1]]
    tokens += [f"[unused{i}]" for i in range(298 - len(tokens))]
    kinds = [gguf.TokenType.NORMAL] * 298 + [gguf.TokenType.CONTROL] * 3
    return [*tokens, "<|endoftext|>", "<|im_start|>", "<|im_end|>"], kinds, merges


def write(name, spec, seed):
    rng = np.random.default_rng(seed)
    width, (heads, kv), head_dim, ffn = spec["width"], spec["heads"], spec["head_dim"], spec["ffn"]
    layer_norms = spec["arch"] == "starcoder2"
    biased = spec["arch"] in ("starcoder2", "gpt-oss")
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", spec["arch"])
    writer.add_name(name)
    writer.add_block_count(len(spec["kinds"]))
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_rope_freq_base(spec["theta"])
    (writer.add_layer_norm_eps if layer_norms else writer.add_layer_norm_rms_eps)(spec["eps"])
    n_experts, n_used = spec.get("experts", (0, 0))
    if n_experts:
        writer.add_expert_count(n_experts)
        writer.add_expert_used_count(n_used)
        writer.add_expert_feed_forward_length(ffn)
    if "window" in spec:
        writer.add_sliding_window(spec["window"])
    if "scaling" in spec:
        writer.add_rope_scaling_type(gguf.RopeScalingType(spec["scaling"][0]))
        writer.add_rope_scaling_factor(spec["scaling"][1])
        if spec["scaling"][0] == "yarn":
            writer.add_rope_scaling_orig_ctx_len(128 if spec["arch"] == "gpt-oss" else 512)
    if "cap" in spec:
        writer.add_final_logit_softcapping(spec["cap"])
    if spec["arch"] == "llama":
        writer.add_rope_dimension_count(head_dim)
    if head_dim * heads != width:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    tokens, token_types, merges = vocabulary()
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(token_types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(298)
    writer.add_eos_token_id(300)
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")

    def matrix(tensor, rows, columns, kind, spread):
        if kind in K_BLOCKS or kind == T.MXFP4:
            data = k_quant(rng, rows, columns, kind, spread)
        else:
            data = gguf.quantize((rng.standard_normal((rows, columns)) * spread).astype(np.float32), kind)
        writer.add_tensor(tensor, data, raw_dtype=kind)

    def experts(tensor, rows, columns, kind, spread):
        if kind in K_BLOCKS or kind == T.MXFP4:
            data = k_quant(rng, n_experts * rows, columns, kind, spread)
        else:
            values = rng.standard_normal((n_experts * rows, columns)) * spread
            data = gguf.quantize(values.astype(np.float32), kind)
        writer.add_tensor(tensor, data.reshape(n_experts, rows, -1), raw_dtype=kind)

    def vector(tensor, values):
        writer.add_tensor(tensor, values.astype(np.float32))

    def norm_vectors(tensor):
        vector(tensor + ".weight", rng.uniform(0.5, 1.5, width))
        if layer_norms:
            vector(tensor + ".bias", rng.standard_normal(width) * 0.5)

    shapes = dict(zip(ROLES, [(heads * head_dim, width), (kv * head_dim, width), (kv * head_dim, width),
                              (width, heads * head_dim), (ffn, width), (ffn, width), (width, ffn)]))
    matrix("token_embd.weight", len(tokens), width, spec["embedding"], 1.0)
    for layer, kinds in enumerate(spec["kinds"]):
        for role, kind in zip(ROLES, kinds):
            if spec["arch"] == "starcoder2" and role == "ffn_gate":
                continue
            # Sharper attention than 1/sqrt(columns) would give, so that positions matter.
            spread = (2.0 if role in ("attn_q", "attn_k") else 1.0) / np.sqrt(shapes[role][1])
            if n_experts and role.startswith("ffn"):
                experts(f"blk.{layer}.{role}_exps.weight", *shapes[role], kind, spread)
                if biased:
                    bias = rng.standard_normal((n_experts, shapes[role][0])) * 0.5
                    writer.add_tensor(f"blk.{layer}.{role}_exps.bias", bias.astype(np.float32))
                continue
            matrix(f"blk.{layer}.{role}.weight", *shapes[role], kind, spread)
            if biased or spec["arch"] == "qwen2" and role in ROLES[:3]:
                vector(f"blk.{layer}.{role}.bias", rng.standard_normal(shapes[role][0]) * 0.5)
        for norm in ("attn_norm", "post_attention_norm" if spec["arch"] == "gpt-oss" else "ffn_norm"):
            norm_vectors(f"blk.{layer}.{norm}")
        if n_experts:
            router = rng.standard_normal((n_experts, width)) / np.sqrt(width)
            writer.add_tensor(f"blk.{layer}.ffn_gate_inp.weight", router.astype(np.float32))
        if spec["arch"] == "gpt-oss":
            vector(f"blk.{layer}.ffn_gate_inp.bias", rng.standard_normal(n_experts) * 0.5)
            vector(f"blk.{layer}.attn_sinks.weight", rng.standard_normal(heads) * 2)
        if spec["arch"] in ("qwen3", "qwen3moe", "gemma3"):
            for norm in ("attn_q_norm", "attn_k_norm"):
                vector(f"blk.{layer}.{norm}.weight", rng.uniform(0.5, 1.5, head_dim))
        if spec["arch"] == "gemma3":
            for norm in ("post_attention_norm", "post_ffw_norm"):
                vector(f"blk.{layer}.{norm}.weight", rng.uniform(0.5, 1.5, width))
    norm_vectors("output_norm")
    if spec["head"] is not None:
        matrix("output.weight", len(tokens), width, spec["head"], 2.0 / np.sqrt(width))
    if spec.get("rope_factors"):
        vector("rope_freqs.weight", np.linspace(1.0, 8.0, head_dim // 2))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return rng.integers(0, 298, N_TOKENS).astype("<u4")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for seed, (name, spec) in enumerate(MODELS.items()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        ids = write(name, spec, seed)
        path = OUT / f"{name}.gguf"
        logits = Model(path).logits(ids)
        exact = Model(path, np.float64).logits(ids)
        header = ["cerium tiny 1", f"model {name}", f"tokens {len(ids)}", f"vocab {logits.shape[1]}"]
        rms = lambda x: np.sqrt((x.astype(np.float64) ** 2).mean())
        print(f"{name}: {path.stat().st_size} bytes, rms {rms(logits):.3f}, f64 differs by {rms(logits - exact):.1e}")
        try:
            import llama_cpp
        except ImportError:
            pass
        else:
            llama = llama_cpp.Llama(str(path), n_ctx=N_TOKENS, logits_all=True, n_threads=1, verbose=False,
                                    type_k=0, type_v=0)
            llama.eval(ids.tolist())
            error = rms(llama.scores[:len(ids)] - logits) / rms(logits)
            header.append(f"peer llama-cpp-python-{llama_cpp.__version__} rms={error:.6f}")
            print("  " + header[-1])
        data = "\n".join(header).encode() + b"\n\n" + ids.tobytes() + logits.astype("<f4").tobytes()
        (OUT / f"{name}.golden").write_bytes(data)


if __name__ == "__main__":
    main()
