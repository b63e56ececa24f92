//! The real catalogue, the real sources.

use cerium_hub::{Home, Located, installed, resolve, test_model};

#[test]
fn a_pulled_model_is_found_by_name_without_hashing_it_again() {
    let path = test_model("smollm2-135m");
    let home = Home::from_env().unwrap();
    let start = std::time::Instant::now();
    assert_eq!(resolve(&home, "smollm2-135m").unwrap(), Located::Ready(path.clone()));
    // Hashing 98 MB takes a good part of a second; comparing three numbers does not.
    assert!(start.elapsed().as_millis() < 50, "{:?}", start.elapsed());
    let found = installed(&home).into_iter().find(|m| m.entry.name == "smollm2-135m").unwrap();
    assert!(found.verified);
    assert_eq!((found.path, found.bytes), (path, 98_362_432));
}
