//! Reference logits: reads the files of `scripts/goldens/{logits,tiny}.py` and scores an engine.
//!
//! The scripts document the layout and the formula; this is their Rust side.

use std::{collections::HashMap, fs, path::Path};

/// Probabilities below this count as this, on both sides of the formula.
const EMPTY: f64 = 1e-10;
const SCORE_UNIT: f64 = 2048.0;

/// Reference distributions over the next token for each position of some texts.
#[derive(Debug)]
pub(crate) struct Golden {
    pub(crate) segments: Vec<Segment>,
    /// What llama.cpp scores: once per segment and setting, in the order of the file.
    pub(crate) peers: Vec<Peer>,
}

/// One text, from an empty context.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) tokens: Vec<u32>,
    positions: Vec<Position>,
}

/// The likeliest tokens after a position and their share; the last share is all other tokens'.
#[derive(Debug)]
struct Position {
    ids: Vec<u32>,
    shares: Vec<f64>,
}

/// How another engine did on one segment.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) flash_attention: bool,
    pub(crate) segment: usize,
    pub(crate) top1: f64,
    pub(crate) mean_kl: f64,
}

/// Agreement with the reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score {
    pub(crate) n_positions: usize,
    /// Share of positions whose likeliest token is the reference's.
    pub(crate) top1: f64,
    /// Mean of the bucketed KL(reference || engine), in nats.
    pub(crate) mean_kl: f64,
    pub(crate) max_kl: f64,
}

/// Logits of a tiny model, whole.
#[derive(Debug)]
pub(crate) struct Tiny {
    pub(crate) tokens: Vec<u32>,
    pub(crate) n_vocab: usize,
    /// `[tokens.len(), n_vocab]`.
    pub(crate) logits: Vec<f32>,
    /// llama.cpp's rms error over the rms of the logits.
    pub(crate) peer_rms: f64,
}

impl Golden {
    /// That of a model that tests download.
    pub(crate) fn of(name: &str) -> Self {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logits");
        Self::read(&data.join(format!("{name}.golden")))
    }

    pub(crate) fn read(path: &Path) -> Self {
        let bytes = read(path);
        let (header, mut data) = split_header(&bytes, "cerium logits 1");
        let value = |key: &str| {
            let mut rest =
                header.iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            rest.next().unwrap_or_else(|| panic!("no `{key}` in {}", path.display()))
        };
        let n_top: usize = value("top").parse().unwrap();
        let mut segments = Vec::new();
        for rest in header.iter().filter_map(|line| line.strip_prefix("segment ")) {
            let (n_tokens, _name) = rest.split_once(' ').unwrap();
            let tokens = take_u32s(&mut data, n_tokens.parse().unwrap());
            segments.push(Segment { tokens, positions: Vec::new() });
        }
        for segment in &mut segments {
            for _ in 0..segment.tokens.len() {
                let ids = take_u32s(&mut data, n_top);
                segment.positions.push(Position { ids, shares: take_shares(&mut data, n_top + 1) });
            }
        }
        assert!(data.is_empty(), "{} bytes too many in {}", data.len(), path.display());
        let peers = header.iter().filter_map(|line| line.strip_prefix("peer ")).map(Peer::parse);
        Self { peers: peers.collect(), segments }
    }

    /// What llama.cpp scores on these segments: its better setting, by mean divergence.
    pub(crate) fn best_peer(&self, segments: &[usize]) -> Score {
        let setting = |flash: bool| {
            let chosen = |p: &&Peer| p.flash_attention == flash && segments.contains(&p.segment);
            let mut score = Score { n_positions: 0, top1: 0.0, mean_kl: 0.0, max_kl: f64::NAN };
            for peer in self.peers.iter().filter(chosen) {
                let n = self.segments[peer.segment].tokens.len();
                score.n_positions += n;
                score.top1 += peer.top1 * n as f64;
                score.mean_kl += peer.mean_kl * n as f64;
            }
            assert!(score.n_positions > 0, "no peer figures for segments {segments:?}");
            score.top1 /= score.n_positions as f64;
            score.mean_kl /= score.n_positions as f64;
            score
        };
        let (plain, flash) = (setting(false), setting(true));
        if plain.mean_kl <= flash.mean_kl { plain } else { flash }
    }
}

impl Peer {
    fn parse(line: &str) -> Self {
        let (_engine, fields) = line.split_once(' ').unwrap();
        let fields: HashMap<_, _> = fields.split(' ').filter_map(|f| f.split_once('=')).collect();
        Self {
            flash_attention: fields["flash"] == "1",
            segment: fields["segment"].parse().unwrap(),
            top1: fields["top1"].parse().unwrap(),
            mean_kl: fields["kl"].parse().unwrap(),
        }
    }
}

/// Scores an engine on the given segments.
///
/// `logits_at(segment, position)` gives the logits after that position's token, a row of the
/// vocabulary's size; positions come in order.
pub(crate) fn score<L: AsRef<[f32]>>(
    golden: &Golden,
    segments: &[usize],
    mut logits_at: impl FnMut(usize, usize) -> L,
) -> Score {
    let (mut n_same, mut sum, mut max, mut n_positions) = (0usize, 0.0, f64::MIN, 0usize);
    for &segment in segments {
        for (i, position) in golden.segments[segment].positions.iter().enumerate() {
            let logits = logits_at(segment, i);
            let (same, kl) = position.compare(logits.as_ref());
            n_same += usize::from(same);
            sum += kl;
            max = kl.max(max);
            n_positions += 1;
        }
    }
    let n = n_positions as f64;
    Score { n_positions, top1: n_same as f64 / n, mean_kl: sum / n, max_kl: max }
}

impl Position {
    /// Whether the likeliest tokens agree, and the bucketed divergence in nats.
    fn compare(&self, logits: &[f32]) -> (bool, f64) {
        let (mut best, mut largest) = (0, f32::NEG_INFINITY);
        for (id, &logit) in logits.iter().enumerate() {
            assert!(logit.is_finite(), "logit of token {id} is {logit}");
            if logit > largest {
                (best, largest) = (id, logit);
            }
        }
        let weight = |&logit: &f32| f64::from(logit - largest).exp();
        let total: f64 = logits.iter().map(weight).sum();
        let mut others = total;
        let mut kl = 0.0;
        let mut add = |share: f64, mine: f64| kl += share * (share / mine.max(EMPTY)).ln();
        for (&id, &share) in self.ids.iter().zip(&self.shares) {
            let mine = weight(&logits[id as usize]);
            others -= mine;
            add(share, mine / total);
        }
        add(self.shares[self.ids.len()], others / total);
        (best == self.ids[0] as usize, kl)
    }
}

impl Tiny {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = read(path);
        let (header, mut data) = split_header(&bytes, "cerium tiny 1");
        let number = |key: &str| -> f64 {
            let word =
                header.iter().flat_map(|line| line.split([' ', '='])).skip_while(|w| *w != key);
            word.skip(1).map(|w| w.parse().unwrap()).next().unwrap()
        };
        let (n_tokens, n_vocab) = (number("tokens") as usize, number("vocab") as usize);
        let tokens = take_u32s(&mut data, n_tokens);
        let logits = take_u32s(&mut data, n_tokens * n_vocab).into_iter().map(f32::from_bits);
        let logits = logits.collect();
        assert!(data.is_empty(), "{} bytes too many in {}", data.len(), path.display());
        Self { tokens, n_vocab, logits, peer_rms: number("rms") }
    }

    /// Rms of the difference from these logits, over their rms.
    pub(crate) fn rms_error(&self, logits: &[f32]) -> f64 {
        assert_eq!(logits.len(), self.logits.len(), "logits of all positions");
        let square = |x: f32| f64::from(x) * f64::from(x);
        let error: f64 = self.logits.iter().zip(logits).map(|(a, b)| square(a - b)).sum();
        (error / self.logits.iter().map(|&a| square(a)).sum::<f64>()).sqrt()
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The lines before the first empty one, the first of which must be `magic`; the bytes after it.
fn split_header<'a>(bytes: &'a [u8], magic: &str) -> (Vec<&'a str>, &'a [u8]) {
    let end = bytes.windows(2).position(|w| w == b"\n\n").expect("an empty line after the header");
    let lines: Vec<_> = str::from_utf8(&bytes[..end]).unwrap().lines().collect();
    assert_eq!(lines[0], magic);
    (lines, &bytes[end + 2..])
}

fn take<'a>(data: &mut &'a [u8], n_bytes: usize) -> &'a [u8] {
    let (head, tail) = data.split_at(n_bytes);
    *data = tail;
    head
}

fn take_u32s(data: &mut &[u8], n: usize) -> Vec<u32> {
    take(data, 4 * n).chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn take_shares(data: &mut &[u8], n: usize) -> Vec<f64> {
    let scores = take(data, 2 * n).chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]]));
    let mut shares: Vec<_> = scores.map(|s| (-f64::from(s) / SCORE_UNIT).exp()).collect();
    let total: f64 = shares.iter().sum();
    for share in &mut shares {
        *share /= total;
    }
    shares
}
