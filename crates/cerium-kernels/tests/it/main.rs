//! The crate at its door.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod dequant;
