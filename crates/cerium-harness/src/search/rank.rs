//! Which pieces of which files answer a query best: BM25 over pieces, with more weight for what a
//! piece declares and where it lies.

use super::chunk::Chunk;
use super::scan::{FileHits, Hit};
use super::terms::{Query, TermKind};
use std::collections::{HashMap, HashSet};

/// How fast repetitions of a term stop counting (BM25's k1).
const SATURATION: f32 = 1.2;
/// How much long pieces are held back (BM25's b).
const LENGTH_WEIGHT: f32 = 0.5;
/// Lines of a piece of ordinary length.
const LINES_USUAL: f32 = 25.0;
/// Lines of a file of ordinary length.
const FILE_LINES_USUAL: f32 = 300.0;

/// What sort of file a path names, as far as answers about code are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Sources.
    Code,
    /// Tests, benchmarks, fixtures, examples.
    Test,
    /// Prose.
    Docs,
    /// Settings and data.
    Data,
    /// Lock files, bundles and other output of programs.
    Generated,
}

impl FileKind {
    /// Tells by the path alone.
    pub fn of(path: &str) -> Self {
        let lower = path.to_ascii_lowercase();
        let name = lower.rsplit('/').next().unwrap_or_default();
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        // `min` of `app.min.js`.
        let inner = stem.rsplit_once('.').map_or("", |(_, inner)| inner);
        let mut dirs = lower.split('/').rev().skip(1);
        let mut in_dir = |names: &[&str]| dirs.any(|dir| names.contains(&dir));
        let generated = matches!(extension, "lock" | "svg" | "map" | "snap" | "po" | "csv" | "pem")
            || inner == "min"
            || stem.ends_with("_pb2")
            || matches!(name, "package-lock.json" | "pnpm-lock.yaml" | "go.sum");
        let test = stem.starts_with("test_")
            || stem.ends_with("_test")
            || inner == "test"
            || inner == "spec"
            || matches!(stem, "test" | "tests" | "conftest");
        if generated {
            Self::Generated
        } else if matches!(extension, "md" | "rst" | "txt" | "adoc" | "html" | "tex") {
            Self::Docs
        } else if matches!(extension, "json" | "yaml" | "yml" | "toml" | "ini" | "cfg" | "xml") {
            Self::Data
        } else if test
            || in_dir(&[
                "test",
                "tests",
                "testing",
                "__tests__",
                "spec",
                "benches",
                "fixtures",
                "examples",
            ])
        {
            Self::Test
        } else {
            Self::Code
        }
    }

    /// Factor on the score of its pieces.
    fn weight(self, query: &Query) -> f32 {
        match self {
            // The asked-for half of code and tests comes first; the other half explains it.
            Self::Code if query.names_test => 0.75,
            Self::Code if query.about_tests => 0.55,
            Self::Test if !query.names_test && !query.about_tests => 0.55,
            Self::Code | Self::Test => 1.0,
            Self::Docs => {
                if query.about_docs {
                    1.0
                } else {
                    0.5
                }
            }
            Self::Data => 0.5,
            Self::Generated => 0.1,
        }
    }
}

/// How rare each term is: `ln(1 + (N - n + 0.5) / (n + 0.5))` over the files of the tree.
#[derive(Debug)]
pub(crate) struct Rarity(Vec<f32>);

impl Rarity {
    pub(crate) fn new(query: &Query, files: &[FileHits], n_files: usize) -> Self {
        let mut n_with = vec![0_usize; query.terms.len()];
        for file in files {
            let terms: HashSet<u16> = file.hits.iter().map(|hit| hit.term).collect();
            for term in terms {
                n_with[usize::from(term)] += 1;
            }
        }
        let n_files = n_files.max(files.len()) as f32;
        let rarity = |n: &usize| (1.0 + (n_files - *n as f32 + 0.5) / (*n as f32 + 0.5)).ln();
        Self(n_with.iter().map(rarity).collect())
    }

    /// Rarity times the weight that the query gives the term.
    fn worth(&self, query: &Query, term: u16) -> f32 {
        let term = usize::from(term);
        self.0[term] * query.terms[term].weight
    }
}

/// Score of a whole file, to choose those worth cutting into pieces.
pub(crate) fn file_score(query: &Query, rarity: &Rarity, file: &FileHits, in_path: &[u16]) -> f32 {
    let text = bm25(query, rarity, &file.hits, file.n_lines as f32 / FILE_LINES_USUAL);
    let defined: HashSet<u16> =
        file.hits.iter().filter(|hit| hit.defines).map(|hit| hit.term).collect();
    let defined: f32 = defined.iter().map(|&term| rarity.worth(query, term)).sum();
    let path: f32 = in_path.iter().map(|&term| rarity.worth(query, term)).sum();
    (text + defined + 0.5 * path) * FileKind::of(&file.path).weight(query)
}

/// Scores of the pieces of one file, in their order. The file's own score carries over a little,
/// so that of two like pieces the one in the better file comes first.
pub(crate) fn chunk_scores(
    query: &Query,
    rarity: &Rarity,
    file: &FileHits,
    file_score: f32,
    chunks: &[Chunk],
    terms_in: impl Fn(&str) -> Vec<u16>,
) -> Vec<f32> {
    let mut hits: Vec<Vec<Hit>> = vec![Vec::new(); chunks.len()];
    for hit in &file.hits {
        let at = chunks.partition_point(|chunk| chunk.lines.end < hit.line as usize);
        if let Some(hits) = hits.get_mut(at) {
            hits.push(*hit);
        }
    }
    let kind = FileKind::of(&file.path);
    let score = |(chunk, hits): (&Chunk, &Vec<Hit>)| {
        let text = bm25(query, rarity, hits, chunk.lines.count() as f32 / LINES_USUAL);
        let mut named: HashSet<u16> = chunk.names.iter().flat_map(|name| terms_in(name)).collect();
        named.extend(hits.iter().filter(|hit| hit.defines).map(|hit| hit.term));
        let named = named.iter().map(|&term| match query.terms[usize::from(term)].kind {
            TermKind::Name => 1.5 * rarity.worth(query, term),
            TermKind::Stem => 0.5 * rarity.worth(query, term),
        });
        let named: f32 = named.sum();
        let kind = if kind == FileKind::Code && is_test(chunk) { FileKind::Test } else { kind };
        if hits.is_empty() { 0.0 } else { (text + named) * kind.weight(query) + 0.15 * file_score }
    };
    chunks.iter().zip(&hits).map(score).collect()
}

/// Whether a piece of a source file is a test all the same: `mod tests` in Rust, `test_` elsewhere.
fn is_test(chunk: &Chunk) -> bool {
    let is_test =
        |name: &String| name.split('.').any(|part| part == "tests" || part.starts_with("test_"));
    !chunk.names.is_empty() && chunk.names.iter().all(is_test)
}

/// Best match of the words, as BM25 counts it. `length` is relative to what is usual.
fn bm25(query: &Query, rarity: &Rarity, hits: &[Hit], length: f32) -> f32 {
    let mut counts: HashMap<u16, f32> = HashMap::new();
    for hit in hits {
        *counts.entry(hit.term).or_default() += 1.0;
    }
    let held_back = SATURATION * (1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length);
    // Summed in the order of the terms: a map's order would change the last bits between runs.
    let mut counts: Vec<(u16, f32)> = counts.into_iter().collect();
    counts.sort_unstable_by_key(|&(term, _)| term);
    let gain = |(term, n): (u16, f32)| rarity.worth(query, term) * n / (n + held_back);
    counts.into_iter().map(gain).sum()
}
