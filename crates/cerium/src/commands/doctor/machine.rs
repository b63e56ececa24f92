//! What the system says of the machine: processor, memory, disks.

use rustix::fs::{Access, access, statvfs};
use std::fs;
use std::path::Path;

/// What the processor calls itself.
pub(super) fn processor() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    field(&cpuinfo, "model name").map(str::to_owned)
}

/// Bytes of memory, used or not.
pub(super) fn memory_bytes() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal")
}

/// Instruction sets that matter here.
pub(super) fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detected {
            ($($name:tt)*) => {
                [$(($name, is_x86_feature_detected!($name))),*]
                    .into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
            };
        }
        detected!("avx2" "fma" "f16c" "avxvnni" "avx512f" "avx512bw" "avx512vl" "avx512vnni" "avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

/// Free bytes where a directory is, or will be.
pub(super) fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = statvfs(existing(dir)?).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether files can be made in a directory, or it can be made.
pub(super) fn is_writable(dir: &Path) -> bool {
    existing(dir)
        .is_some_and(|dir| dir.is_dir() && access(dir, Access::WRITE_OK | Access::EXEC_OK).is_ok())
}

/// The directory, or the nearest above it that is there.
fn existing(dir: &Path) -> Option<&Path> {
    let found = dir.ancestors().find(|dir| dir.symlink_metadata().is_ok())?;
    // What a relative path of one part is in.
    Some(if found.as_os_str().is_empty() { Path::new(".") } else { found })
}

/// The first value of a `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn kilobytes(meminfo: &str, name: &str) -> Option<u64> {
    field(meminfo, name)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "MemTotal:       24689732 kB\nMemFree: 1 kB\n";
        assert_eq!(kilobytes(text, "MemTotal"), Some(24_689_732 * 1024));
        assert_eq!(kilobytes(text, "SwapTotal"), None);
    }

    #[test]
    fn what_is_not_there_yet_is_judged_by_what_is_above_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_writable(&dir.path().join("a/b")));
        assert!(free_bytes(&dir.path().join("a/b")).is_some());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(!is_writable(&dir.path().join("file/b")));
    }
}
