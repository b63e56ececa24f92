//! Random lives of sequences, against a list of all that was ever computed, and against sequences that
//! are computed alone.

use super::{PAGE, PrefixCache, n_promise};
use cerium_model::{Cpu, KvCache, Model, Opening, Segment, Wanted, file::ModelFile};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A beginning that others have, and an end of its own.
#[derive(Clone, Debug)]
struct Text {
    base: u32,
    n_base: usize,
    tail: u32,
    n_tail: usize,
}

#[derive(Clone, Debug)]
enum Op {
    /// A sequence that may get as long as this, with so much of it as its prompt.
    Open(Text, usize),
    /// Computes so many tokens of a sequence.
    Step(usize, usize),
    Close(usize),
}

/// A sequence that runs.
struct Live {
    tokens: Vec<u32>,
    n_prompt: usize,
    kv: KvCache,
}

struct World {
    model: Model,
    cache: PrefixCache,
    live: Vec<Live>,
    /// All that was computed and shown to others.
    known: Vec<Vec<u32>>,
}

impl Text {
    fn tokens(&self) -> Vec<u32> {
        let token = |seed: u32, i: usize| 3 + (seed * 31 + i as u32 * 7) % 200;
        let base = (0..self.n_base).map(|i| token(self.base, i));
        base.chain((0..self.n_tail).map(|i| token(self.tail + 10, i))).collect()
    }
}

fn model() -> Model {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cerium-model/tests/data/tiny");
    let file = ModelFile::open(&data.join("llama-float.gguf")).unwrap();
    Model::load(file, Cpu::best(), 1).unwrap()
}

/// Logits of the last token, once the others are there.
fn logits(model: &mut Model, kv: &mut KvCache, tokens: &[u32]) -> Vec<f32> {
    let segment = Segment { kv, tokens, wanted: Wanted::Logits(1) };
    model.forward(&mut [segment], &AtomicBool::new(false)).unwrap().logits.to_vec()
}

impl World {
    fn new(n_pages: usize) -> Self {
        let model = model();
        let page_bytes = KvCache::n_bytes(model.config(), Opening::default().format, PAGE);
        let cache = PrefixCache::new(&model, Opening::default(), n_pages * page_bytes, true);
        Self { model, cache, live: Vec::new(), known: Vec::new() }
    }

    /// Opens a sequence, if there is room; true if nothing of it that is known had been let go.
    fn open(&mut self, tokens: Vec<u32>, n_prompt: usize) -> Option<bool> {
        let n_promised = self.live.iter().map(|live| n_promise(&live.kv, live.tokens.len())).sum();
        let mut kv = self.cache.open(&tokens[..n_prompt], tokens.len(), n_promised)?;
        self.cache.catch_up(&mut kv, &tokens[..n_prompt]);
        let n_shared =
            |known: &Vec<u32>| known.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
        let n_known = self.known.iter().map(n_shared).max().unwrap_or(0).min(n_prompt - 1);
        assert!(kv.n_tokens() <= n_known, "{} of {n_known}", kv.n_tokens());
        let is_all = kv.n_tokens() == n_known;
        self.live.push(Live { tokens, n_prompt, kv });
        Some(is_all)
    }

    /// Computes tokens; returns the logits of the last one.
    fn step(&mut self, i: usize, n: usize) -> Option<(Vec<u32>, Vec<f32>)> {
        let Live { tokens, n_prompt, kv } = &mut self.live[i];
        if kv.n_tokens() + 1 < *n_prompt {
            self.cache.catch_up(kv, &tokens[..*n_prompt]);
        }
        let start = kv.n_tokens();
        let end = tokens.len().min(start + n);
        if start == end {
            return None;
        }
        assert!(
            self.cache.make_room(kv.n_wanted(end - start)),
            "a sequence was promised its pages"
        );
        let got = logits(&mut self.model, kv, &tokens[start..end]);
        self.cache.publish(kv, tokens);
        self.known.push(tokens[..end / PAGE * PAGE].to_vec());
        Some((tokens[..end].to_vec(), got))
    }

    fn close(&mut self, i: usize) {
        let Live { tokens, kv, .. } = self.live.remove(i);
        self.known.push(tokens[..kv.n_tokens()].to_vec());
        self.cache.close(kv, &tokens);
    }

    fn audit(&self) {
        self.cache.audit(self.live.iter().map(|live| &live.kv));
    }
}

/// Logits after tokens that were computed alone, all at once.
fn alone(tokens: &[u32]) -> Vec<f32> {
    thread_local! {
        static MODEL: RefCell<Model> = RefCell::new(model());
        static SEEN: RefCell<HashMap<Vec<u32>, Vec<f32>>> = RefCell::default();
    }
    SEEN.with_borrow_mut(|seen| {
        if !seen.contains_key(tokens) {
            let made = MODEL.with_borrow_mut(|model| {
                let mut kv = KvCache::new(model.config());
                logits(model, &mut kv, tokens)
            });
            seen.insert(tokens.to_vec(), made);
        }
        seen[tokens].clone()
    })
}

fn op() -> impl Strategy<Value = Op> {
    let text = (0..2u32, 0..200usize, 0..3u32, 1..90usize)
        .prop_map(|(base, n_base, tail, n_tail)| Text { base, n_base, tail, n_tail });
    prop_oneof![
        3 => (text, 1..100usize).prop_map(|(text, percent)| Op::Open(text, percent)),
        5 => (0..4usize, 1..150usize).prop_map(|(i, n)| Op::Step(i, n)),
        2 => (0..4usize).prop_map(Op::Close),
    ]
}

/// Lives through the operations with memory for so many pages; how many opened, and how many of those
/// found all that was known.
fn live(n_pages: usize, ops: Vec<Op>) -> (usize, usize) {
    let mut world = World::new(n_pages);
    let (mut n_opened, mut n_found) = (0, 0);
    for op in ops {
        match op {
            Op::Open(text, percent) if world.live.len() < 4 => {
                let tokens = text.tokens();
                let n_prompt = (tokens.len() * percent / 100).max(1);
                if let Some(is_all) = world.open(tokens, n_prompt) {
                    n_opened += 1;
                    n_found += usize::from(is_all);
                } else {
                    assert!(!world.live.is_empty(), "alone, whatever fits is let in");
                }
            }
            Op::Step(i, n) if i < world.live.len() => {
                if let Some((tokens, got)) = world.step(i, n) {
                    assert!(got == alone(&tokens), "{} tokens, not the same bits", tokens.len());
                }
            }
            Op::Close(i) if i < world.live.len() => world.close(i),
            _ => {}
        }
        world.audit();
    }
    (n_opened, n_found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn with_room_everything_known_is_found(ops in prop::collection::vec(op(), 1..50)) {
        let (n_opened, n_found) = live(400, ops);
        prop_assert_eq!(n_opened, n_found);
    }

    #[test]
    fn without_room_what_is_there_is_right(
        n_pages in 5..9usize,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        live(n_pages, ops);
    }
}

/// A sequence from opening to end.
fn whole(world: &mut World, text: &Text) -> usize {
    let tokens = text.tokens();
    let n_prompt = tokens.len();
    world.open(tokens, n_prompt).unwrap();
    let i = world.live.len() - 1;
    let n_cached = world.live[i].kv.n_tokens();
    world.step(i, 1000);
    world.close(i);
    world.audit();
    n_cached
}

#[test]
fn what_costs_more_and_what_was_used_later_stays() {
    let text = |base, n_base| Text { base, n_base, tail: 0, n_tail: 1 };
    let long = text(0, 4 * PAGE - 1);
    let mut world = World::new(7);
    // Used alike, the end of a long text is dearer than a short one.
    whole(&mut world, &long);
    whole(&mut world, &text(1, 2 * PAGE - 1));
    whole(&mut world, &text(2, 2 * PAGE - 1));
    assert_eq!(whole(&mut world, &long), 4 * PAGE - 1);
    // Unused for long it goes, from its end.
    for base in 3..40 {
        whole(&mut world, &text(base, 2 * PAGE - 1));
    }
    let n_cached = whole(&mut world, &long);
    assert!(n_cached < 4 * PAGE - 1 && n_cached.is_multiple_of(PAGE), "{n_cached}");
}

#[test]
fn memory_of_pages_that_went_is_used_again() {
    let mut world = World::new(5);
    for base in 0..20 {
        whole(&mut world, &Text { base, n_base: 3 * PAGE, tail: 0, n_tail: 9 });
        let pool = &world.cache.pool;
        assert!(pool.n_used() + pool.n_free() <= 5, "{} and {}", pool.n_used(), pool.n_free());
    }
    assert_eq!(world.cache.pool.n_used(), 5, "all of it is in use");
}

#[test]
fn equal_pages_that_two_have_computed_become_one() {
    let mut world = World::new(20);
    let text = Text { base: 0, n_base: 3 * PAGE, tail: 0, n_tail: 3 };
    for _ in 0..2 {
        world.open(text.tokens(), 1).unwrap();
    }
    // Neither looks at what the other has: they are past their prompts.
    for (i, n) in [(0, 10), (1, 20), (0, 100), (1, 100)] {
        world.step(i, n);
    }
    assert_eq!(world.cache.pool.n_used(), 3, "a page of both, and the next one of each");
    world.audit();
}
