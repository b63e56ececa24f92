//! A small world to pull in: a home, a model of 300 kB, wheels of it, a stand-in for Python and, on
//! request, a hub.

use cerium_hub::{Attempt, Entry, Home, HubError, Progress, PullEvent, Source, Sources, pull};
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

pub(crate) const PACKAGES: Source =
    Source::Packages { name: "tiny-model", version: "1.0", parts: Some(3) };
pub(crate) const HUB: Source = Source::Hub { repo: "owner/tiny" };

const SHA256: &str = "bb1d876a3a7056dff7c7574960317028ae04802ba62924847afea4868c136710";
const BYTES: usize = 300_000;

pub(crate) struct World {
    pub(crate) dir: PathBuf,
    pub(crate) entry: Entry,
    pub(crate) home: Home,
    pub(crate) sources: Sources,
    /// Removes the directory at the end; the process that made it holds this.
    temporary: Option<tempfile::TempDir>,
}

/// The model's bytes: GGUF's magic and noise that does not compress.
pub(crate) fn model() -> Vec<u8> {
    let mut state = 1u32;
    let noise = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((state >> 24) as u8)
    });
    b"GGUF".iter().copied().chain(noise).take(BYTES).collect()
}

impl World {
    /// A world whose model has these sources, all of which work.
    pub(crate) fn new(sources: &'static [Source]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().to_owned();
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/python3");
        // A link, because the script looks for everything beside the name it was called by; and
        // because a file just written may be held open by a concurrent fork, and not run.
        std::os::unix::fs::symlink(python, dir.join("python3")).unwrap();
        fs::create_dir(dir.join("wheels")).unwrap();
        let mut world = Self::open(&dir, sources);
        world.temporary = Some(temporary);
        world.behave("well");
        let model = model();
        for (k, piece) in model.chunks(100_000).enumerate() {
            let member = format!("tiny_model_part{}/data/part{k:02}.bin", k + 1);
            world.wheel(k + 1, &[(&member, piece)]);
        }
        world
    }

    /// A world that another process made.
    pub(crate) fn open(dir: &Path, sources: &'static [Source]) -> Self {
        let entry = Entry {
            name: "tiny",
            file: "tiny.gguf",
            bytes: BYTES as u64,
            sha256: SHA256,
            about: "",
            default: false,
            sources,
        };
        let reach = Sources {
            python: dir.join("python3"),
            hub_endpoint: Some("http://127.0.0.1:1".into()),
            hub_patience: Duration::from_millis(400),
            stall: Duration::from_millis(400),
        };
        let home = Home::at(dir.join("home"));
        Self { dir: dir.to_owned(), entry, home, sources: reach, temporary: None }
    }

    /// How the stand-in for Python behaves from now on.
    pub(crate) fn behave(&self, how: &str) {
        fs::write(self.dir.join("behaviour"), how).unwrap();
    }

    /// Prepares the wheel of a part: these members and what every wheel has besides.
    pub(crate) fn wheel(&self, part: usize, members: &[(&str, &[u8])]) {
        let path = self.dir.join(format!("wheels/tiny_model_part{part}-1.0-py3-none-any.whl"));
        fs::write(path, zip_of(part, members)).unwrap();
    }

    pub(crate) fn pull(&self) -> Result<PathBuf, HubError> {
        self.pull_with(&mut ())
    }

    pub(crate) fn pull_with(&self, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        pull(&self.home, &self.entry, &self.sources, progress)
    }

    /// Pulls, which must fail at the only source.
    pub(crate) fn attempt(&self) -> Attempt {
        match self.pull() {
            Err(HubError::Unavailable { mut tried, .. }) if tried.len() == 1 => tried.remove(0).1,
            other => panic!("wanted one failed attempt, got {other:?}"),
        }
    }

    /// Packages that pip was asked for, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// Where the finished file belongs.
    pub(crate) fn place(&self) -> PathBuf {
        self.home.models_dir().join("tiny/tiny.gguf")
    }

    /// The unfinished download.
    pub(crate) fn partial(&self, file: &str) -> PathBuf {
        self.home.models_dir().join(".partial/tiny").join(file)
    }

    /// The model is in its place, whole, and nothing half-done is left.
    pub(crate) fn assert_whole(&self) {
        assert!(fs::read(self.place()).unwrap() == model());
        assert!(!self.partial("").exists());
    }

    /// There is no file under the model's name.
    pub(crate) fn assert_absent(&self) {
        assert!(!self.place().exists());
    }
}

pub(crate) fn zip_of(part: usize, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let package = format!("tiny_model_part{part}");
    let init = (format!("{package}/__init__.py"), b"raise SystemExit('executed')".as_slice());
    let meta = (format!("{package}-1.0.dist-info/METADATA"), b"Name: tiny".as_slice());
    let rest = [&init, &meta].map(|(name, bytes)| (name.as_str(), *bytes));
    for (name, bytes) in rest.iter().chain(members) {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Writes down events as text; breaks off at the first that contains `until`.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) seen: Vec<String>,
    pub(crate) until: Option<&'static str>,
}

impl Progress for Watch {
    fn event(&mut self, event: PullEvent<'_>) -> ControlFlow<()> {
        self.seen.push(format!("{event:?}"));
        match self.until {
            Some(until) if self.seen.last().unwrap().contains(until) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
