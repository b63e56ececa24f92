//! The crate at its door.

mod dequant;
