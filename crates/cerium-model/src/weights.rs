//! The tensors of a model, asked for by name and shape, packed for the kernels.

use crate::LoadError;
use crate::arch::{Config, ExpertCount};
use crate::file::ModelFile;
use crate::gguf::TensorInfo;
use crate::packed::{Packer, Packing};
use cerium_kernels::{Affine, Heads, PackedMatrix, Screen, Team, TensorType, dequantize};

/// All weights of a decoder.
#[derive(Debug)]
pub(crate) struct Weights {
    /// Rows are read from the file when tokens come: a step touches a few of them only.
    embedding: TensorInfo,
    layers: Vec<Layer>,
    output_norm: Norm,
    head: PackedMatrix,
    screen: Option<Screen>,
    rope_factors: Option<Vec<f32>>,
}

/// One decoder layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) attention_norm: Norm,
    pub(crate) q: Linear,
    pub(crate) k: Linear,
    pub(crate) v: Linear,
    pub(crate) head_norms: Option<HeadNorms>,
    /// Scores of nothing, one per query head.
    pub(crate) sinks: Option<Vec<f32>>,
    pub(crate) o: Linear,
    pub(crate) ffn_norm: Norm,
    pub(crate) ffn: Ffn,
    pub(crate) post_norms: Option<PostNorms>,
}

/// What a layer's second part is.
#[derive(Debug)]
pub(crate) enum Ffn {
    Dense(FeedForward),
    Experts(Experts),
}

/// Networks of which every row uses a few.
#[derive(Debug)]
pub(crate) struct Experts {
    /// Its outputs are scores, one per network.
    pub(crate) router: Linear,
    pub(crate) each: Vec<FeedForward>,
    pub(crate) n_used: usize,
}

/// A feed-forward network.
#[derive(Debug)]
pub(crate) struct FeedForward {
    /// What goes into the activation function.
    pub(crate) gate: Linear,
    /// What the gate lets through; `None` where there is nothing but the activation function.
    pub(crate) up: Option<Linear>,
    pub(crate) down: Linear,
}

/// Factors of a norm; with what is added, it subtracts the mean too.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Option<Vec<f32>>,
}

/// A matrix, `[out, in]`, and what is added to its products.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weights: PackedMatrix,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Linear {
    pub(crate) fn affine(&self) -> Affine<'_> {
        Affine { weights: &self.weights, bias: self.bias.as_deref() }
    }
}

/// Norms of every head of the queries and keys.
#[derive(Debug)]
pub(crate) struct HeadNorms {
    pub(crate) q: Vec<f32>,
    pub(crate) k: Vec<f32>,
}

/// Norms of what a layer adds to the stream.
#[derive(Debug)]
pub(crate) struct PostNorms {
    pub(crate) attention: Vec<f32>,
    pub(crate) ffn: Vec<f32>,
}

impl FeedForward {
    /// The matrices that its input meets; one of them twice where there is no other.
    pub(crate) fn inputs(&self) -> [&PackedMatrix; 2] {
        [&self.gate.weights, self.up.as_ref().map_or(&self.gate.weights, |up| &up.weights)]
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.gate, &self.down].into_iter().chain(&self.up)
    }
}

impl Layer {
    /// The matrices that every row meets, and the networks of which a row meets so many.
    fn parts(&self) -> (Vec<&Linear>, &[FeedForward], usize) {
        let mut always = vec![&self.q, &self.k, &self.v, &self.o];
        match &self.ffn {
            Ffn::Dense(network) => (always, std::slice::from_ref(network), 1),
            Ffn::Experts(Experts { router, each, n_used }) => {
                always.push(router);
                (always, each, *n_used)
            }
        }
    }

    /// The matrices that a row meets: of all networks, which have the same shapes, the first ones.
    fn met(&self) -> impl Iterator<Item = &PackedMatrix> {
        let (always, networks, n_used) = self.parts();
        let met = networks[..n_used].iter().flat_map(FeedForward::linears);
        always.into_iter().chain(met).map(|linear| &linear.weights)
    }

    fn n_bytes(&self) -> usize {
        let (always, networks, _) = self.parts();
        let all = always.into_iter().chain(networks.iter().flat_map(FeedForward::linears));
        all.map(|linear| linear.weights.shape().n_bytes()).sum()
    }
}

impl Weights {
    pub(crate) fn load(
        file: &ModelFile,
        config: &Config,
        team: &Team,
    ) -> Result<(Self, Packing), LoadError> {
        let source = Source { file, packer: Packer::new(file, team) };
        let Heads { n_heads, n_kv_heads, head_dim } = config.heads;
        let (d_model, d_ffn, n_vocab) = (config.d_model, config.d_ffn, config.n_vocab);
        let (d_q, d_kv) = (n_heads * head_dim, n_kv_heads * head_dim);
        let embedding = source.info("token_embd.weight", &[d_model, n_vocab])?.clone();
        let layer = |i: usize| {
            let name = |part: &str| format!("blk.{i}.{part}");
            let vector = |part: &str, n| source.vector(&name(&format!("{part}.weight")), n);
            let head_norms = || {
                let (q, k) = (vector("attn_q_norm", head_dim)?, vector("attn_k_norm", head_dim)?);
                Ok::<_, LoadError>(HeadNorms { q, k })
            };
            let post_norms = || {
                let attention = vector("post_attention_norm", d_model)?;
                Ok::<_, LoadError>(PostNorms { attention, ffn: vector("post_ffw_norm", d_model)? })
            };
            let ffn = || {
                let into = |part: &str| source.linear(&name(part), d_ffn, d_model);
                let (gate, up) = match config.family.gate {
                    Some(_) => (into("ffn_gate")?, Some(into("ffn_up")?)),
                    None => (into("ffn_up")?, None),
                };
                let down = source.linear(&name("ffn_down"), d_model, d_ffn)?;
                Ok::<_, LoadError>(Ffn::Dense(FeedForward { gate, up, down }))
            };
            let experts = |count: ExpertCount| {
                let each = |part: &str, n_out, n_in| {
                    source.experts(&name(part), n_out, n_in, count.n_experts)
                };
                let gates = each("ffn_gate_exps", d_ffn, d_model)?.into_iter();
                let ups = each("ffn_up_exps", d_ffn, d_model)?;
                let downs = each("ffn_down_exps", d_model, d_ffn)?;
                let networks = gates.zip(ups).zip(downs);
                let network = |((gate, up), down)| FeedForward { gate, up: Some(up), down };
                Ok::<_, LoadError>(Ffn::Experts(Experts {
                    router: source.linear(&name("ffn_gate_inp"), count.n_experts, d_model)?,
                    each: networks.map(network).collect(),
                    n_used: count.n_used,
                }))
            };
            Ok(Layer {
                attention_norm: source.norm(&name("attn_norm"), config)?,
                q: source.linear(&name("attn_q"), d_q, d_model)?,
                k: source.linear(&name("attn_k"), d_kv, d_model)?,
                v: source.linear(&name("attn_v"), d_kv, d_model)?,
                head_norms: config.family.head_norms.then(head_norms).transpose()?,
                sinks: config
                    .family
                    .has_sinks
                    .then(|| vector("attn_sinks", n_heads))
                    .transpose()?,
                o: source.linear(&name("attn_output"), d_model, d_q)?,
                ffn_norm: source.norm(&name(config.family.ffn_norm), config)?,
                ffn: config.experts.map_or_else(ffn, experts)?,
                post_norms: config.family.post_norms.then(post_norms).transpose()?,
            })
        };
        let layers: Vec<Layer> =
            (0..config.n_layers).map(layer).collect::<Result<_, LoadError>>()?;
        // A model without a head of its own uses the embedding as one.
        let tied = file.gguf.tensor("output.weight").is_none();
        let head = if tied { "token_embd.weight" } else { "output.weight" };
        let output_norm = source.norm("output_norm", config)?;
        // Behind the norm, columns are about as large as its weights.
        let screen = config
            .has_screen()
            .then(|| source.screen(head, n_vocab, &output_norm.weight))
            .transpose()?;
        let head = source.matrix(head, n_vocab, d_model)?;
        let rope_factors = source.optional_vector("rope_freqs.weight", head_dim / 2)?;
        let packing = source.packer.keep();
        Ok((Self { embedding, layers, output_norm, head, screen, rope_factors }, packing))
    }

    /// Type and bytes of the embedding table, `[n_vocab, d_model]`.
    pub(crate) fn embedding<'a>(&self, file: &'a ModelFile) -> (TensorType, &'a [u8]) {
        (self.embedding.kind, file.tensor_bytes(&self.embedding))
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(crate) fn output_norm(&self) -> &Norm {
        &self.output_norm
    }

    pub(crate) fn head(&self) -> &PackedMatrix {
        &self.head
    }

    /// What tells the head's greatest product without computing the others.
    pub(crate) fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref()
    }

    /// Divisors of the rotary frequencies, one per pair (Llama 3.1 and later).
    pub(crate) fn rope_factors(&self) -> Option<&[f32]> {
        self.rope_factors.as_deref()
    }

    /// Multiply-accumulates of a row with the layers and with the head, and the bytes that the file holds
    /// of their weights.
    pub(crate) fn sizes(&self) -> [(usize, usize); 2] {
        let size = |matrix: &PackedMatrix| {
            let n = matrix.n_rows() * matrix.n_cols();
            (n, n / matrix.kind().block_len() * matrix.kind().block_bytes())
        };
        let sum = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        let layers = self.layers.iter().flat_map(Layer::met).map(size);
        [layers.fold((0, 0), sum), size(&self.head)]
    }

    pub(crate) fn n_bytes(&self) -> usize {
        let layers = self.layers.iter().map(Layer::n_bytes).sum::<usize>();
        let screen = self.screen.as_ref().map_or(0, |screen| screen.bytes().len());
        layers + self.head.shape().n_bytes() + screen
    }
}

/// Where tensors come from.
struct Source<'a> {
    file: &'a ModelFile,
    packer: Packer<'a>,
}

impl<'a> Source<'a> {
    /// The tensor of this name, with the shape the model needs (innermost first, as in the file).
    fn info(&self, name: &str, shape: &[usize]) -> Result<&'a TensorInfo, LoadError> {
        let info = self
            .file
            .gguf
            .tensor(name)
            .ok_or_else(|| LoadError::Missing { name: name.to_owned() })?;
        if !info.shape.iter().copied().eq(shape.iter().map(|&n| n as u64)) {
            return Err(LoadError::Shape {
                name: name.to_owned(),
                found: info.shape.clone(),
                expected: shape.iter().map(|&n| n as u64).collect(),
            });
        }
        Ok(info)
    }

    /// The norm of this name, over the width of the model.
    fn norm(&self, name: &str, config: &Config) -> Result<Norm, LoadError> {
        let vector = |part: &str| self.vector(&format!("{name}.{part}"), config.d_model);
        let bias = config.family.layer_norms.then(|| vector("bias")).transpose()?;
        Ok(Norm { weight: vector("weight")?, bias })
    }

    /// The matrix of this name, with its bias where the file has one.
    fn linear(&self, name: &str, n_out: usize, n_in: usize) -> Result<Linear, LoadError> {
        Ok(Linear {
            weights: self.matrix(&format!("{name}.weight"), n_out, n_in)?,
            bias: self.optional_vector(&format!("{name}.bias"), n_out)?,
        })
    }

    fn matrix(&self, name: &str, n_out: usize, n_in: usize) -> Result<PackedMatrix, LoadError> {
        let info = self.info(name, &[n_in, n_out])?;
        self.packer.matrix(info, n_out, n_in)
    }

    /// The matrices of all experts, one after the other in one tensor, with their biases where the file has
    /// them.
    fn experts(
        &self,
        name: &str,
        n_out: usize,
        n_in: usize,
        n_experts: usize,
    ) -> Result<Vec<Linear>, LoadError> {
        let info = self.info(&format!("{name}.weight"), &[n_in, n_out, n_experts])?;
        let all = self.packer.matrix(info, n_out * n_experts, n_in)?;
        let bias = format!("{name}.bias");
        let biases = self.file.gguf.tensor(&bias).map(|_| self.values(&bias, &[n_out, n_experts]));
        let biases = biases.transpose()?;
        let expert = |i: usize| {
            let rows = i * n_out..(i + 1) * n_out;
            let bias = biases.as_ref().map(|biases| biases[rows.clone()].to_vec());
            Linear { weights: all.rows(rows), bias }
        };
        Ok((0..n_experts).map(expert).collect())
    }

    /// A screen of the matrix of this name, whose columns' tokens have such sizes.
    fn screen(&self, name: &str, n_out: usize, sizes: &[f32]) -> Result<Screen, LoadError> {
        self.packer.screen(self.info(name, &[sizes.len(), n_out])?, n_out, sizes)
    }

    fn vector(&self, name: &str, n: usize) -> Result<Vec<f32>, LoadError> {
        self.values(name, &[n])
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let info = self.info(name, shape)?;
        let mut values = vec![0.0; shape.iter().product()];
        dequantize(info.kind, self.file.tensor_bytes(info), &mut values);
        Ok(values)
    }

    fn optional_vector(&self, name: &str, n: usize) -> Result<Option<Vec<f32>>, LoadError> {
        self.file.gguf.tensor(name).map(|_| self.vector(name, n)).transpose()
    }
}
