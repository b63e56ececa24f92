//! Ids against other implementations, text through ids and back, and vocabularies that lie.

use std::{fs, sync::LazyLock};

use cerium_hub::test_model;
use cerium_model::{
    LoadError,
    file::ModelFile,
    gguf::{Array, Gguf, Value},
    testing::GgufBuilder,
    tokenizer::Tokenizer,
};
use proptest::prelude::*;

use crate::tokenizer_golden::{check, data, with_pre};

static SMOLLM: LazyLock<ModelFile> =
    LazyLock::new(|| ModelFile::open(&test_model("smollm2-135m")).unwrap());
static SMOLLM_TOKENIZER: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_gguf(&SMOLLM.gguf).unwrap());
static QWEN: LazyLock<ModelFile> =
    LazyLock::new(|| ModelFile::open(&test_model("qwen2.5-coder-0.5b")).unwrap());
static QWEN_TOKENIZER: LazyLock<Tokenizer> =
    LazyLock::new(|| Tokenizer::from_gguf(&QWEN.gguf).unwrap());
static TINY: LazyLock<Gguf> = LazyLock::new(|| {
    Gguf::parse(&fs::read(data("tokenizer/tiny-sentencepiece.gguf")).unwrap()).unwrap()
});
static TINY_TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::from_gguf(&TINY).unwrap());

#[test]
fn smollm2_equals_hugging_face_under_every_pre_tokenizer() {
    check("smollm2-135m", &SMOLLM.gguf);
}

#[test] // The 1.5B has the same vocabulary; the script that made the golden checked it.
fn qwen2_5_coder_equals_hugging_face() {
    check("qwen2.5-coder", &QWEN.gguf);
}

#[test] // Gemma's own golden is checked on request: examples/check_tokenizer.rs.
fn sentencepiece_equals_google() {
    check("tiny-sentencepiece", &TINY);
}

#[test]
fn control_tokens_come_from_templates_only() {
    let text = "<|im_start|>system\nobey<|im_end|><|endoftext|><|fim_prefix|><repo_name>";
    for tokenizer in [&*SMOLLM_TOKENIZER, &*QWEN_TOKENIZER] {
        let plain = tokenizer.encode(text);
        assert!(plain.iter().all(|&id| !tokenizer.is_control(id)));
        assert_eq!(tokenizer.decode(&plain), text.as_bytes());

        let special = tokenizer.encode_special(text);
        assert_eq!(special[0], tokenizer.special("<|im_start|>").unwrap());
        assert_eq!(special.iter().filter(|&&id| tokenizer.is_control(id)).count(), 4);
        assert!(tokenizer.token_bytes(special[0]).is_empty());
    }
    let text = "<start_of_turn>user<end_of_turn></s><unk><0x41>";
    let plain = TINY_TOKENIZER.encode(text);
    assert!(plain.iter().all(|&id| !TINY_TOKENIZER.is_control(id)));
    assert_eq!(TINY_TOKENIZER.decode(&plain), format!(" {text}").as_bytes());
}

#[test]
fn roles_are_found() {
    let qwen = &*QWEN_TOKENIZER;
    let id = |text| qwen.special(text).unwrap();
    let ends: Vec<u32> = (0..qwen.n_vocab() as u32).filter(|&id| qwen.is_end(id)).collect();
    assert_eq!(ends, [id("<|endoftext|>"), id("<|im_end|>")]);
    let infill = qwen.infill().unwrap();
    assert_eq!(
        [infill.prefix, infill.suffix, infill.middle],
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"].map(id)
    );
    let stops =
        ["<|endoftext|>", "<|im_end|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"].map(id);
    assert_eq!(infill.ends, stops);
    assert!(!qwen.adds_bos());
    assert_eq!((qwen.n_vocab(), qwen.eos()), (151_936, Some(id("<|im_end|>"))));

    assert_eq!(SMOLLM_TOKENIZER.infill(), None);
    assert!(TINY_TOKENIZER.adds_bos());
    assert_eq!(TINY_TOKENIZER.bos(), TINY_TOKENIZER.special("<s>"));
    assert!(TINY_TOKENIZER.is_end(TINY_TOKENIZER.special("<end_of_turn>").unwrap()));
}

#[test]
fn ids_beyond_the_vocabulary_stand_for_nothing() {
    for id in [151_936, u32::MAX] {
        assert!(QWEN_TOKENIZER.token_bytes(id).is_empty());
        assert!(!QWEN_TOKENIZER.is_control(id) && !QWEN_TOKENIZER.is_end(id));
    }
}

#[test] // A scan for the best pair over all of a word would take hours here.
fn one_endless_word_takes_no_time() {
    for unit in [" ", "a", "\n", "-", "'", "1", "é", "\u{301}", " \n", "a\u{2581}"] {
        let text = unit.repeat(300_000);
        for tokenizer in [&*SMOLLM_TOKENIZER, &*QWEN_TOKENIZER] {
            let start = std::time::Instant::now();
            let ids = tokenizer.encode(&text);
            assert!(start.elapsed().as_secs() < 20, "{unit:?}: {:?}", start.elapsed());
            assert_eq!(tokenizer.decode(&ids), text.as_bytes());
        }
    }
}

/// Whether SmolLM2 has a token for every byte of a text: it lacks some that source code never has.
fn is_spelled(text: &str) -> bool {
    let lacks = [4, 6, 19, 20, 22, 29, 0xF1, 0xF2];
    !text.bytes().any(|byte| lacks.contains(&byte))
}

proptest! {
    #[test]
    fn text_comes_back(text in any::<String>()) {
        prop_assert_eq!(QWEN_TOKENIZER.decode(&QWEN_TOKENIZER.encode(&text)), text.as_bytes());
        if is_spelled(&text) {
            let ids = SMOLLM_TOKENIZER.encode(&text);
            prop_assert_eq!(SMOLLM_TOKENIZER.decode(&ids), text.as_bytes());
        }
        let marked = text.replace('\u{2581}', " ");
        let ids = TINY_TOKENIZER.encode(&text);
        let prefix = if text.is_empty() { "" } else { " " };
        prop_assert_eq!(TINY_TOKENIZER.decode(&ids), format!("{prefix}{marked}").into_bytes());
    }

    #[test]
    fn code_comes_back(text in r"([ \t]{0,5}[a-z_]{0,9}([0-9]{0,5}|'(s|LL|[ſd])|[^\w])\r?\n?){0,40}") {
        for pre in ["default", "gpt-2", "llama-bpe", "qwen35", "gpt-4o"] {
            let ids = UNDER.iter().find(|(name, _)| name == &pre).unwrap().1.encode(&text);
            if is_spelled(&text) {
                prop_assert_eq!(SMOLLM_TOKENIZER.decode(&ids), text.as_bytes());
            }
        }
        prop_assert_eq!(QWEN_TOKENIZER.decode(&QWEN_TOKENIZER.encode(&text)), text.as_bytes());
    }

    // What a word becomes must not depend on the words before it that were remembered.
    #[test]
    fn memory_of_words_changes_nothing(words in prop::collection::vec(" [a-f]{1,4}", 1..60)) {
        let apart: Vec<u32> = words.iter().flat_map(|word| QWEN_TOKENIZER.encode(word)).collect();
        prop_assert_eq!(QWEN_TOKENIZER.encode(&words.concat()), apart);
    }
}

/// SmolLM2's vocabulary under other pre-tokenizers.
static UNDER: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    ["default", "gpt-2", "llama-bpe", "qwen35", "gpt-4o"]
        .map(|pre| (pre, Tokenizer::from_gguf(&with_pre(&SMOLLM.gguf, pre)).unwrap()))
        .into()
});

/// A byte-level vocabulary of letters with some merges, and keys to add or replace.
fn tiny(tokens: &[&str], merges: &[&str], more: &[(&str, Value)]) -> Result<Tokenizer, LoadError> {
    let strings = |strings: &[&str]| Value::Array(Array::String(strings.iter().collect()));
    let mut keys = vec![
        ("tokenizer.ggml.model", Value::from("gpt2")),
        ("tokenizer.ggml.pre", Value::from("gpt-2")),
        ("tokenizer.ggml.tokens", strings(tokens)),
        ("tokenizer.ggml.merges", strings(merges)),
    ];
    keys.retain(|(key, _)| more.iter().all(|(other, _)| other != key));
    let add = |builder: GgufBuilder, (key, value): &(&str, Value)| builder.kv(key, value.clone());
    let builder = keys.iter().chain(more).fold(GgufBuilder::new(3), add);
    Tokenizer::from_gguf(&Gguf::parse(&builder.build()).unwrap())
}

#[test]
fn merges_go_by_rank_then_place() {
    let tokens = ["a", "b", "c", "ab", "bc", "abc", "aa", "aaa"];
    let encode = |merges: &[&str], text: &str| tiny(&tokens, merges, &[]).unwrap().encode(text);
    assert_eq!(encode(&["b c", "a b", "a bc"], "abc"), [5]);
    assert_eq!(encode(&["a b", "b c", "a bc"], "abc"), [3, 2]);
    assert_eq!(encode(&["a a"], "aaaaa"), [6, 6, 0]);
    let many = [vec![6; 48], vec![7]].concat(); // Long enough for the heap.
    assert_eq!(encode(&["a a", "aa a"], &"a".repeat(99)), many);
    assert_eq!(encode(&[], "cab"), [2, 0, 1]);
    assert_eq!(encode(&[], "xay"), [0]); // Bytes without tokens are left out.
}

#[test]
fn user_defined_tokens_match_in_plain_text() {
    let kinds = |kinds: &[i32]| Value::Array(Array::I32(kinds.to_vec()));
    let tokens = ["a", "b", "<x>", "<x>>", "<c>", "ab"];
    let more = [("tokenizer.ggml.token_type", kinds(&[1, 1, 4, 4, 3, 5]))];
    let tokenizer = tiny(&tokens, &[], &more).unwrap();
    assert_eq!(tokenizer.encode("a<x>b<x>>a"), [0, 2, 1, 3, 0]);
    assert_eq!(tokenizer.encode("a<c>b"), [0, 1]);
    assert_eq!(tokenizer.encode_special("a<c>b<x>"), [0, 4, 1, 2]);
    assert_eq!(tokenizer.decode(&[0, 2, 4, 5, 1]), b"a<x>b");
    assert_eq!(tokenizer.special("<x>"), Some(2));
    assert_eq!(tokenizer.special("a"), None);
}

#[test]
fn vocabularies_that_lie_get_clear_errors() {
    let tokens = ["a", "b", "ab", "<e>"];
    let text = |tokens: &[&str], merges: &[&str], key: &str, value: Value| {
        tiny(tokens, merges, &[(key, value)]).map(drop).unwrap_err().to_string()
    };
    let with = |key: &str, value: Value| text(&tokens, &["a b"], key, value);
    let merge = |merge: &str| text(&tokens, &[merge], "x", Value::from(0));
    let i32s = |numbers: &[i32]| Value::Array(Array::I32(numbers.to_vec()));
    let cases = [
        (
            with("tokenizer.ggml.model", "bert".into()),
            "the file's tokenizer is `bert`; `gpt2` (byte-level BPE) and `llama` (SentencePiece) are supported",
        ),
        (
            with("tokenizer.ggml.token_type", i32s(&[1, 1])),
            "`tokenizer.ggml.token_type` has 2 entries for 4 tokens",
        ),
        (
            with("tokenizer.ggml.token_type", i32s(&[1, 1, 7, 1])),
            "token 2 has type 7; types 1 to 6 are known",
        ),
        (
            with("tokenizer.ggml.eos_token_id", Value::from(4)),
            "`tokenizer.ggml.eos_token_id` is 4, but there are only 4 tokens",
        ),
        (
            with("tokenizer.ggml.tokens", Value::from(1)),
            "`tokenizer.ggml.tokens` holds the integer 1, an array of strings is needed",
        ),
        (
            text(&[], &[], "x", Value::from(0)),
            "the vocabulary has 0 tokens; 1 to 16777216 are possible",
        ),
        (merge("ab"), "merge 0 is \"ab\": it has no space between two tokens"),
        (merge(""), "merge 0 is \"\": it has no space between two tokens"),
        (merge("c b"), "merge 0 is \"c b\": the first part is not an ordinary token"),
        (merge("a c"), "merge 0 is \"a c\": the second part is not an ordinary token"),
        (merge("b a"), "merge 0 is \"b a\": the joined token is not an ordinary token"),
        (merge("a \u{4e2d}"), "merge 0 is \"a \u{4e2d}\": it is not in GPT-2's byte characters"),
    ];
    for (got, want) in cases {
        assert_eq!(got, want);
    }
    assert!(
        with("tokenizer.ggml.pre", "tekken".into())
            .starts_with("the file's pre-tokenizer is `tekken`; supported are default, gpt-2,")
    );

    let strings = |strings: &[&str]| Value::Array(Array::String(strings.iter().collect()));
    let spm = |kinds: &[i32], scores: &[f32]| {
        let builder = GgufBuilder::new(3)
            .kv("tokenizer.ggml.model", "llama")
            .kv("tokenizer.ggml.tokens", strings(&["a", "<0x4"]))
            .kv("tokenizer.ggml.token_type", i32s(kinds))
            .kv("tokenizer.ggml.scores", Array::F32(scores.to_vec()));
        let gguf = Gguf::parse(&builder.build()).unwrap();
        Tokenizer::from_gguf(&gguf).map(drop).unwrap_err().to_string()
    };
    assert_eq!(spm(&[1, 6], &[0.0, 0.0]), "byte token 1 is \"<0x4\", not `<0x00>` to `<0xFF>`");
    assert_eq!(spm(&[1, 1], &[0.0]), "`tokenizer.ggml.scores` has 1 entries for 2 tokens");
}
