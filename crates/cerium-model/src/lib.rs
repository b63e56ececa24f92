//! A GGUF file: token ids in, logits out.
//!
//! The file is mapped ([`mmap`]), its header read and checked ([`gguf`], both through [`file`]);
//! text becomes ids and back ([`tokenizer`]), and a conversation becomes the ids that the model was
//! trained to see ([`template`]). Weights are packed once and kept ([`Packing`]). The decoder ([`arch`])
//! turns ids into logits over the pages of a sequence's keys and values ([`kv`]).

pub mod arch;
pub mod file;
pub mod gguf;
pub mod kv;
pub mod memory;
pub mod mmap;
pub mod profile;
pub mod template;
#[doc(hidden)]
pub mod testing;
pub mod tokenizer;

mod error;
mod packed;
mod weights;

pub use arch::{Aborted, Config, Costs, Model, Outputs, Segment, Wanted};
pub use cerium_kernels::{Cpu, KvFormat, argmax, log_sum_exp};
pub use error::{ContextError, LoadError};
pub use kv::{Fingerprint, KvCache, Opening, Reach};
pub use memory::Budget;
pub use packed::Packing;
