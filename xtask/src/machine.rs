//! What a measurement ran on.

use serde::Serialize;
use std::fs;

/// The parts of a machine that decide its figures.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    /// Of the instruction sets that kernels choose among, those this CPU has.
    pub(crate) features: Vec<&'static str>,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
}

impl Machine {
    /// This machine; what cannot be read is empty.
    pub(crate) fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim())
        };
        let flags: Vec<_> = field("flags").unwrap_or_default().split(' ').collect();
        let known =
            ["avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "amx_int8"];
        let meminfo = read("/proc/meminfo");
        let memory_kib = meminfo.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok());
        Self {
            cpu: field("model name").unwrap_or_default().to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            features: known.into_iter().filter(|name| flags.contains(name)).collect(),
            memory_mib: memory_kib.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}
