//! A model file is untrusted: whatever its bytes are, reading it ends in an error or in tensors that
//! lie inside the file, and neither a tokenizer nor a model configuration made of it panics.

#![no_main]

use cerium_model::Config;
use cerium_model::gguf::Gguf;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::parse(bytes) else { return };
    for tensor in gguf.tensors() {
        let stored = bytes.get(tensor.range.clone()).expect("a tensor lies inside its file");
        let n_values: u64 = tensor.shape.iter().product();
        let n_blocks = n_values / tensor.kind.block_len() as u64;
        assert_eq!(stored.len() as u64, n_blocks * tensor.kind.block_bytes() as u64);
    }
    for (key, value) in gguf.entries() {
        assert!(gguf.get(key).is_some());
        let _ = value.describe();
    }
    let _ = Config::from_gguf(&gguf);
    if let Ok(tokenizer) = Tokenizer::from_gguf(&gguf) {
        let ids = tokenizer.encode("fn main() { println!(\"é\"); }\n");
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.n_vocab()));
        let _ = ChatTemplate::from_gguf(&gguf, &tokenizer);
    }
});
