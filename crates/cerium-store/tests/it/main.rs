//! The store at its door: a real SQLite file and a real PostgreSQL server, the same cases for both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cases;
mod faults;
mod postgres;

use cerium_store::{Place, Retention, Store, StoreOptions};
use postgres::Postgres;
use tempfile::TempDir;

/// Some time in November 2026.
const NOW: i64 = 1_795_000_000;

/// A store in a file of its own.
async fn in_file(retention: Retention) -> (Store, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::File(dir.path().join("state/store.sqlite"));
    let options = StoreOptions { retention, ..StoreOptions::new(place) };
    (Store::open(options).await.unwrap(), dir)
}

/// Waits for a future on a runtime of its own.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(future)
}

#[test]
fn every_case_in_a_file() {
    wait(async {
        for case in cases::all() {
            let (store, _dir) = in_file(cases::RETENTION).await;
            case.run(store).await;
        }
    });
}

#[test]
fn every_case_in_a_database() {
    let server = Postgres::start();
    wait(async {
        for (n, case) in cases::all().into_iter().enumerate() {
            let place = Place::Url(server.database(&format!("case{n}")));
            let options = StoreOptions { retention: cases::RETENTION, ..StoreOptions::new(place) };
            case.run(Store::open(options).await.unwrap()).await;
        }
    });
}
