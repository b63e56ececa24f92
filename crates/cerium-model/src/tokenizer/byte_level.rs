//! GPT-2's spelling of bytes as printable characters, which byte-level vocabularies are stored in.
//!
//! Printable Latin-1 bytes stand for themselves; the other 68 are U+0100 and up, in order.

/// The byte that a character of a vocabulary entry stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    match c as u32 {
        code if code < 0x100 && is_printable(code as u8) => Some(code as u8),
        code @ 0x100..0x144 => Some(REST[(code - 0x100) as usize]),
        _ => None,
    }
}

/// Appends the bytes of a vocabulary entry; `false`, and nothing appended, if some character of it
/// stands for no byte.
pub(super) fn append_bytes(text: &str, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    for c in text.chars() {
        let Some(byte) = byte_of(c) else {
            out.truncate(start);
            return false;
        };
        out.push(byte);
    }
    true
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The bytes that do not stand for themselves.
const REST: [u8; 68] = {
    let mut rest = [0; 68];
    let (mut n, mut byte) = (0, 0);
    while byte < 256 {
        if !is_printable(byte as u8) {
            rest[n] = byte as u8;
            n += 1;
        }
        byte += 1;
    }
    rest
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut seen: Vec<u8> = (0..0x200).filter_map(|c| byte_of(char::from_u32(c)?)).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
    }
}
