//! Whether a model fits into memory, told before it is loaded: the system tells nobody, it kills.

use crate::LoadError;
use crate::arch::Config;
use crate::file::ModelFile;
use crate::gguf::TensorInfo;
use crate::kv::KvCache;
use cerium_kernels::{Heads, KvFormat, MatrixShape, PAGE, ScreenShape};
use std::fmt;
use std::fs;
use std::path::Path;

/// Rows of the largest step, and rows whose logits it gives: a chunk of a prompt, and a draft.
const ROWS: usize = 512;
const LOGITS: usize = 64;

/// The program, the vocabulary, and what a session holds.
const BESIDES: u64 = 64 << 20;

/// Memory that a model may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    n_bytes: u64,
    bound: Bound,
}

/// What bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Free memory of the machine.
    Machine,
    /// A control group of this process, as containers and services have one.
    Group,
    /// What somebody set.
    Setting,
}

/// Memory that this process has; 0 where the system does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub n_bytes: u64,
    /// At most so far.
    pub n_bytes_max: u64,
}

/// What of its memory is resident; mapped files count as far as they were touched.
pub fn resident() -> Resident {
    let status = read(Path::new("/proc/self/status"));
    let bytes = |name| field(&status, name).unwrap_or_default() * 1024;
    Resident { n_bytes: bytes("VmRSS:"), n_bytes_max: bytes("VmHWM:") }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "are free",
            Self::Group => "are left to this container or service",
            Self::Setting => "were allowed",
        })
    }
}

impl Budget {
    /// What the machine and the process's control groups have left. Pages of files count as free: they go
    /// when room is wanted. Where the system does not tell, nothing is refused.
    pub fn left() -> Self {
        Self::left_under(Path::new("/"))
    }

    fn left_under(root: &Path) -> Self {
        let meminfo = read(&root.join("proc/meminfo"));
        let machine =
            field(&meminfo, "MemAvailable:").map_or(u64::MAX, |kb| kb.saturating_mul(1024));
        let group = groups(root).unwrap_or(u64::MAX);
        let bound = if group < machine { Bound::Group } else { Bound::Machine };
        Self { n_bytes: machine.min(group), bound }
    }

    /// Bytes; `None` where the system does not tell.
    pub fn n_bytes(self) -> Option<u64> {
        (self.n_bytes < u64::MAX).then_some(self.n_bytes)
    }

    /// The same, but no more than this.
    #[must_use]
    pub fn at_most(self, n_bytes: u64) -> Self {
        if n_bytes < self.n_bytes { Self { n_bytes, bound: Bound::Setting } } else { self }
    }

    /// Tokens, of all sequences together, whose keys and values fit beside the weights and what a step
    /// needs.
    ///
    /// # Errors
    /// [`LoadError::Room`] when those are fewer than `wanted`.
    pub fn n_tokens(
        self,
        file: &ModelFile,
        config: &Config,
        format: KvFormat,
        wanted: usize,
    ) -> Result<usize, LoadError> {
        let kv = |n_tokens| KvCache::n_bytes(config, format, n_tokens) as u64;
        let model = weights(file, config).saturating_add(working(config)).saturating_add(BESIDES);
        let needed = model.saturating_add(kv(wanted));
        if needed > self.n_bytes {
            let Self { n_bytes: available, bound } = self;
            return Err(LoadError::Room { needed, n_tokens: wanted, available, bound });
        }
        // A page is the least that can be had.
        let n_pages = (self.n_bytes - model) / kv(PAGE).max(1);
        Ok(usize::try_from(n_pages).unwrap_or(usize::MAX).saturating_mul(PAGE))
    }
}

/// Bytes of the weights once they are packed.
fn weights(file: &ModelFile, config: &Config) -> u64 {
    let gguf = &file.gguf;
    let has_head = gguf.tensor("output.weight").is_some();
    let n_bytes = |tensor: &TensorInfo| match &tensor.shape[..] {
        // Rows of an embedding that is not the head as well are read one by one.
        _ if has_head && tensor.name == "token_embd.weight" => 0,
        [n_cols, rows @ ..] if !rows.is_empty() => {
            let n_rows = rows.iter().product::<u64>() as usize;
            MatrixShape::new(tensor.kind, n_rows, *n_cols as usize)
                .map_or(tensor.range.len(), MatrixShape::n_bytes)
        }
        shape => 4 * shape.iter().product::<u64>() as usize,
    };
    let screen = ScreenShape::new(config.n_vocab, config.d_model).n_bytes();
    let screen = if config.has_screen() { screen as u64 } else { 0 };
    gguf.tensors().iter().map(|tensor| n_bytes(tensor) as u64).fold(screen, u64::saturating_add)
}

/// Bytes of the buffers that a large step fills.
fn working(config: &Config) -> u64 {
    let Heads { n_heads, n_kv_heads, head_dim } = config.heads;
    // Stream, normed and projected; queries and what they attend to; keys and values; both halves of the
    // feed-forward network, and its quants; what experts make.
    let made = config.experts.map_or(0, |experts| (1 + experts.n_used) * config.d_model);
    let row = 3 * config.d_model + 2 * (n_heads + n_kv_heads) * head_dim + 3 * config.d_ffn + made;
    (4 * (ROWS * row + LOGITS * config.n_vocab)) as u64
}

/// Room in the control groups of this process and in those around them; the closest to full counts.
fn groups(root: &Path) -> Option<u64> {
    let own = read(&root.join("proc/self/cgroup"));
    let rooms = own.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("/"));
        // In the second version one tree has all controllers, and none is named.
        let (bases, files): (&[&str], _) = if controllers.is_empty() {
            (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], SECOND)
        } else if controllers.split(',').any(|controller| controller == "memory") {
            (&["sys/fs/cgroup/memory"], FIRST)
        } else {
            (&[], FIRST)
        };
        let dirs = Path::new(path.trim_start_matches('/')).ancestors();
        let rooms = dirs.flat_map(move |dir| {
            bases.iter().filter_map(move |base| files.room(&root.join(base).join(dir)))
        });
        rooms.collect::<Vec<_>>()
    });
    rooms.min()
}

/// Names of a control group's files and fields.
#[derive(Clone, Copy)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// Pages of files, which count as used.
    cached: [&'static str; 2],
}

const FIRST: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cached: ["total_inactive_file", "total_active_file"],
};
const SECOND: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cached: ["inactive_file", "active_file"],
};

impl Files {
    /// What a group has left, if it has a limit.
    fn room(&self, group: &Path) -> Option<u64> {
        let number = |name| read(&group.join(name)).trim().parse::<u64>().ok();
        let (limit, usage) = (number(self.limit)?, number(self.usage)?);
        let stat = read(&group.join("memory.stat"));
        let cached = self.cached.iter().filter_map(|name| field(&stat, name));
        Some(limit.saturating_sub(usage.saturating_sub(cached.fold(0, u64::saturating_add))))
    }
}

/// The number after a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

/// The text of a file, empty if there is none.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left on a machine with these files.
    fn left(files: &[(&str, &str)]) -> (u64, Bound) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let Budget { n_bytes, bound } = Budget::left_under(root.path());
        (n_bytes, bound)
    }

    const MACHINE: (&str, &str) =
        ("proc/meminfo", "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    5000 kB\n");

    #[test]
    fn the_machine_tells_what_is_available() {
        assert_eq!(left(&[MACHINE]), (5_120_000, Bound::Machine));
        assert_eq!(left(&[]), (u64::MAX, Bound::Machine));
        assert_eq!(left(&[("proc/meminfo", "MemAvailable: lots")]), (u64::MAX, Bound::Machine));
    }

    #[test]
    fn the_tightest_group_of_the_second_version_counts() {
        let group = [
            MACHINE,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "100\n"),
            ("sys/fs/cgroup/outer/memory.max", "1000000\n"),
            ("sys/fs/cgroup/outer/memory.current", "900000\n"),
            (
                "sys/fs/cgroup/outer/memory.stat",
                "anon 5\ninactive_file 300000\nactive_file 50000\n",
            ),
        ];
        assert_eq!(left(&group), (450_000, Bound::Group));
        assert_eq!(left(&group[..4]), (5_120_000, Bound::Machine));
    }

    #[test]
    fn groups_of_the_first_version_count_where_they_can_be_seen() {
        let own = ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/docker/1234\n0::/\n");
        // A container sees its own group as the root.
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000");
        let usage = ("sys/fs/cgroup/memory/memory.usage_in_bytes", "2000000");
        let stat = ("sys/fs/cgroup/memory/memory.stat", "cache 7\ntotal_inactive_file 1000\n");
        assert_eq!(left(&[MACHINE, own, limit, usage, stat]), (1000, Bound::Group));
        let none = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712");
        assert_eq!(left(&[MACHINE, own, none, usage, stat]), (5_120_000, Bound::Machine));
    }

    #[test]
    fn what_was_set_only_lowers_it() {
        let budget = Budget { n_bytes: 1000, bound: Bound::Group };
        assert_eq!(budget.at_most(2000), budget);
        assert_eq!(budget.at_most(10), Budget { n_bytes: 10, bound: Bound::Setting });
    }
}
