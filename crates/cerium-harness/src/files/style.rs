//! How new lines of a file are to look: as its other lines do, and where those do not tell, as the
//! project's `.editorconfig` asks (<https://spec.editorconfig.org>).

use super::Eol;
use crate::workspace::read_bytes;
use ec4rs::property::{EndOfLine, FinalNewline, IndentSize, IndentStyle, TabWidth, TrimTrailingWs};
use ec4rs::{ConfigParser, Properties, PropertiesSource};
use std::borrow::Cow;
use std::path::Path;

/// A larger `.editorconfig` is not read.
const CONFIG_BYTES_MAX: u64 = 64 << 10;

/// Blanks of a level of indentation when nothing says how many.
const WIDTH: usize = 4;

/// How new lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The ending they get.
    pub eol: Eol,
    /// What they are indented by, where only one kind may be used.
    indent: Option<Indent>,
    /// Whether blanks at their ends go.
    trim: bool,
    /// Whether an edit of the last line ends it, if it has no ending.
    pub(crate) final_newline: bool,
}

/// What a line is indented by; a level is so many blanks wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indent {
    Tabs(usize),
    Blanks(usize),
}

impl Style {
    /// The style of a file that holds `text`.
    ///
    /// * `root`: of the tree; `.editorconfig` files above it say nothing
    /// * `path`: of the file, relative to the root
    pub fn of(root: &Path, path: &str, text: &str) -> Self {
        let wanted = properties(root, path);
        let ending = match wanted.get::<EndOfLine>() {
            Ok(EndOfLine::CrLf) => Eol::CrLf,
            _ => Eol::Lf,
        };
        let eol = if text.contains('\n') { Eol::dominant(text) } else { ending };
        let width = match wanted.get::<IndentSize>() {
            Ok(IndentSize::Value(width)) => width,
            _ => match wanted.get::<TabWidth>() {
                Ok(TabWidth::Value(width)) => width,
                Err(_) => WIDTH,
            },
        };
        let width = width.clamp(1, 16);
        let begins = |start: &str| text.lines().any(|line| line.starts_with(start));
        // A file that is indented in another way goes on in its own.
        let indent = match wanted.get::<IndentStyle>() {
            Ok(IndentStyle::Tabs) if !begins("  ") => Some(Indent::Tabs(width)),
            Ok(IndentStyle::Spaces) if !begins("\t") => Some(Indent::Blanks(width)),
            _ => None,
        };
        Self {
            eol,
            indent,
            trim: matches!(wanted.get(), Ok(TrimTrailingWs::Value(true))),
            final_newline: matches!(wanted.get(), Ok(FinalNewline::Value(true))),
        }
    }

    /// That of a text of which nothing else is known.
    pub fn of_text(text: &str) -> Self {
        Self { eol: Eol::dominant(text), indent: None, trim: false, final_newline: false }
    }

    /// A new line, without its ending, as it should look.
    pub(crate) fn line<'l>(&self, line: &'l str) -> Cow<'l, str> {
        let line = if self.trim { line.trim_end() } else { line };
        let rest = line.trim_start_matches([' ', '\t']);
        let blanks = &line[..line.len() - rest.len()];
        match self.indent {
            Some(Indent::Tabs(width)) if blanks.contains(' ') => {
                let n = columns(blanks, width);
                // What does not fill a level lines something up.
                format!("{}{}{rest}", "\t".repeat(n / width), " ".repeat(n % width)).into()
            }
            Some(Indent::Blanks(width)) if blanks.contains('\t') => {
                format!("{}{rest}", " ".repeat(columns(blanks, width))).into()
            }
            _ => line.into(),
        }
    }
}

/// How wide leading white space is.
fn columns(blanks: &str, width: usize) -> usize {
    blanks.chars().fold(0, |at, c| if c == '\t' { (at / width + 1) * width } else { at + 1 })
}

/// What the `.editorconfig` files from the root down to the file's folder ask for it.
fn properties(root: &Path, path: &str) -> Properties {
    let file = root.join(path);
    let mut configs = Vec::new();
    for dir in file.ancestors().skip(1).take_while(|dir| dir.starts_with(root)) {
        let config = dir.join(".editorconfig");
        let Ok(bytes) = read_bytes(&config, CONFIG_BYTES_MAX) else { continue };
        let Ok(parser) = ConfigParser::new(bytes.as_slice()) else { continue };
        let is_root = parser.is_root;
        configs.push((dir.to_owned(), bytes));
        if is_root {
            break;
        }
    }
    let mut properties = Properties::new();
    // The nearest one has the last word.
    for (dir, bytes) in configs.iter().rev() {
        let Ok(parser) = ConfigParser::new(bytes.as_slice()) else { continue };
        let inside = file.strip_prefix(dir).unwrap_or(&file);
        // A section that cannot be read ends the file, as editors do it.
        for section in parser.map_while(Result::ok) {
            let _ = section.apply_to(&mut properties, inside);
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CONFIG: &str = "root = true\n[*]\nend_of_line = crlf\ninsert_final_newline = true\n\
                          trim_trailing_whitespace = true\n[*.{go,mk}]\nindent_style = tab\n\
                          indent_size = 4\n[*.py]\nindent_style = space\nindent_size = 2\n";

    fn style(path: &str, text: &str) -> Style {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sub/deep")).unwrap();
        fs::write(dir.path().join(".editorconfig"), CONFIG).unwrap();
        fs::write(dir.path().join("sub/.editorconfig"), "[deep/*.py]\nindent_size = 3\n").unwrap();
        Style::of(dir.path(), path, text)
    }

    #[test]
    fn new_lines_are_indented_as_is_asked() {
        assert_eq!(style("a.go", "x\n").line("        y  "), "\t\ty");
        assert_eq!(style("a.go", "\tx\n").line("\t  y"), "\t  y");
        assert_eq!(style("a.py", "x\n").line("\t\ty"), "    y");
        assert_eq!(style("sub/deep/a.py", "x\n").line("\ty"), "   y");
        assert_eq!(style("sub/a.py", "x\n").line("\ty"), "  y");
    }

    #[test]
    fn a_file_goes_on_in_its_own_way() {
        assert_eq!(style("a.go", "if x {\n    y\n}\n").line("        y"), "        y");
        assert_eq!(style("a.txt", "x\n").line("\t y"), "\t y");
        assert_eq!(style("a.txt", "x\ny\n").eol, Eol::Lf);
        assert_eq!(style("a.txt", "").eol, Eol::CrLf);
        assert!(style("a.txt", "x").final_newline);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let plain = Style::of_text("x");
        for config in [
            "[",
            "[*]\nindent_style = \u{0}\nindent_size = -9999999999\n",
            "[*",
            "=\n==",
            "[*]\nindent_size=99999999999999999999",
        ] {
            fs::write(dir.path().join(".editorconfig"), config).unwrap();
            assert_eq!(Style::of(dir.path(), "a", "x"), plain, "{config}");
        }
        fs::write(dir.path().join(".editorconfig"), "[{{{{*,*},*},*},*}]\n".repeat(900)).unwrap();
        assert_eq!(Style::of(dir.path(), "a", "x"), plain);
    }
}
