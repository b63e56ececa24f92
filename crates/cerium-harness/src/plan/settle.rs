//! Holding a step that a model wrote against the tree: which files does it mean, does the symbol
//! exist?

use super::parse::Draft;
use super::step::{Step, StepFile, StepState};
use super::{PlanError, prompt};
use crate::Backend;
use crate::edit::Fate;
use crate::search::{FileKind, Found, Piece, SearchOptions, is_word_char, query, search};
use crate::syntax::{self, Language};
use crate::workspace::{Workspace, sole_match};
use std::path::Path;

/// Larger files are not parsed to look for a symbol.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is known of the tree while a plan is made.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    workspace: &'a Workspace,
    found: Found,
    /// What is asked of its plans.
    pub(super) rules: String,
}

impl<'a> Tree<'a> {
    /// Searches the tree for what a goal or request is about.
    pub(super) fn around(
        backend: &dyn Backend,
        workspace: &'a Workspace,
        text: &str,
    ) -> Result<Self, PlanError> {
        let found = search(workspace, &query(text), &SearchOptions::default());
        if found.files.is_empty() {
            return Err(PlanError::NoFiles { root: workspace.root().to_owned() });
        }
        Ok(Self { workspace, found, rules: prompt::rules(backend, workspace) })
    }

    /// What matches, best first.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.found.pieces
    }

    /// Paths worth naming: those that match first, then other sources, then the rest.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        let mut paths: Vec<&str> = Vec::new();
        let matching = self.found.pieces.iter().map(|piece| piece.path.as_str());
        let all = || self.found.files.iter().map(String::as_str);
        let sources = all().filter(|path| FileKind::of(path) == FileKind::Code);
        let others = all().filter(|path| FileKind::of(path) != FileKind::Generated);
        let mut seen = std::collections::HashSet::new();
        paths.extend(matching.chain(sources).chain(others).filter(|path| seen.insert(*path)));
        paths.into_iter()
    }

    /// Makes a step of a draft.
    pub(super) fn settle(&self, draft: Draft, number: usize) -> Step {
        if let Draft { title, detail, run: run @ Some(_), .. } = draft {
            let (files, symbol, state) = (Vec::new(), None, StepState::Open);
            return Step { number, title, files, symbol, detail, run, state };
        }
        let mut files: Vec<StepFile> = Vec::new();
        for written in &draft.files {
            let Some(file) = self.file(&written.path) else { continue };
            if !file.new {
                add(&mut files, self.with_fate(file, written, &draft.title));
            } else if !written.delete && written.rename.is_none() {
                add(&mut files, file);
            }
        }
        if files.is_empty() {
            // Only files that exist: prose is full of words with a dot in them.
            let prose = format!("{} {}", draft.title, draft.detail);
            let words = prose.split(|c: char| !(is_word_char(c) || "./-".contains(c)));
            let words = words.map(|word| word.trim_matches(['.', '-'])).filter(|w| w.contains('.'));
            for path in words.filter_map(|word| sole_match(&self.found.files, word)) {
                add(&mut files, StepFile::at(path));
            }
        }
        if files.is_empty() {
            // The model named none: the file that the step's own words lead to.
            let text = format!("{} {}", draft.title, draft.detail);
            let found = search(self.workspace, &query(&text), &SearchOptions::default());
            let best =
                found.pieces.iter().find(|piece| FileKind::of(&piece.path) == FileKind::Code);
            let best = best.or(found.pieces.first());
            if let Some(piece) = best {
                add(&mut files, StepFile::at(&piece.path));
            }
        }
        let symbol = draft.symbol.and_then(|symbol| self.symbol(files.first()?, &symbol));
        let Draft { title, detail, .. } = draft;
        Step { number, title, files, symbol, detail, run: None, state: StepState::Open }
    }

    /// The file that a written path means, if it exists or could be created.
    fn file(&self, written: &str) -> Option<StepFile> {
        let written = written.trim_start_matches("./");
        if let Some(path) = sole_match(&self.found.files, written) {
            return Some(StepFile::at(path));
        }
        // Ignored files may be edited too when they are named in full.
        let whole = self.workspace.resolve_in_tree(written).ok().filter(|path| path == written);
        let whole = whole.filter(|path| self.workspace.root().join(path).is_file());
        if let Some(path) = whole.filter(|path| !path.split('/').any(|part| part.starts_with('.')))
        {
            return Some(StepFile::at(path));
        }
        let new = self.workspace.could_create(written);
        new.then(|| StepFile { new: true, ..StepFile::at(written) })
    }

    /// A file that there is, with what is to become of it, by its line or by the step's title, if that
    /// can be done.
    fn with_fate(&self, file: StepFile, written: &StepFile, title: &str) -> StepFile {
        let folder = file.path.rfind('/').map_or("", |at| &file.path[..=at]);
        let whole = |to: &String| match to.trim_start_matches("./") {
            to if to.contains('/') => to.to_owned(),
            name => format!("{folder}{name}"),
        };
        let fate = match &written.rename {
            Some(to) => Some(Fate::Rename(whole(to))),
            None if written.delete => Some(Fate::Delete),
            None => Fate::asked_for(title, &file.path),
        };
        match fate {
            Some(Fate::Delete) => StepFile { delete: true, ..file },
            Some(Fate::Rename(to)) if self.workspace.could_create(&to) => {
                StepFile { rename: Some(to), ..file }
            }
            _ => file,
        }
    }

    /// The symbol as the file declares it: `method` or `Class.method`, else nothing. What a new
    /// file will declare is taken on trust.
    fn symbol(&self, file: &StepFile, written: &str) -> Option<String> {
        let written = written.replace("::", ".");
        if file.new {
            return Some(written);
        }
        let read = self.workspace.read_text(&file.path, FILE_BYTES_MAX).ok()?;
        let parsed = syntax::parse(Language::of(Path::new(&file.path))?, &read.text)?;
        let declared = parsed.declarations();
        let own_name = written.rsplit('.').next().unwrap_or(&written);
        // Models often put a method into a class of their own invention.
        let by_path = declared.iter().find(|decl| decl.is_called(&written));
        let by_name = || declared.iter().find(|decl| decl.name == own_name);
        by_path.or_else(by_name).map(|decl| decl.path.clone())
    }
}

fn add(files: &mut Vec<StepFile>, file: StepFile) {
    if !files.iter().any(|old| old.path == file.path) {
        files.push(file);
    }
}
