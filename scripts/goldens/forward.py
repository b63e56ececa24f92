"""A plain forward pass of `qwen2` and `llama` GGUF files in numpy: the reference for logits.

Written from the papers and the file format, sharing no code with the engine. Weights are
dequantised by the `gguf` package and nothing is rounded afterwards: no int8 activations, no
half-precision keys or values. Matrix products are f32 (numpy's BLAS); norms, rotations and
softmaxes are f64. Needs: pip install numpy gguf
"""
import gguf
import numpy as np


class Model:
    """The weights and hyperparameters of one file."""

    def __init__(self, path, dtype=np.float32):
        reader = gguf.GGUFReader(path)
        self.fields = {name: field for name, field in reader.fields.items()}
        self.dtype = dtype
        self.weights = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(dtype) for t in reader.tensors}
        self.arch = self.field("general.architecture")
        if self.arch not in ("qwen2", "llama"):
            raise ValueError(f"architecture is {self.arch!r}, the reference knows qwen2 and llama")
        assert "blk.0.attn_q_norm.weight" not in self.weights, "no place for query norms here"
        assert self.hyper("rope.scaling.type", "none") == "none"
        self.n_layers = self.hyper("block_count")
        self.n_heads = self.hyper("attention.head_count")
        self.n_kv = self.hyper("attention.head_count_kv", self.n_heads)
        self.head_dim = self.hyper("attention.key_length", self.hyper("embedding_length") // self.n_heads)
        self.n_rot = self.hyper("rope.dimension_count", self.head_dim)
        self.theta = self.hyper("rope.freq_base", 10000.0)
        self.eps = self.hyper("attention.layer_norm_rms_epsilon")

    def field(self, name, default=None):
        return self.fields[name].contents() if name in self.fields else default

    def hyper(self, name, default=None):
        value = self.field(f"{self.arch}.{name}", default)
        assert value is not None, f"{self.arch}.{name} is missing"
        return value

    def linear(self, x, name):
        """`x @ W.T (+ b)`: GGUF stores a matrix as rows of outputs."""
        y = x @ self.weights[name + ".weight"].T
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias

    def norm(self, x, name):
        """RMSNorm: Zhang & Sennrich 2019."""
        wide = x.astype(np.float64)
        wide /= np.sqrt((wide * wide).mean(-1, keepdims=True) + self.eps)
        return (wide * self.weights[name + ".weight"]).astype(self.dtype)

    def rotate(self, x):
        """RoPE (Su et al. 2021, eq. 34) on `x[position, head, dim]`.

        `qwen2` rotates the pairs (i, i + n_rot/2). Files of `llama` hold query and key rows permuted
        so that the same pairs lie side by side: (2i, 2i + 1). Llama 3 divides the frequencies.
        """
        half = self.n_rot // 2
        frequency = self.theta ** (-np.arange(half) / half) / self.weights.get("rope_freqs.weight", 1.0)
        angle = np.arange(x.shape[0])[:, None] * frequency
        cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
        first, second = (slice(0, half), slice(half, 2 * half)) if self.arch == "qwen2" else \
            (slice(0, 2 * half, 2), slice(1, 2 * half, 2))
        a, b = x[..., first].astype(np.float64), x[..., second].astype(np.float64)
        out = x.copy()
        out[..., first], out[..., second] = a * cos - b * sin, a * sin + b * cos
        return out

    def attention(self, x, layer):
        n = len(x)
        split = lambda name, heads: self.linear(x, f"blk.{layer}.attn_{name}").reshape(n, heads, -1)
        q, k = self.rotate(split("q", self.n_heads)), self.rotate(split("k", self.n_kv))
        v = split("v", self.n_kv)
        out = np.empty((n, self.n_heads, v.shape[-1]), self.dtype)
        future = np.triu(np.ones((n, n), bool), 1)
        for head in range(self.n_heads):
            kv = head // (self.n_heads // self.n_kv)
            scores = (q[:, head] @ k[:, kv].T).astype(np.float64) / np.sqrt(self.head_dim)
            scores[future] = -np.inf
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            out[:, head] = scores.astype(self.dtype) @ v[:, kv]
        return self.linear(out.reshape(n, -1), f"blk.{layer}.attn_output")

    def logits(self, ids):
        """Logits after each of `ids`, which start at position 0: `[len(ids), n_vocab]`."""
        x = self.weights["token_embd.weight"][ids]
        for layer in range(self.n_layers):
            x = x + self.attention(self.norm(x, f"blk.{layer}.attn_norm"), layer)
            h = self.norm(x, f"blk.{layer}.ffn_norm")
            gate, up = self.linear(h, f"blk.{layer}.ffn_gate"), self.linear(h, f"blk.{layer}.ffn_up")
            x = x + self.linear(gate / (1 + np.exp(-gate)) * up, f"blk.{layer}.ffn_down")
        head = "output" if "output.weight" in self.weights else "token_embd"
        return self.linear(self.norm(x, "output_norm"), head)
