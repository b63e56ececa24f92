//! The real catalogue, the real sources.

use cerium_hub::{Home, Located, installed, resolve, test_model};

#[test]
fn a_pulled_model_is_found_by_name_without_hashing_it_again() {
    let path = test_model("smollm2-135m");
    let home = Home::from_env().unwrap();
    let before = bytes_read();
    assert_eq!(resolve(&home, "smollm2-135m").unwrap(), Located::Ready(path.clone()));
    // Hashing reads all of its 98 MB; comparing three numbers reads the record.
    let n_read = bytes_read() - before;
    assert!(n_read < 1 << 20, "{n_read} bytes were read");
    let found = installed(&home).into_iter().find(|m| m.entry.name == "smollm2-135m").unwrap();
    assert!(found.verified);
    assert_eq!((found.path, found.bytes), (path, 98_362_432));
}

/// Bytes that this thread has read so far, from caches or not.
fn bytes_read() -> u64 {
    let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}
