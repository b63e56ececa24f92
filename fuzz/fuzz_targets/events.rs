//! An answer's stream from any server, cut anywhere: events or an error, and the same events
//! however it is cut.

#![no_main]

use cerium_protocol::wire::sse::EventReader;
use cerium_protocol::wire::{completions, responses};
use libfuzzer_sys::fuzz_target;

fn events(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut reader = EventReader::default();
    let mut events = Vec::new();
    for piece in pieces {
        if reader.push(piece, |data| events.push(data)).is_err() {
            break;
        }
    }
    events
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let (head, tail) = stream.split_at(stream.len().min(usize::from(cut)));
    let whole = events(&[stream]);
    assert_eq!(events(&[head, tail]), whole);
    let mut reader = completions::Reader::default();
    for data in whole {
        let _ = responses::read_event(&data);
        let _ = reader.read(&data);
    }
});
