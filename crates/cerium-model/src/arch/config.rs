//! What a file says of its model, read and checked: which family it is of, and its sizes.

use super::rope::Rope;
use crate::gguf::{Gguf, optional};
use crate::kv::Reach;
use crate::{ContextError, LoadError};
use cerium_kernels::{Gate, Heads, RopePairs};

/// What differs between families and is not in a file's metadata.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a family")]
pub(crate) struct Family {
    name: &'static str,
    pub(super) rope_pairs: RopePairs,
    /// Whether norms subtract the mean and have biases.
    pub(crate) layer_norms: bool,
    /// What the feed-forward network makes of its gate; `None` where it has none, and GELU instead.
    pub(crate) gate: Option<Gate>,
    /// Whether every head of queries and keys is normed before it is rotated.
    pub(crate) head_norms: bool,
    /// Whether the ramp of YaRN begins and ends at whole pairs, as in the paper's own code.
    yarn_at_pairs: bool,
    /// Name of the norm before the feed-forward network.
    pub(crate) ffn_norm: &'static str,
    /// Whether heads have attention sinks.
    pub(crate) has_sinks: bool,
    /// Whether what a layer adds to the stream is normed before.
    pub(crate) post_norms: bool,
    /// Whether rows of the embedding are multiplied with the square root of the width.
    scales_embedding: bool,
    /// Queries are scaled by the width of the model per head, not by that of the head, in the one size
    /// that has this many layers.
    layers_if_scaled_by_width: Option<usize>,
    /// Whether the feed-forward networks are experts, of which a router chooses.
    has_experts: bool,
    /// Where a file has a window: who sees it.
    windows: Option<Windows>,
    /// The native window that the family documents YaRN for, and how far it reaches.
    extension: Option<Extension>,
}

/// A native window, in tokens, and the factor by which YaRN stretches it.
#[derive(Clone, Copy, Debug)]
struct Extension {
    from: usize,
    factor: f32,
}

/// Layers that see a window.
#[derive(Clone, Copy, Debug)]
struct Windows {
    /// The last of this many layers sees everything, the others do not.
    period: usize,
    /// Their own base of the rotations, which are not scaled then.
    theta: Option<f32>,
}

/// What most families are; the others say where they differ.
const PLAIN: Family = Family {
    name: "",
    rope_pairs: RopePairs::Halves,
    layer_norms: false,
    gate: Some(Gate::Silu),
    head_norms: false,
    yarn_at_pairs: true,
    ffn_norm: "ffn_norm",
    has_sinks: false,
    post_norms: false,
    scales_embedding: false,
    layers_if_scaled_by_width: None,
    has_experts: false,
    windows: None,
    extension: None,
};

const FAMILIES: [Family; 7] = [
    Family { name: "qwen2", extension: Some(Extension { from: 32_768, factor: 4.0 }), ..PLAIN },
    Family { name: "qwen3", head_norms: true, ..PLAIN },
    Family { name: "qwen3moe", head_norms: true, has_experts: true, ..PLAIN },
    Family { name: "llama", rope_pairs: RopePairs::Neighbours, ..PLAIN },
    Family {
        name: "gemma3",
        gate: Some(Gate::Gelu),
        head_norms: true,
        post_norms: true,
        scales_embedding: true,
        layers_if_scaled_by_width: Some(62),
        windows: Some(Windows { period: 6, theta: Some(1e4) }),
        ..PLAIN
    },
    Family {
        name: "gpt-oss",
        gate: Some(Gate::Clamped),
        yarn_at_pairs: false,
        ffn_norm: "post_attention_norm",
        has_sinks: true,
        has_experts: true,
        windows: Some(Windows { period: 2, theta: None }),
        ..PLAIN
    },
    Family { name: "starcoder2", layer_norms: true, gate: None, ..PLAIN },
];

/// Sizes and constants of a model, read from its file and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Decoder layers.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the feed-forward network, or of each expert.
    pub d_ffn: usize,
    pub(crate) experts: Option<ExpertCount>,
    /// Attention heads.
    pub heads: Heads,
    /// Rows of the embedding.
    pub n_vocab: usize,
    /// Longest sequence the model was made for, in tokens.
    pub n_context: usize,
    pub(crate) family: Family,
    pub(super) norm_eps: f32,
    /// What rows of the embedding are multiplied with.
    pub(super) embedding_scale: Option<f32>,
    /// What scores of attention are multiplied with.
    pub(super) attention_scale: f32,
    /// Rotations of layers without a window.
    rope: Rope,
    /// The same for sequences beyond the native window, and how long those may be.
    extended: Option<(Rope, usize)>,
    window: Option<Window>,
    /// Rotated values per head.
    pub(super) n_rot: usize,
    /// What logits stay below.
    pub(super) softcap: Option<f32>,
}

/// Experts of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpertCount {
    pub(crate) n_experts: usize,
    /// Those that a row uses.
    pub(crate) n_used: usize,
}

/// A window, and who sees it.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Positions in it.
    pub(super) n_positions: usize,
    /// Rotations of layers that see it.
    pub(super) rope: Rope,
    period: usize,
}

impl Config {
    /// Reads and checks the metadata of a file.
    ///
    /// # Errors
    /// [`LoadError`] for an unknown architecture, a missing key or sizes that no model has.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, LoadError> {
        let name = gguf.architecture()?;
        let family = FAMILIES.into_iter().find(|f| f.name == name).ok_or_else(|| {
            LoadError::Architecture {
                found: name.to_owned(),
                supported: FAMILIES.map(|f| f.name).join(", "),
            }
        })?;
        let size = |key: &str, max: u32| {
            let value = gguf.arch_u32(key)?;
            if value == 0 || value > max {
                let key = format!("{name}.{key}");
                return Err(LoadError::Size { key, found: value.into(), max: max.into() });
            }
            Ok(value as usize)
        };
        let size_or = |key: &str, max: u32, default: usize| {
            let given = gguf.get(&format!("{name}.{key}")).is_some();
            if given { size(key, max) } else { Ok::<_, LoadError>(default) }
        };
        let d_model = size("embedding_length", 1 << 16)?;
        let n_heads = size("attention.head_count", 1 << 10)?;
        let n_kv_heads = size_or("attention.head_count_kv", n_heads as u32, n_heads)?;
        let head_dim = size_or("attention.key_length", 1 << 10, d_model / n_heads)?;
        let n_rot = size_or("rope.dimension_count", head_dim as u32, head_dim)?;
        if !n_heads.is_multiple_of(n_kv_heads)
            || head_dim == 0
            || !head_dim.is_multiple_of(16)
            || !n_rot.is_multiple_of(2)
        {
            return Err(LoadError::Heads { n_heads, n_kv_heads, head_dim, n_rot });
        }
        let n_layers = size("block_count", 1 << 10)?;
        let n_context = size("context_length", 1 << 24)?;
        let rope = Rope::from_gguf(gguf, n_context, family.yarn_at_pairs)?;
        let extended = family.extension.filter(|extension| extension.from == n_context);
        let extended = extended.and_then(|Extension { from, factor }| {
            Some((rope.stretched(factor, from)?, from * factor as usize))
        });
        let has_window = gguf.get(&format!("{name}.attention.sliding_window")).is_some();
        let window = |windows: Windows| {
            let theta = optional(gguf.arch_f32("rope.freq_base_swa"))?;
            let rope = match (windows.theta, theta) {
                (Some(own), theta) => Rope::plain(theta.unwrap_or(own)),
                (None, Some(theta)) => rope.with_theta(theta),
                (None, None) => rope,
            };
            let n_positions = size("attention.sliding_window", 1 << 24)?;
            let period = size_or("attention.sliding_window_pattern", 1 << 10, windows.period)?;
            Ok::<_, LoadError>(Window { n_positions, rope, period })
        };
        let d_ffn = size(
            if family.has_experts { "expert_feed_forward_length" } else { "feed_forward_length" },
            1 << 20,
        )?;
        let experts = || {
            let n_experts = size("expert_count", 1 << 10)?;
            let n_used = size("expert_used_count", n_experts as u32)?;
            // The experts of a tensor are packed together, and taken apart where panels begin.
            if !d_ffn.is_multiple_of(16) {
                return Err(LoadError::Experts { d_ffn });
            }
            Ok(ExpertCount { n_experts, n_used })
        };
        let experts = family.has_experts.then(experts).transpose()?;
        let by_width = family.layers_if_scaled_by_width == Some(n_layers);
        let scaled_by = if by_width { d_model / n_heads } else { head_dim };
        let embedding = gguf
            .tensor("token_embd.weight")
            .ok_or_else(|| LoadError::Missing { name: "token_embd.weight".to_owned() })?;
        Ok(Self {
            architecture: family.name,
            n_layers,
            d_model,
            d_ffn,
            experts,
            heads: Heads { n_heads, n_kv_heads, head_dim },
            n_vocab: embedding.shape.last().map_or(0, |&n| n as usize),
            n_context,
            family,
            norm_eps: gguf.arch_f32(if family.layer_norms {
                "attention.layer_norm_epsilon"
            } else {
                "attention.layer_norm_rms_epsilon"
            })?,
            embedding_scale: family.scales_embedding.then(|| (d_model as f32).sqrt()),
            attention_scale: 1.0 / (scaled_by as f32).sqrt(),
            rope,
            extended,
            window: family.windows.filter(|_| has_window).map(window).transpose()?,
            n_rot,
            softcap: optional(gguf.arch_f32("final_logit_softcapping"))?
                .filter(|cap| cap.is_finite() && *cap > 0.0),
        })
    }

    /// Longest sequence that can be computed, in tokens: beyond [`Self::n_context`] where the family
    /// documents how.
    pub fn n_context_max(&self) -> usize {
        self.extended.map_or(self.n_context, |(_, n)| n)
    }

    /// How to open a sequence that may get `n_context` tokens long.
    ///
    /// # Errors
    /// [`ContextError`] if the model does not reach so far.
    pub fn reach(&self, n_context: usize) -> Result<Reach, ContextError> {
        if n_context <= self.n_context {
            Ok(Reach::Native)
        } else if n_context <= self.n_context_max() {
            Ok(Reach::Extended)
        } else {
            Err(ContextError { asked: n_context, supported: self.n_context_max() })
        }
    }

    /// Rotations of layers without a window.
    ///
    /// # Panics
    /// If the sequence reaches where the model does not: [`Self::reach`] was not asked.
    pub(super) fn rope(&self, reach: Reach) -> Rope {
        match reach {
            Reach::Native => self.rope,
            Reach::Extended => self.extended.expect("a model that can be extended").0,
        }
    }

    /// The window that a layer sees; `None` where it sees everything.
    pub(super) fn window(&self, layer: usize) -> Option<&Window> {
        self.window.as_ref().filter(|window| layer % window.period + 1 < window.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GgufBuilder;
    use cerium_kernels::TensorType;

    /// Sizes like those of Gemma 3, in so many layers.
    fn gemma3(n_layers: u32) -> Config {
        let file = GgufBuilder::new(3)
            .kv("general.architecture", "gemma3")
            .kv("gemma3.block_count", n_layers)
            .kv("gemma3.embedding_length", 640u32)
            .kv("gemma3.feed_forward_length", 2048u32)
            .kv("gemma3.context_length", 32768u32)
            .kv("gemma3.attention.head_count", 4u32)
            .kv("gemma3.attention.head_count_kv", 1u32)
            .kv("gemma3.attention.key_length", 256u32)
            .kv("gemma3.attention.layer_norm_rms_epsilon", 1e-6f32)
            .kv("gemma3.attention.sliding_window", 512u32)
            .kv("gemma3.rope.freq_base", 1e6f32)
            .tensor("token_embd.weight", &[1, 1], TensorType::F32, &[0; 4])
            .build();
        Config::from_gguf(&Gguf::parse(&file).unwrap()).unwrap()
    }

    #[test]
    fn five_of_six_layers_see_a_window_and_turn_faster() {
        let config = gemma3(18);
        for layer in 0..18 {
            let window = config.window(layer).map(|window| (window.n_positions, window.rope));
            let want = (layer % 6 != 5).then_some((512, Rope::plain(1e4)));
            assert_eq!(window, want, "layer {layer}");
        }
        assert_eq!(config.rope(Reach::Native), Rope::plain(1e6));
        assert!(config.reach(32_768).is_ok() && config.reach(32_769).is_err());
    }

    /// Of the five sizes only the 27B, with 62 layers, was trained so.
    #[test]
    fn one_size_scales_its_queries_by_the_width_per_head() {
        assert_eq!(gemma3(18).attention_scale, 1.0 / 16.0);
        assert_eq!(gemma3(62).attention_scale, 1.0 / 160.0f32.sqrt());
    }
}
