//! Any text through both kinds of tokenizer and back. The first byte chooses the vocabulary; the
//! vocabularies are those of the small models that the tests use.

#![no_main]

use cerium_model::gguf::Gguf;
use cerium_model::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static BYTE_LEVEL: LazyLock<Tokenizer> = LazyLock::new(|| {
    read(include_bytes!("../../crates/cerium-model/tests/data/tiny/qwen2-legacy.gguf"))
});
static SENTENCEPIECE: LazyLock<Tokenizer> = LazyLock::new(|| {
    read(include_bytes!("../../crates/cerium-model/tests/data/tokenizer/tiny-sentencepiece.gguf"))
});

fn read(file: &[u8]) -> Tokenizer {
    let gguf = Gguf::parse(file).expect("a file of ours");
    Tokenizer::from_gguf(&gguf).expect("a vocabulary of ours")
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let byte_level = choice & 1 == 0;
    let tokenizer = if byte_level { &*BYTE_LEVEL } else { &*SENTENCEPIECE };
    let ids = tokenizer.encode(&text);
    assert!(ids.iter().all(|&id| !tokenizer.is_control(id)), "text became a control token");
    if byte_level {
        assert_eq!(tokenizer.decode(&ids), text.as_bytes());
    }
    // What a template wrote: its special tokens count, everything else is text all the same.
    let _ = tokenizer.decode(&tokenizer.encode_special(&text));
});
