//! What is kept of a command's output: its beginning and its end.

use std::collections::VecDeque;

/// Bytes kept of what a command printed, half from its beginning and half from its end.
pub const OUTPUT_KEPT_BYTES: usize = 16 << 10;

const HALF: usize = OUTPUT_KEPT_BYTES / 2;

#[derive(Debug, Default)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    n_dropped: u64,
}

impl Kept {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(HALF - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let n_over = self.tail.len().saturating_sub(HALF);
        self.tail.drain(..n_over);
        self.n_dropped += n_over as u64;
    }

    /// Bytes that were added.
    pub(super) fn n_bytes(&self) -> u64 {
        (self.head.len() + self.tail.len()) as u64 + self.n_dropped
    }

    /// What is kept, as text.
    pub(super) fn text(&mut self) -> String {
        let tail = self.tail.make_contiguous();
        if self.n_dropped == 0 {
            return String::from_utf8_lossy(&[self.head.as_slice(), tail].concat()).into_owned();
        }
        format!(
            "{}\n... {} bytes left out ...\n{}",
            String::from_utf8_lossy(&self.head),
            self.n_dropped,
            String::from_utf8_lossy(tail)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_much_is_left_out() {
        let mut kept = Kept::default();
        for n in 0..100_000 {
            kept.add(format!("{n:06}\n").as_bytes());
        }
        let text = kept.text();
        assert_eq!(kept.n_bytes(), 700_000);
        assert!(text.len() < OUTPUT_KEPT_BYTES + 64);
        assert!(text.starts_with("000000\n000001\n") && text.ends_with("099999\n"));
        assert!(
            text.contains(&format!("\n... {} bytes left out ...\n", 700_000 - OUTPUT_KEPT_BYTES))
        );
    }

    #[test]
    fn little_is_kept_whole() {
        let mut kept = Kept::default();
        kept.add("gr\u{fc}n".as_bytes());
        assert_eq!(kept.text(), "gr\u{fc}n");
    }
}
