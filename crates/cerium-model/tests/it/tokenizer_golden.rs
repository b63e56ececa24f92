//! Compares a file's tokenizer with committed ids of an independent implementation.
//!
//! Shared by the tests and by `examples/check_tokenizer.rs`. The goldens are described where they
//! are made: `scripts/goldens/tokenizer.py`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use cerium_model::{
    gguf::{Array, Gguf, Value},
    template::{ChatTemplate, Message},
    testing::GgufBuilder,
    tokenizer::Tokenizer,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Deserialize)]
struct Golden {
    models: Vec<String>,
    vocabulary: String,
    schemes: BTreeMap<String, Scheme>,
    chats: Vec<Chat>,
}

#[derive(Deserialize)]
struct Scheme {
    corpus: Vec<(usize, String)>,
    texts: Vec<Vec<u32>>,
    special: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Turn>,
    prompt: bool,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: String,
}

#[derive(Deserialize)]
pub(crate) struct Source {
    pub(crate) origin: String,
    pub(crate) text: String,
}

/// Checks everything a golden holds and says what was checked.
///
/// # Panics
/// At the first difference, with both sides.
pub(crate) fn check(golden: &str, gguf: &Gguf) -> String {
    let golden: Golden = read(&format!("tokenizer/{golden}.json"));
    assert_eq!(
        vocabulary_hash(gguf),
        golden.vocabulary,
        "not the vocabulary of {:?}",
        golden.models
    );
    let texts: Vec<String> = read("tokenizer/texts.json");
    let corpus = corpus();
    let mut report = format!("{:?}: vocabulary {}\n", golden.models, &golden.vocabulary[..16]);
    for (pre, scheme) in &golden.schemes {
        let tokenizer = Tokenizer::from_gguf(&with_pre(gguf, pre)).unwrap();
        assert_eq!(scheme.corpus.len(), corpus.len());
        let mut n_ids = 0;
        for (source, (n, hash)) in corpus.iter().zip(&scheme.corpus) {
            let ids = tokenizer.encode(&source.text);
            assert_eq!((ids.len(), &fnv(&ids)), (*n, hash), "{pre}: {}", source.origin);
            n_ids += n;
        }
        for (text, (plain, special)) in texts.iter().zip(scheme.texts.iter().zip(&scheme.special)) {
            same(&tokenizer, pre, text, &tokenizer.encode(text), plain);
            same(&tokenizer, pre, text, &tokenizer.encode_special(text), special);
        }
        let (files, odd) = (corpus.len(), texts.len());
        writeln!(report, "{pre}: {files} files ({n_ids} ids) and {odd} odd texts agree").unwrap();
    }
    if !golden.chats.is_empty() {
        let tokenizer = Tokenizer::from_gguf(gguf).unwrap();
        let template = ChatTemplate::from_gguf(gguf, &tokenizer).unwrap();
        for chat in &golden.chats {
            let turn = |turn: &Turn| Message {
                role: turn.role.clone(),
                content: turn.content.clone(),
                ..Message::default()
            };
            let messages: Vec<Message> = chat.messages.iter().map(turn).collect();
            let ids = template.encode(&tokenizer, &messages, &[], chat.prompt).unwrap();
            same(&tokenizer, "chat", &format!("{messages:?}"), &ids, &chat.ids);
        }
        writeln!(report, "{} conversations agree", golden.chats.len()).unwrap();
    }
    report
}

/// The source texts that goldens are made over.
pub(crate) fn corpus() -> Vec<Source> {
    let lines = fs::read_to_string(data("corpus.jsonl")).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn same(tokenizer: &Tokenizer, what: &str, text: &str, got: &[u32], want: &[u32]) {
    let spell = |ids: &[u32]| -> Vec<String> {
        let spell =
            |&id: &u32| format!("{id} {:?}", String::from_utf8_lossy(tokenizer.token_bytes(id)));
        ids.iter().map(spell).collect()
    };
    assert!(got == want, "{what}: {text:?}\n got {:?}\nwant {:?}", spell(got), spell(want));
}

/// The same vocabulary under another pre-tokenizer.
pub(crate) fn with_pre(gguf: &Gguf, pre: &str) -> Gguf {
    if pre == "sentencepiece" {
        return gguf.clone();
    }
    let mut builder = GgufBuilder::new(3).kv("tokenizer.ggml.pre", pre);
    for (key, value) in gguf.entries() {
        if key.starts_with("tokenizer.") && key != "tokenizer.ggml.pre" {
            builder = builder.kv(key, value.clone());
        }
    }
    Gguf::parse(&builder.build()).unwrap()
}

fn vocabulary_hash(gguf: &Gguf) -> String {
    let mut hash = Sha256::new();
    let types = gguf.i32s("tokenizer.ggml.token_type").unwrap();
    hash.update(types.iter().map(|&kind| kind as u8).collect::<Vec<u8>>());
    for key in ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
        let Some(Value::Array(Array::String(strings))) = gguf.get(key) else { continue };
        for string in strings.iter() {
            hash.update((string.len() as u32).to_le_bytes());
            hash.update(string);
        }
    }
    if let Ok(scores) = gguf.f32s("tokenizer.ggml.scores") {
        hash.update(scores.iter().flat_map(|score| score.to_le_bytes()).collect::<Vec<u8>>());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fnv(ids: &[u32]) -> String {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = ids.iter().flat_map(|id| id.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, step);
    format!("{hash:016x}")
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    serde_json::from_slice(&fs::read(data(name)).unwrap()).unwrap()
}

pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(name)
}
