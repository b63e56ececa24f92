//! Databases that break: each fault is told apart, and nothing that was written is lost.

use crate::postgres::Postgres;
use crate::{NOW, in_file, wait};
use cerium_store::{
    Extent, Frames, Item, NewResponse, Outcome, Place, Retention, Store, StoreError, StoreOptions,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

fn new<'a>(id: &'a str, input: &'a [Item]) -> NewResponse<'a> {
    let (parent, conversation) = (None, None);
    NewResponse {
        id,
        holder: "",
        parent,
        conversation,
        server: "one",
        object: "{}",
        input,
        now: NOW,
    }
}

#[test]
fn a_file_is_for_its_owner_alone() {
    wait(async {
        let (store, dir) = in_file(Retention::default()).await;
        store.begin(new("resp_1", &[])).await.unwrap();
        let state = dir.path().join("state");
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        let files: Vec<_> = fs::read_dir(state).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 3, "the file, its log and the log's index");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
    });
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    wait(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        let text = "not a database ".repeat(1000);
        fs::write(&path, &text).unwrap();
        let store = Store::open(StoreOptions::new(Place::File(path.clone()))).await.unwrap();
        let refused = store.check().await;
        assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    });
    let refused = |place| wait(Store::open(StoreOptions::new(place))).unwrap_err();
    assert!(matches!(refused(Place::File("/proc/none/store".into())), StoreError::Open { .. }));
    let error = refused(Place::parse("postgres://cerium:secret@host:port/db")).to_string();
    assert!(error.contains("host:port") && !error.contains("secret"), "{error}");
}

#[test]
fn a_damaged_file_is_told_and_what_is_whole_can_still_be_read() {
    wait(async {
        let (store, dir) = in_file(Retention::default()).await;
        let path = dir.path().join("state/store.sqlite");
        for n in 0..400 {
            let input =
                [Item { id: format!("msg_{n}"), body: format!("\"{n}{}\"", "x".repeat(900)) }];
            store.begin(new(&format!("resp_{n:03}"), &input)).await.unwrap();
        }
        store.close().await;
        let mut bytes = fs::read(&path).unwrap();
        let text = format!("\"200{}", "x".repeat(20));
        let place = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        let page = place.unwrap() / 4096 * 4096;
        bytes[page..page + 4096].fill(0xee);
        fs::write(&path, &bytes).unwrap();
        let store = Store::open(StoreOptions::new(Place::File(path.clone()))).await.unwrap();
        let (mut whole, mut damaged) = (0, 0);
        for n in 0..400 {
            match store.history(&format!("resp_{n:03}"), Extent::Asked, 100_000).await {
                Ok(_) => whole += 1,
                Err(StoreError::Damaged(_)) => damaged += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(whole > 380 && damaged > 0, "{whole} {damaged}");
        store.close().await;
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len());
    });
}

/// The test runs itself again where the disk is small.
#[test]
fn a_full_disk_is_told_and_what_was_written_stays() {
    if let Some(dir) = std::env::var_os("CERIUM_SMALL_DISK") {
        return wait(on_a_small_disk(&dir.into_string().unwrap()));
    }
    let possible = Command::new("unshare").args(["-Urm", "true"]).status();
    if !possible.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this system lets no user mount a file system of their own");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m tmpfs \"$CERIUM_SMALL_DISK\" && exec \"$0\" --exact \
                  faults::a_full_disk_is_told_and_what_was_written_stays --nocapture";
    let ran = Command::new("unshare")
        .args(["-Urm", "sh", "-ec", script])
        .arg(std::env::current_exe().unwrap())
        .env("CERIUM_SMALL_DISK", dir.path())
        .status();
    assert!(ran.unwrap().success());
}

async fn on_a_small_disk(dir: &str) {
    let options = StoreOptions::new(Place::File(format!("{dir}/store.sqlite").into()));
    let store = Store::open(options).await.unwrap();
    let body = "x".repeat(20_000);
    let mut n = 0;
    let full = loop {
        let input = [Item { id: format!("msg_{n}"), body: body.clone() }];
        match store.begin(new(&format!("resp_{n}"), &input)).await {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full), "{full:?}");
    assert!(n > 5, "{n}");
    for m in 0..n {
        let items = store.history(&format!("resp_{m}"), Extent::Asked, 100_000).await.unwrap();
        assert_eq!(items[0].body, body);
    }
    assert!(store.response(&format!("resp_{n}"), NOW).await.unwrap().is_none(), "all or nothing");
}

#[test]
fn a_database_that_dies_comes_back() {
    let mut server = Postgres::start();
    let url = server.database("cerium");
    let mut options = StoreOptions::new(Place::Url(url));
    options.patience = Duration::from_secs(1);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(Store::open(options)).unwrap();
    let input = [Item { id: "msg_1".to_owned(), body: "\"a\"".to_owned() }];
    runtime.block_on(store.begin(new("resp_1", &input))).unwrap();
    runtime.block_on(store.append("resp_1", Frames { first: 0, text: "zero" })).unwrap();

    server.kill();
    for _ in 0..2 {
        let error = runtime.block_on(store.response("resp_1", NOW)).unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    server.resume();

    let frames = Frames { first: 1, text: "one" };
    let (object, output) = ("{\"end\":1}", &input[..]);
    let outcome = Outcome { object, output, frames, given_up: false, conversation: None, now: NOW };
    assert!(runtime.block_on(store.finish("resp_1", outcome)).unwrap());
    let events = runtime.block_on(store.events("resp_1", 0)).unwrap();
    assert_eq!(events, [(0, "zero".to_owned()), (1, "one".to_owned())]);
    let history = runtime.block_on(store.history("resp_1", Extent::Answered, 1000)).unwrap();
    assert_eq!(history.len(), 2);
}

#[test]
fn a_database_that_is_down_at_first_is_used_later() {
    let mut server = Postgres::start();
    let url = server.database("cerium");
    server.kill();
    let mut options = StoreOptions::new(Place::Url(url));
    options.patience = Duration::from_secs(1);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let store = runtime.block_on(Store::open(options)).unwrap();
    let error = runtime.block_on(store.check()).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    server.resume();
    runtime.block_on(store.check()).unwrap();
}
