//! The crate at its door: files, ids, logits.
#![allow(
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "helpers of tests fail as loudly and write as plainly as tests do"
)]

mod families;
mod gguf;
mod golden;
mod growth;
mod likeliest;
mod logits;
mod memory;
mod packed;
mod steps;
mod template;
mod tiny;
mod tokenizer;
mod tokenizer_golden;
