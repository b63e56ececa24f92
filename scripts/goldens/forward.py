"""A plain forward pass of the GGUF files of all our families in numpy: the reference for logits.

Written from the papers and the file format, sharing no code with the engine. Weights are
dequantised by the `gguf` package and nothing is rounded afterwards: no int8 activations, no
half-precision keys or values. Matrix products are f32 (numpy's BLAS); norms, rotations and
softmaxes are f64. Needs: pip install numpy gguf
"""
import gguf
import numpy as np

# What is not in a file: which pairs are rotated, every how many layers one has no window, the base
# of the rotations where there is one, and how a gate is applied.
FAMILIES = {
    "qwen2": dict(),
    "qwen3": dict(),
    "qwen3moe": dict(),
    "llama": dict(neighbours=True),
    "starcoder2": dict(gelu=True),
    "gpt-oss": dict(period=2, yarn_between_pairs=True, clamped=True, ffn_norm="post_attention_norm"),
    "gemma3": dict(period=6, window_theta=1e4, gelu=True, post_norms=True),
}


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    """The approximation by tanh: Hendrycks & Gimpel 2016."""
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


class Model:
    """The weights and hyperparameters of one file."""

    def __init__(self, path, dtype=np.float32):
        reader = gguf.GGUFReader(path)
        self.fields = {name: field for name, field in reader.fields.items()}
        self.dtype = dtype
        self.weights = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(dtype) for t in reader.tensors}
        self.arch = self.field("general.architecture")
        self.family = FAMILIES[self.arch]
        scaling = self.hyper("rope.scaling.type", "none")
        assert scaling in ("none", "linear", "yarn")
        self.divisor = self.hyper("rope.scaling.factor") if scaling == "linear" else 1.0
        self.yarn = self.hyper("rope.scaling.factor") if scaling == "yarn" else None
        self.n_layers = self.hyper("block_count")
        self.n_heads = self.hyper("attention.head_count")
        self.n_kv = self.hyper("attention.head_count_kv", self.n_heads)
        self.head_dim = self.hyper("attention.key_length", self.hyper("embedding_length") // self.n_heads)
        self.n_rot = self.hyper("rope.dimension_count", self.head_dim)
        self.theta = self.hyper("rope.freq_base", 10000.0)
        self.window = self.hyper("attention.sliding_window", 0)
        # Gemma 3 27B alone, which has 62 layers, scales its queries by the width per head.
        wide = self.arch == "gemma3" and self.n_layers == 62
        self.scaled_by = self.hyper("embedding_length") // self.n_heads if wide else self.head_dim
        self.eps = self.hyper("attention.layer_norm_epsilon", 0) or self.hyper("attention.layer_norm_rms_epsilon")

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
        """RMSNorm: Zhang & Sennrich 2019; with a bias LayerNorm: Ba et al. 2016."""
        wide, bias = x.astype(np.float64), self.weights.get(name + ".bias")
        if bias is not None:
            wide -= wide.mean(-1, keepdims=True)
        wide /= np.sqrt((wide * wide).mean(-1, keepdims=True) + self.eps)
        return (wide * self.weights[name + ".weight"] + (0 if bias is None else bias)).astype(self.dtype)

    def has_window(self, layer):
        return self.window > 0 and (layer + 1) % self.family["period"] != 0

    def rotate(self, x, layer):
        """RoPE (Su et al. 2021, eq. 34) on `x[position, head, dim]`.

        Most families rotate the pairs (i, i + n_rot/2). Files of `llama` hold query and key rows
        permuted so that the same pairs lie side by side: (2i, 2i + 1). Llama 3 divides the frequencies.
        """
        half, theta, divisor = self.n_rot // 2, self.theta, self.divisor
        if self.has_window(layer) and "window_theta" in self.family:
            theta, divisor = self.hyper("rope.freq_base_swa", self.family["window_theta"]), 1.0
        frequency = theta ** (-np.arange(half) / half) / divisor / self.weights.get("rope_freqs.weight", 1.0)
        length = 1.0
        if self.yarn:
            frequency, length = frequency * self.ramp(half, theta), 0.1 * np.log(self.yarn) + 1.0
        angle = np.arange(x.shape[0])[:, None] * frequency
        cos, sin = length * np.cos(angle)[:, None, :], length * np.sin(angle)[:, None, :]
        first, second = slice(0, half), slice(half, 2 * half)
        if self.family.get("neighbours"):
            first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
        a, b = x[..., first].astype(np.float64), x[..., second].astype(np.float64)
        out = x.copy()
        out[..., first], out[..., second] = a * cos - b * sin, a * sin + b * cos
        return out

    def ramp(self, half, theta):
        """YaRN (Peng et al. 2023): what is left of the frequencies, after which pairs' turns within the
        trained length (32 and 1) the ramp begins and ends."""
        trained = self.hyper("rope.scaling.original_context_length")
        low, high = (half * np.log(trained / (turns * 2 * np.pi)) / np.log(theta) for turns in (32, 1))
        if not self.family.get("yarn_between_pairs"):
            low, high = np.floor(low), np.ceil(high)
        low, high = max(low, 0), min(high, 2 * half - 1)
        divided = np.clip((np.arange(half) - low) / max(high - low, 0.001), 0, 1)
        return divided / self.yarn + 1 - divided

    def attention(self, x, layer):
        n, name = len(x), f"blk.{layer}.attn_"
        split = lambda part, heads: self.linear(x, name + part).reshape(n, heads, -1)
        q, k, v = split("q", self.n_heads), split("k", self.n_kv), split("v", self.n_kv)
        if name + "q_norm.weight" in self.weights:
            q, k = self.norm(q, name + "q_norm"), self.norm(k, name + "k_norm")
        q, k = self.rotate(q, layer), self.rotate(k, layer)
        out = np.empty((n, self.n_heads, v.shape[-1]), self.dtype)
        hidden = np.triu(np.ones((n, n), bool), 1)
        if self.has_window(layer):  # Its own position is the last of the window.
            hidden |= np.tril(np.ones((n, n), bool), -self.window)
        for head in range(self.n_heads):
            kv = head // (self.n_heads // self.n_kv)
            scores = (q[:, head] @ k[:, kv].T).astype(np.float64) / np.sqrt(self.scaled_by)
            scores[hidden] = -np.inf
            if name + "sinks.weight" in self.weights:  # Takes its share, and gives nothing for it.
                sink = np.full((n, 1), self.weights[name + "sinks.weight"][head], np.float64)
                scores = softmax(np.concatenate([scores, sink], 1))[:, :-1]
            else:
                scores = softmax(scores)
            out[:, head] = scores.astype(self.dtype) @ v[:, kv]
        return self.linear(out.reshape(n, -1), name + "output")

    def feed_forward(self, x, layer):
        name = f"blk.{layer}.ffn_"
        if name + "gate_exps.weight" in self.weights:
            return self.experts(x, name)
        activation = gelu if self.family.get("gelu") else silu
        if name + "gate.weight" not in self.weights:
            return self.linear(activation(self.linear(x, name + "up")), name + "down")
        return self.linear(activation(self.linear(x, name + "gate")) * self.linear(x, name + "up"), name + "down")

    def experts(self, x, name):
        """The experts of greatest score, weighed by the softmax over their scores (that over all, scaled
        to sum 1, is the same)."""
        scores = self.linear(x, name + "gate_inp").astype(np.float64)
        out = np.zeros_like(x)
        for row in range(len(x)):
            chosen = np.argsort(-scores[row], kind="stable")[:self.hyper("expert_used_count")]
            for expert, weight in zip(chosen, softmax(scores[row, chosen])):
                part = lambda v, role: self.expert(v, f"{name}{role}_exps", expert)
                gate, up = part(x[row], "gate"), part(x[row], "up")
                if self.family.get("clamped"):
                    gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
                    hidden = gate / (1 + np.exp(-1.702 * gate)) * (up + 1)
                else:
                    hidden = silu(gate) * up
                out[row] += self.dtype(weight) * part(hidden, "down")
        return out

    def expert(self, x, name, i):
        y = self.weights[name + ".weight"][i] @ x
        bias = self.weights.get(name + ".bias")
        return y if bias is None else y + bias[i]

    def logits(self, ids):
        """Logits after each of `ids`, which start at position 0: `[len(ids), n_vocab]`."""
        x = self.weights["token_embd.weight"][ids]
        if self.arch == "gemma3":
            x = x * self.dtype(np.sqrt(x.shape[1]))
        post = (lambda y, name: self.norm(y, name)) if self.family.get("post_norms") else (lambda y, name: y)
        ffn_norm = self.family.get("ffn_norm", "ffn_norm")
        for layer in range(self.n_layers):
            name = f"blk.{layer}."
            x = x + post(self.attention(self.norm(x, name + "attn_norm"), layer), name + "post_attention_norm")
            x = x + post(self.feed_forward(self.norm(x, name + ffn_norm), layer), name + "post_ffw_norm")
        head = "output" if "output.weight" in self.weights else "token_embd"
        logits = self.linear(self.norm(x, "output_norm"), head)
        cap = self.hyper("final_logit_softcapping", 0.0)
        return cap * np.tanh(logits / cap) if cap > 0 else logits
