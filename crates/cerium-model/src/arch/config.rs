//! What a file says of its model, read and checked: which family it is of, and its sizes.

use crate::LoadError;
use crate::gguf::{Gguf, optional};
use cerium_kernels::{Heads, RopePairs};

/// What differs between families and is not in a file's metadata.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    name: &'static str,
    pub(super) rope_pairs: RopePairs,
    /// Whether every head of queries and keys is normed before it is rotated.
    pub(crate) head_norms: bool,
}

/// What most families are; the others say where they differ.
const PLAIN: Family = Family { name: "", rope_pairs: RopePairs::Halves, head_norms: false };

const FAMILIES: [Family; 3] = [
    Family { name: "qwen2", ..PLAIN },
    Family { name: "qwen3", head_norms: true, ..PLAIN },
    Family { name: "llama", rope_pairs: RopePairs::Neighbours, ..PLAIN },
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
    /// Width of the feed-forward network.
    pub d_ffn: usize,
    /// Attention heads.
    pub heads: Heads,
    /// Rows of the embedding.
    pub n_vocab: usize,
    /// Longest sequence the model was made for, in tokens.
    pub n_context: usize,
    pub(crate) family: Family,
    pub(super) norm_eps: f32,
    pub(super) rope_theta: f32,
    /// Rotated values per head.
    pub(super) n_rot: usize,
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
        if let Some(found) = optional(gguf.arch_str("rope.scaling.type"))?
            && found != "none"
        {
            return Err(LoadError::RopeScaling { found: found.to_owned() });
        }
        let embedding = gguf
            .tensor("token_embd.weight")
            .ok_or_else(|| LoadError::Missing { name: "token_embd.weight".to_owned() })?;
        Ok(Self {
            architecture: family.name,
            n_layers: size("block_count", 1 << 10)?,
            d_model,
            d_ffn: size("feed_forward_length", 1 << 20)?,
            heads: Heads { n_heads, n_kv_heads, head_dim },
            n_vocab: embedding.shape.last().map_or(0, |&n| n as usize),
            n_context: size("context_length", 1 << 24)?,
            family,
            norm_eps: gguf.arch_f32("attention.layer_norm_rms_epsilon")?,
            rope_theta: optional(gguf.arch_f32("rope.freq_base"))?.unwrap_or(1e4),
            n_rot,
        })
    }
}
