//! Any split of a stream gives the text of the whole.

use super::{Flow, TextOut};
use proptest::prelude::*;

/// What is shown of `pieces`, up to the end or a stop text.
fn shown<'a>(stops: &[String], pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Flow) {
    let mut text = TextOut::new(stops.to_vec());
    let mut out = String::new();
    for piece in pieces {
        if text.push(piece, &mut out) == Flow::Stopped {
            return (out, Flow::Stopped);
        }
    }
    let flow = text.finish(&mut out);
    (out, flow)
}

/// The definition: decode all, then cut before the stop text that is complete first.
fn definition(stops: &[String], bytes: &[u8]) -> (String, Flow) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let ends = text.char_indices().map(|(i, c)| i + c.len_utf8());
    for end in ends {
        let complete = stops.iter().filter(|stop| text[..end].ends_with(stop.as_str()));
        if let Some(n) = complete.map(String::len).max() {
            return (text[..end - n].to_owned(), Flow::Stopped);
        }
    }
    (text, Flow::Open)
}

/// Few different characters, so that stop texts are found, begun and missed often.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "\n", "é", "汉", "🦀"])
            .prop_map(|s| s.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|b| vec![b]),
        1 => prop::sample::select(vec![vec![0xf0, 0x9f], vec![0xe6], vec![0xed, 0xa0, 0x80]]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_split_equals_the_whole(
        bytes in bytes(),
        stops in prop::collection::vec("[ab\né汉🦀\u{fffd}]{1,4}", 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]);
        prop_assert_eq!(shown(&stops, pieces), definition(&stops, &bytes));
    }
}

#[test]
fn half_a_character_and_half_a_stop_text_wait() {
    let mut text = TextOut::new(vec!["\n```".to_owned()]);
    let mut step = |bytes: &[u8]| {
        let mut out = String::new();
        let flow = text.push(bytes, &mut out);
        (out, flow)
    };
    assert_eq!(step(b"a\xe6"), ("a".to_owned(), Flow::Open));
    assert_eq!(step(b"\xb1\x89\n"), ("汉".to_owned(), Flow::Open));
    assert_eq!(step(b"``"), (String::new(), Flow::Open));
    assert_eq!(step(b"x\n"), ("\n``x".to_owned(), Flow::Open));
    assert_eq!(step(b"```\nnever shown"), (String::new(), Flow::Stopped));
}
