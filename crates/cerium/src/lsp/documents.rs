//! What is open in the editor: texts with their versions, and the trees they belong to.

use super::text::{Encoding, Text};
use cerium_harness::files::{FILE_BYTES_MAX, SourceFile};
use cerium_harness::workspace::Workspace;
use gen_lsp_types::{
    DidChangeTextDocumentParams, TextDocumentContentChangeEvent, TextDocumentItem, Uri,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use url::Url;

/// Most bytes of all open documents together.
const ALL_BYTES_MAX: usize = 256 << 20;
/// Most open documents.
const DOCUMENTS_MAX: usize = 4_096;

/// A document as it is in the editor.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) version: i32,
    /// Never the same for two texts of the server's life.
    pub(super) revision: u64,
    pub(super) text: Text,
    root: PathBuf,
    path: String,
}

impl Document {
    /// The text as the harness edits it.
    pub(super) fn source(&self) -> SourceFile {
        let text = self.text.as_str().to_owned();
        SourceFile::from_text(self.root.clone(), self.path.clone(), text, false)
    }

    /// Root of the tree it belongs to.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where it is in that tree.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// All that is open.
#[derive(Debug)]
pub(super) struct Documents {
    pub(super) encoding: Encoding,
    /// Where a document without a file belongs, and what concerns none.
    pub(super) folders: Vec<PathBuf>,
    open: HashMap<Uri, Document>,
    n_revisions: u64,
}

impl Documents {
    pub(super) fn new() -> Self {
        Self {
            encoding: Encoding::Utf16,
            folders: Vec::new(),
            open: HashMap::new(),
            n_revisions: 0,
        }
    }

    pub(super) fn get(&self, uri: &Uri) -> Option<&Document> {
        self.open.get(uri)
    }

    /// The open document of a file of a tree.
    pub(super) fn by_path(&self, root: &Path, path: &str) -> Option<(&Uri, &Document)> {
        self.open.iter().find(|(_, document)| document.root == root && document.path == path)
    }

    /// Whether a document still has the text that it had at a revision.
    pub(super) fn is_at(&self, uri: &Uri, revision: u64) -> bool {
        self.get(uri).is_some_and(|document| document.revision == revision)
    }

    /// Takes a document that was opened.
    ///
    /// # Errors
    /// What is wrong with it; it is as if it were not open.
    pub(super) fn open(&mut self, item: TextDocumentItem) -> Result<(), String> {
        let TextDocumentItem { uri, version, text, .. } = item;
        self.close(&uri);
        self.has_room(text.len())?;
        let (root, path) = self.place(&uri);
        let document =
            Document { version, revision: self.n_revisions, text: Text::new(text), root, path };
        self.n_revisions += 1;
        self.open.insert(uri, document);
        Ok(())
    }

    /// Makes the changes, one after the other.
    ///
    /// # Errors
    /// What is wrong with the result; the document is then as if it were not open.
    pub(super) fn change(&mut self, params: DidChangeTextDocumentParams) -> Result<(), String> {
        let uri = params.text_document.text_document_identifier.uri;
        let Some(mut document) = self.open.remove(&uri) else { return Ok(()) };
        document.version = params.text_document.version;
        document.revision = self.n_revisions;
        self.n_revisions += 1;
        for change in params.content_changes {
            use TextDocumentContentChangeEvent as Event;
            match change {
                Event::TextDocumentContentChangePartial(part) => {
                    let bytes = document.text.bytes(part.range, self.encoding);
                    document.text.replace(bytes, &part.text);
                }
                Event::TextDocumentContentChangeWholeDocument(whole) => {
                    document.text = Text::new(whole.text);
                }
            }
            self.has_room(document.text.as_str().len())?;
        }
        self.open.insert(uri, document);
        Ok(())
    }

    pub(super) fn close(&mut self, uri: &Uri) {
        self.open.remove(uri);
    }

    fn has_room(&self, n_bytes: usize) -> Result<(), String> {
        let all: usize = self.open.values().map(|document| document.text.as_str().len()).sum();
        if n_bytes as u64 > FILE_BYTES_MAX {
            return Err(format!(
                "a document of {n_bytes} bytes; at most {FILE_BYTES_MAX} are looked at"
            ));
        }
        if all + n_bytes > ALL_BYTES_MAX || self.open.len() >= DOCUMENTS_MAX {
            return Err("too much is open; close something".to_owned());
        }
        Ok(())
    }

    /// The tree of a document, and the path in it. The file need not exist yet.
    fn place(&self, uri: &Uri) -> (PathBuf, String) {
        let file = path_of(uri);
        let parent = file.as_deref().and_then(|file| file.parent()?.canonicalize().ok());
        let workspace = parent.as_deref().and_then(|parent| Workspace::discover(parent).ok());
        if let (Some(file), Some(parent), Some(workspace)) = (file, parent, workspace) {
            let real = parent.join(file.file_name().unwrap_or_default());
            let inside = real.strip_prefix(workspace.root()).ok().and_then(Path::to_str);
            if let Some(path) = inside {
                return (workspace.root().to_owned(), path.to_owned());
            }
        }
        let name = uri.0.rsplit(['/', ':']).next().unwrap_or_default();
        (self.root(), name.to_owned())
    }

    /// The tree of the first folder.
    pub(super) fn root(&self) -> PathBuf {
        let folder = self.folders.first().cloned();
        let folder = folder.or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        Workspace::discover(&folder).map_or(folder, |workspace| workspace.root().to_owned())
    }
}

/// The file that a URI names, if it names one.
pub(super) fn path_of(uri: &Uri) -> Option<PathBuf> {
    Url::parse(&uri.0).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_document_belongs_to_the_tree_around_it() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        for tree in ["one/.git", "two/.git", "two/src"] {
            fs::create_dir_all(dir.join(tree)).unwrap();
        }
        let mut documents = Documents::new();
        documents.folders = vec![dir.join("two/src"), dir.join("one")];
        let uri = |path: &str| Uri(Url::from_file_path(dir.join(path)).unwrap().into());
        let (root, path) = (|tree: &str| dir.join(tree), str::to_owned);
        assert_eq!(documents.place(&uri("one/a b.py")), (root("one"), path("a b.py")));
        assert_eq!(documents.place(&uri("two/src/c.py")), (root("two"), path("src/c.py")));
        let untitled = documents.place(&Uri::from("untitled:Untitled-1"));
        assert_eq!(untitled, (root("two"), path("Untitled-1")), "the tree of the first folder");
        assert_eq!(documents.place(&uri("gone/d.py")), (root("two"), path("d.py")));
    }
}
