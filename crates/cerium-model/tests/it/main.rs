//! The crate at its door: files, ids, logits.

mod gguf;
mod golden;
mod logits;
mod template;
mod tiny;
mod tokenizer;
mod tokenizer_golden;
