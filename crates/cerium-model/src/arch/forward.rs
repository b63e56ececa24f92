//! One pass of a batch through the layers.

use super::experts::Routes;
use super::{Config, Outputs, Segment, Wanted};
use crate::file::ModelFile;
use crate::profile::{Clock, Work};
use crate::weights::{FeedForward, Ffn, Layer, Linear, Norm, Weights};
use cerium_kernels::{
    Activations, Attention, Cpu, Detail, Heads, Hidden, PackedMatrix, Product, Screening, Span,
    Team, add, argmax, attention, dequantize, hidden, layer_norm, matmul, rms_norm, softcap,
};
use smallvec::SmallVec;

/// Rows of a step; on the stack, unless there are very many.
type Rows = SmallVec<[usize; 8]>;

/// Fewer rows get all their logits: reading the head takes as long as reading its screen.
const SCREENED_MIN: usize = 4;

/// Buffers that grow to the largest step seen and stay.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Of all segments, one a row.
    tokens: Vec<u32>,
    /// The residual stream, `[n_rows, d_model]`.
    pub(super) x: Vec<f32>,
    pub(super) normed: Vec<f32>,
    pub(super) quantised: Activations,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    attended: Vec<f32>,
    /// Hidden layer of the feed-forward network.
    hidden: Activations,
    /// Which experts the rows use, the rows of one of them, and what all of them made.
    pub(super) routes: Routes,
    pub(super) gathered: Vec<f32>,
    pub(super) made: Vec<f32>,
    /// Output of the projections back into the stream.
    pub(super) delta: Vec<f32>,
    /// Cosine and sine per row and pair, for layers that see everything and for those with a window.
    turns: [Vec<(f32, f32)>; 2],
    /// Of the rows that logits are wanted of, `n_logits` in all. What is behind them has no meaning.
    logits: Vec<f32>,
    n_logits: usize,
    likeliest: Vec<u32>,
    screening: Screening,
}

impl Scratch {
    pub(super) fn outputs(&self) -> Outputs<'_> {
        Outputs { logits: &self.logits[..self.n_logits], likeliest: &self.likeliest }
    }
}

/// What a pass reads, and the buffers that it fills.
pub(super) struct Pass<'a> {
    pub(super) config: &'a Config,
    pub(super) weights: &'a Weights,
    pub(super) cpu: Cpu,
    pub(super) team: &'a Team,
    /// Whether activations have 16 bits.
    pub(super) fine: bool,
    pub(super) scratch: &'a mut Scratch,
    pub(super) clock: Clock<'a>,
}

impl Pass<'_> {
    /// Makes room for the segments, and begins with their rows of the embedding.
    pub(super) fn embed(&mut self, file: &ModelFile, segments: &mut [Segment<'_>]) {
        let (config, s) = (self.config, &mut *self.scratch);
        let Heads { n_heads, n_kv_heads, head_dim } = config.heads;
        let n_rows: usize = segments.iter().map(|segment| segment.tokens.len()).sum();
        let (d_model, d_q, d_kv) = (config.d_model, n_heads * head_dim, n_kv_heads * head_dim);
        s.x.resize(n_rows * d_model, 0.0);
        s.delta.resize(n_rows * d_model, 0.0);
        s.q.resize(n_rows * d_q, 0.0);
        s.attended.resize(n_rows * d_q, 0.0);
        s.k.resize(n_rows * d_kv, 0.0);
        s.v.resize(n_rows * d_kv, 0.0);

        let factors = self.weights.rope_factors();
        let window = (0..config.n_layers).find_map(|layer| config.window(layer));
        s.turns.iter_mut().for_each(Vec::clear);
        let [everywhere, windowed] = &mut s.turns;
        for segment in &mut *segments {
            segment.kv.reserve(segment.tokens.len());
            let positions = segment.kv.n_tokens()..segment.kv.n_tokens() + segment.tokens.len();
            let rope = config.rope(segment.kv.opening().reach);
            rope.add_turns(config.n_rot, factors, positions.clone(), everywhere);
            if let Some(window) = window {
                window.rope.add_turns(config.n_rot, factors, positions, windowed);
            }
        }
        let Scratch { x, tokens, .. } = s;
        tokens.clear();
        tokens.extend(segments.iter().flat_map(|segment| segment.tokens));
        let (kind, table) = self.weights.embedding(file);
        let row_bytes = table.len() / config.n_vocab;
        self.team.for_each_chunk(x, d_model, |i, row| {
            let at = tokens[i] as usize * row_bytes;
            dequantize(kind, &table[at..at + row_bytes], row);
            if let Some(scale) = config.embedding_scale {
                for x in row {
                    *x *= scale;
                }
            }
        });
        self.clock.lap(Work::Embedding);
    }

    /// One layer's attention: the rows' keys and values are stored, and what they attend to is added to
    /// the stream.
    pub(super) fn attend(&mut self, i_layer: usize, layer: &Layer, segments: &mut [Segment<'_>]) {
        self.norm(None, &layer.attention_norm, &[&layer.q, &layer.k, &layer.v].map(|l| &l.weights));
        self.clock.lap(Work::Norms);
        let (config, cpu, team, s) = (self.config, self.cpu, self.team, &mut *self.scratch);
        let Heads { n_heads, n_kv_heads, head_dim } = config.heads;
        let (d_q, d_kv) = (n_heads * head_dim, n_kv_heads * head_dim);
        matmul(
            cpu,
            team,
            &s.quantised,
            &mut [
                Product { weights: &layer.q.weights, out: &mut s.q },
                Product { weights: &layer.k.weights, out: &mut s.k },
                Product { weights: &layer.v.weights, out: &mut s.v },
            ],
        );
        self.clock.lap(Work::Qkv);
        let n_pairs = config.n_rot / 2;
        let window = config.window(i_layer);
        let turns = &s.turns[usize::from(window.is_some())];
        let turn = |i: usize, row: &mut [f32], linear: &Linear, norm: Option<&Vec<f32>>| {
            add_bias(cpu, row, linear);
            if let Some(norm) = norm {
                rms_norm(cpu, row, norm, config.norm_eps);
            }
            let turn = &turns[i * n_pairs..(i + 1) * n_pairs];
            cerium_kernels::rope(cpu, row, head_dim, config.family.rope_pairs, turn);
        };
        let (q_norm, k_norm) = layer.head_norms.as_ref().map(|norms| (&norms.q, &norms.k)).unzip();
        team.for_each_chunk(&mut s.q, d_q, |i, row| turn(i, row, &layer.q, q_norm));
        team.for_each_chunk(&mut s.k, d_kv, |i, row| turn(i, row, &layer.k, k_norm));
        if layer.v.bias.is_some() {
            team.for_each_chunk(&mut s.v, d_kv, |_, row| add_bias(cpu, row, &layer.v));
        }
        let mut first = 0;
        for segment in &mut *segments {
            let rows = first * d_kv..(first + segment.tokens.len()) * d_kv;
            segment.kv.store(cpu, team, i_layer, &s.k[rows.clone()], &s.v[rows]);
            first += segment.tokens.len();
        }
        self.clock.lap(Work::Positions);
        let spans = spans(segments, i_layer);
        let how = Attention {
            heads: config.heads,
            scale: config.attention_scale,
            window: window.map(|window| window.n_positions),
            sinks: layer.sinks.as_deref(),
        };
        attention(cpu, team, how, &spans, &s.q, &mut s.attended);
        self.clock.lap(Work::Attention);
        let detail = Detail::of(self.fine, &[&layer.o.weights]);
        s.quantised.quantize(cpu, team, &mut s.attended, d_q, detail, |_, _| {});
        let product = Product { weights: &layer.o.weights, out: &mut s.delta };
        matmul(cpu, team, &s.quantised, &mut [product]);
        self.clock.lap(Work::Output);
        self.add_delta(
            layer.o.bias.as_deref(),
            layer.post_norms.as_ref().map(|norms| &norms.attention),
        );
    }

    /// One layer's feed-forward network, added to the stream.
    pub(super) fn feed_forward(&mut self, layer: &Layer) {
        let post_norm = layer.post_norms.as_ref().map(|norms| &norms.ffn);
        match &layer.ffn {
            Ffn::Dense(network) => {
                self.norm(None, &layer.ffn_norm, &network.inputs());
                self.clock.lap(Work::Norms);
                let mut delta = std::mem::take(&mut self.scratch.delta);
                self.network(network, &mut delta);
                self.scratch.delta = delta;
                self.add_delta(network.down.bias.as_deref(), post_norm);
            }
            Ffn::Experts(experts) => {
                self.norm(None, &layer.ffn_norm, &[&experts.router.weights]);
                self.clock.lap(Work::Norms);
                self.experts(experts);
                self.add_delta(None, post_norm);
            }
        }
    }

    /// What a network makes of the quantised rows, without its last bias: `[n_rows, d_model]`.
    pub(super) fn network(&mut self, network: &FeedForward, out: &mut [f32]) {
        let (cpu, team, s) = (self.cpu, self.team, &mut *self.scratch);
        let FeedForward { gate, up, down } = network;
        let up = self.config.family.gate.zip(up.as_ref().map(Linear::affine));
        let made_of = Hidden { gate: gate.affine(), up };
        let detail = Detail::of(self.fine, &[&down.weights]);
        hidden(cpu, team, &s.quantised, made_of, detail, &mut s.hidden);
        self.clock.lap(Work::Hidden);
        matmul(cpu, team, &s.hidden, &mut [Product { weights: &down.weights, out }]);
        self.clock.lap(Work::Down);
    }

    /// What was wanted of the rows.
    pub(super) fn head(&mut self, segments: &[Segment<'_>]) {
        let (mut of_logits, mut of_likeliest) = (Rows::new(), Rows::new());
        let mut end = 0;
        for segment in segments {
            end += segment.tokens.len();
            let (rows, n) = match segment.wanted {
                Wanted::Logits(n) => (&mut of_logits, n),
                Wanted::Likeliest(n) => (&mut of_likeliest, n),
            };
            rows.extend(end - n.min(segment.tokens.len())..end);
        }
        self.scratch.likeliest.clear();
        self.norm_for_head(&of_likeliest);
        if !self.screen() {
            self.logits();
            let Scratch { logits, likeliest, .. } = &mut *self.scratch;
            let n_vocab = self.config.n_vocab;
            likeliest.resize(of_likeliest.len(), 0);
            self.team.for_each_chunk(likeliest, 1, |i, id| {
                id[0] = argmax(&logits[i * n_vocab..(i + 1) * n_vocab]).unwrap_or(0) as u32;
            });
        }
        self.norm_for_head(&of_logits);
        self.logits();
        self.clock.lap(Work::Head);
    }

    /// Rows of the stream, as the head takes them.
    fn norm_for_head(&mut self, rows: &[usize]) {
        self.norm(Some(rows), self.weights.output_norm(), &[self.weights.head()]);
    }

    /// The likeliest tokens after the normed rows, without all logits. False if that cannot be, or is not
    /// worth it.
    fn screen(&mut self) -> bool {
        let (head, s) = (self.weights.head(), &mut *self.scratch);
        let is_worth_it = s.quantised.n_tokens() >= SCREENED_MIN;
        let Some(screen) = self.weights.screen().filter(|_| is_worth_it) else { return false };
        let best = screen.argmax(self.cpu, self.team, head, &s.quantised, &mut s.screening);
        let Some(best) = best else { return false };
        s.likeliest.extend(best.into_iter().map(|row| row.unwrap_or(0) as u32));
        true
    }

    /// The logits after the normed rows.
    fn logits(&mut self) {
        let s = &mut *self.scratch;
        s.n_logits = s.quantised.n_tokens() * self.config.n_vocab;
        // Never shorter: what comes back would be zeroed first.
        s.logits.resize(s.n_logits.max(s.logits.len()), 0.0);
        let logits = &mut s.logits[..s.n_logits];
        let product = Product { weights: self.weights.head(), out: &mut *logits };
        matmul(self.cpu, self.team, &s.quantised, &mut [product]);
        if let Some(cap) = self.config.softcap {
            let (cpu, n_vocab) = (self.cpu, self.config.n_vocab);
            self.team.for_each_chunk(logits, n_vocab, |_, row| softcap(cpu, row, cap));
        }
    }

    /// Norms rows of the stream, or all of them, and quantises them for products with `weights`.
    fn norm(&mut self, rows: Option<&[usize]>, norm: &Norm, weights: &[&PackedMatrix]) {
        let (cpu, s) = (self.cpu, &mut *self.scratch);
        let (x, d_model, eps) = (&s.x, self.config.d_model, self.config.norm_eps);
        let produce = |i: usize, row: &mut [f32]| {
            let i = rows.map_or(i, |rows| rows[i]);
            row.copy_from_slice(&x[i * d_model..(i + 1) * d_model]);
            match &norm.bias {
                Some(bias) => layer_norm(cpu, row, &norm.weight, bias, eps),
                None => rms_norm(cpu, row, &norm.weight, eps),
            }
        };
        s.normed.resize(rows.map_or(x.len(), |rows| rows.len() * d_model), 0.0);
        let detail = Detail::of(self.fine, weights);
        s.quantised.quantize(cpu, self.team, &mut s.normed, d_model, detail, produce);
    }

    /// What a layer's part made is added to the stream, after its bias and its norm.
    fn add_delta(&mut self, bias: Option<&[f32]>, norm: Option<&Vec<f32>>) {
        const ROWS: usize = 16;
        let (cpu, team, config, s) = (self.cpu, self.team, self.config, &mut *self.scratch);
        let (d_model, eps) = (config.d_model, config.norm_eps);
        if bias.is_some() || norm.is_some() {
            team.for_each_chunk(&mut s.delta, d_model, |_, row| {
                if let Some(bias) = bias {
                    add(cpu, row, bias);
                }
                if let Some(norm) = norm {
                    rms_norm(cpu, row, norm, eps);
                }
            });
        }
        let delta = &s.delta;
        team.for_each_chunk(&mut s.x, ROWS * d_model, |i, rows| {
            add(cpu, rows, &delta[i * ROWS * d_model..][..rows.len()]);
        });
        self.clock.lap(Work::Norms);
    }
}

/// Adds the bias of what made a row, where there is one.
pub(super) fn add_bias(cpu: Cpu, row: &mut [f32], made_by: &Linear) {
    if let Some(bias) = &made_by.bias {
        add(cpu, row, bias);
    }
}

/// On the stack, unless there are very many: a layer asks for no memory.
fn spans<'a>(segments: &'a [Segment<'_>], layer: usize) -> SmallVec<[Span<'a>; 8]> {
    let mut first_row = 0;
    let span = |segment: &'a Segment<'_>| {
        let span = segment.kv.span(layer, first_row, segment.tokens.len());
        first_row += segment.tokens.len();
        span
    };
    segments.iter().map(span).collect()
}
