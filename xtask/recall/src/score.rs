//! How much of a right answer's files and names the excerpts show, as the scorer of the cases counts it.

use cerium_harness::context::Excerpt;
use serde::Deserialize;
use std::collections::BTreeSet;

/// A question, and what a right answer to it speaks of.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) question: String,
    /// Paths, whole or their last parts.
    key_files: Vec<String>,
    /// Identifiers that the question lacks, dotted or not.
    key_names: Vec<String>,
}

/// What of it is shown; `None` where a case has none.
#[derive(Debug, PartialEq)]
pub(crate) struct Recall {
    /// Whether any of the files is.
    pub(crate) file: Option<bool>,
    /// Share of the files.
    pub(crate) files: Option<f64>,
    /// Share of the names.
    pub(crate) names: Option<f64>,
}

/// * `shown`: the excerpts as they stand in a prompt
pub(crate) fn score(case: &Case, excerpts: &[Excerpt], shown: &str) -> Recall {
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let wanted: BTreeSet<String> = case.key_files.iter().map(|path| base(path)).collect();
    let there: BTreeSet<String> = excerpts.iter().map(|excerpt| base(&excerpt.path)).collect();
    let files = share(&wanted, |file| there.contains(file));
    let last_part = |name: &String| name.rsplit('.').next().map(str::to_owned);
    let names: BTreeSet<String> = case.key_names.iter().filter_map(last_part).collect();
    let words: BTreeSet<&str> = shown.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let names = share(&names, |name| words.contains(name));
    Recall { file: files.map(|share| share > 0.0), files, names }
}

fn share(wanted: &BTreeSet<String>, is_there: impl Fn(&str) -> bool) -> Option<f64> {
    let n_there = wanted.iter().filter(|wanted| is_there(wanted)).count();
    (!wanted.is_empty()).then(|| n_there as f64 / wanted.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cerium_harness::lines::LineSpan;

    #[test]
    fn files_count_by_their_last_part_and_names_by_theirs() {
        let case = Case {
            id: "x".to_owned(),
            question: String::new(),
            key_files: vec!["src/a.py".to_owned(), "./lib/a.py".to_owned(), "b.py".to_owned()],
            key_names: vec!["Session.send".to_owned(), "send".to_owned(), "other".to_owned()],
        };
        let excerpt = Excerpt {
            path: "src/a.py".to_owned(),
            lines: LineSpan { start: 1, end: 1 },
            names: Vec::new(),
            text: "self.send(another)\n".to_owned(),
        };
        let shown = excerpt.write();
        let want = Recall { file: Some(true), files: Some(0.5), names: Some(0.5) };
        assert_eq!(score(&case, &[excerpt], &shown), want);
        let none = Case { key_files: Vec::new(), key_names: Vec::new(), ..case };
        assert_eq!(score(&none, &[], ""), Recall { file: None, files: None, names: None });
    }
}
