//! Noticing that a small model has begun to say the same thing for ever.

/// A repeated stretch shorter than this is ordinary text: a rule of dashes, a column of zeros.
const PERIOD_BYTES_MIN: usize = 24;
/// A repeated stretch longer than this is not looked for.
const PERIOD_BYTES_MAX: usize = 600;
/// So many equal stretches in a row are a loop.
const N_REPEATS: usize = 3;

/// If a text ends in a loop (the same stretch three times in a row, up to the last byte), returns
/// where the first stretch ends: the text up to there says all there is.
pub(crate) fn loop_start(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let period_max = PERIOD_BYTES_MAX.min(bytes.len() / N_REPEATS);
    for period in PERIOD_BYTES_MIN..=period_max {
        let tail = &bytes[bytes.len() - period * N_REPEATS..];
        // Equal stretches mean that every byte equals the one a period later.
        if tail[..period * (N_REPEATS - 1)] == tail[period..] {
            let mut start = bytes.len() - period * (N_REPEATS - 1);
            while !text.is_char_boundary(start) {
                start += 1;
            }
            return Some(start);
        }
    }
    None
}
