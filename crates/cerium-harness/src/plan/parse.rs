//! Reading steps out of what a model wrote, whatever it wrote around them.
//!
//! Asked for is a numbered list with `file:`, `symbol:` and `detail:` lines below each title. Read
//! is also a list with headings, bold titles, bullets, other names for the fields, prose in place
//! of fields, and chatter before and after. Nothing here knows the tree.

use super::step::{N_STEPS_MAX, StepFile};

/// Words of the form that small models copy: they say nothing.
const FORM_TITLE: &str = "Title of the step";
const FORM_DETAIL: &str = ", in one or two sentences";

/// Longest title, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// Longest detail, in bytes.
const DETAIL_BYTES_MAX: usize = 2_000;
/// Longest command, in bytes.
const RUN_BYTES_MAX: usize = 1_000;
/// Files named by one step at most.
const N_FILES_MAX: usize = 8;

/// A step as a model wrote it, its files and symbol unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The number it was given, when it had one.
    pub number: Option<usize>,
    /// First line, without markup.
    pub title: String,
    /// From `file:` lines; those in prose are not here, and which of them are new is not known.
    pub files: Vec<StepFile>,
    /// From a `symbol:` line.
    pub symbol: Option<String>,
    /// From a `run:` line.
    pub run: Option<String>,
    /// The rest.
    pub detail: String,
}

/// Reads the steps of a reply, at most twelve. A reply without numbers is read by its bullets.
pub fn drafts(reply: &str) -> Vec<Draft> {
    let numbered = read(reply, numbered_item);
    let drafts = if numbered.is_empty() { read(reply, bullet_item) } else { numbered };
    let mut kept: Vec<Draft> = Vec::new();
    for draft in drafts.into_iter().map(without_form) {
        // Small models say a step twice before they stop.
        let same = |old: &Draft| old.title == draft.title && old.files == draft.files;
        if !draft.title.is_empty() && !kept.iter().any(same) && kept.len() < N_STEPS_MAX {
            kept.push(draft);
        }
    }
    kept
}

/// The step in its own words: what it changes is its title where that is the form's.
fn without_form(mut draft: Draft) -> Draft {
    draft.detail = draft.detail.replace(FORM_DETAIL, "");
    if let Some(rest) = draft.title.strip_prefix(FORM_TITLE) {
        let own = rest.trim_start_matches([':', ' ', '-']);
        let sentence = draft.detail.split_once(". ").map_or(&*draft.detail, |(first, _)| first);
        draft.title = begin(None, if own.is_empty() { sentence } else { own }).title;
    }
    draft
}

/// Reads the lines; `item` tells where a step begins: its number and title.
fn read(reply: &str, item: impl Fn(&str) -> Option<(Option<usize>, &str)>) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut after_blank = false;
    for line in reply.lines() {
        if line.trim().is_empty() || line.trim_start().starts_with("```") {
            after_blank = true;
            continue;
        }
        if let Some((number, title)) = item(line) {
            drafts.push(begin(number, title));
        } else if let Some(draft) = drafts.last_mut() {
            let indented =
                line.starts_with([' ', '\t']) || line.trim_start().starts_with(['-', '*']);
            // Prose at the margin after a blank line has left the list, unless a step lacks words.
            if let Some((field, value)) = field(line) {
                fill(draft, field, value);
            } else if indented || !after_blank || draft.detail.is_empty() && draft.files.is_empty()
            {
                add_detail(draft, &plain(line.trim_start_matches(BULLETS)));
            }
        }
        after_blank = false;
    }
    drafts
}

const BULLETS: &[char] = &[' ', '\t', '-', '*', '+', '•', '>'];

/// `3. Title`, `3) Title`, `### Step 3: Title`, `**3.** Title`, at most a little indented.
fn numbered_item(line: &str) -> Option<(Option<usize>, &str)> {
    if line.len() - line.trim_start().len() > 3 {
        return None;
    }
    let rest = line.trim_start_matches([' ', '#', '*', '-', '_']);
    let worded = ["Step ", "step ", "STEP "].iter().find_map(|word| rest.strip_prefix(word));
    let rest = worded.unwrap_or(rest);
    let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=2).contains(&n_digits) {
        return None;
    }
    let number = rest[..n_digits].parse().ok()?;
    let rest = rest[n_digits..].trim_start_matches('*');
    let title = match rest.strip_prefix(['.', ')', ':']) {
        Some(title) if title.is_empty() || title.starts_with([' ', '*', '\t']) => title,
        None if worded.is_some() => rest.trim_start().trim_start_matches(['-', '–', '—']),
        _ => return None,
    };
    Some((Some(number), title))
}

/// `- Title` or `* Title` at the margin.
fn bullet_item(line: &str) -> Option<(Option<usize>, &str)> {
    let rest = ["- ", "* ", "• "].iter().find_map(|mark| line.strip_prefix(mark))?;
    if field(rest).is_some() { None } else { Some((None, rest)) }
}

/// Begins a step: `**Title**: detail` and an over-long first line give up their rest as detail.
fn begin(number: Option<usize>, line: &str) -> Draft {
    let line = line.trim().trim_start_matches(':').trim();
    let bold = line.strip_prefix("**").and_then(|rest| rest.split_once("**"));
    let (title, rest) = match bold {
        Some((title, rest)) => (title, rest.trim_start_matches([':', ' ', '-', '–', '—'])),
        None if line.chars().count() <= TITLE_CHARS_MAX => (line, ""),
        None => line.split_once(". ").or_else(|| line.split_once(": ")).unwrap_or((line, "")),
    };
    let title = plain(title.trim_end_matches(':'));
    let (title, over) = match title.char_indices().nth(TITLE_CHARS_MAX) {
        Some((at, _)) => {
            let at = title[..at].rfind(' ').unwrap_or(at);
            (title[..at].to_owned(), title[at..].to_owned())
        }
        None => (title, String::new()),
    };
    let mut draft = Draft { number, title, ..Draft::default() };
    add_detail(&mut draft, &over);
    add_detail(&mut draft, &plain(rest));
    draft
}

/// What a `name: value` line below a title says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    File,
    Run,
    Symbol,
    Detail,
    Title,
}

fn field(line: &str) -> Option<(Field, &str)> {
    let line = line.trim_start_matches(BULLETS);
    let (name, value) = line.split_once(':')?;
    let name = name.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    let field = match name.as_str() {
        "file" | "files" | "path" | "paths" | "file(s" | "location" => Field::File,
        "symbol" | "symbols" | "function" | "class" | "method" | "struct" | "type" => Field::Symbol,
        "run" | "command" => Field::Run,
        "detail" | "details" | "description" | "change" | "changes" | "what" | "action" | "how" => {
            Field::Detail
        }
        "title" | "name" => Field::Title,
        _ => return None,
    };
    Some((field, value.trim_start_matches('*').trim()))
}

fn fill(draft: &mut Draft, field: Field, value: &str) {
    match field {
        Field::File => {
            let mut renamed = false;
            for word in value.split([',', ' ', ';']) {
                let name = word.trim_matches(MARKUP);
                let lower = name.to_ascii_lowercase();
                let (n, last) = (draft.files.len(), draft.files.last_mut());
                let arrow = matches!(word, "->" | "=>" | "\u{2192}");
                if arrow || matches!(lower.as_str(), "rename" | "renamed" | "move" | "moved") {
                    renamed = true;
                } else if matches!(lower.as_str(), "delete" | "deleted" | "remove" | "removed") {
                    if let Some(file) = last {
                        file.delete = true;
                    }
                } else if !name.contains(['.', '/']) && !is_file_name(name) {
                    // `to`, `and`, `(new)`.
                } else if let Some(file) = last.filter(|_| renamed) {
                    file.rename = Some(name.to_owned());
                    renamed = false;
                } else if n < N_FILES_MAX {
                    draft.files.push(StepFile::at(name));
                }
            }
        }
        Field::Symbol => {
            let first = value.split([',', ' ']).next().unwrap_or_default();
            let name = first.split('(').next().unwrap_or_default().trim_matches(MARKUP);
            let none =
                ["", "none", "n/a", "-", "null"].contains(&name.to_ascii_lowercase().as_str());
            if !none && draft.symbol.is_none() {
                draft.symbol = Some(name.to_owned());
            }
        }
        Field::Run => {
            let line = value.trim().trim_matches('`');
            let short = (1..=RUN_BYTES_MAX).contains(&line.len());
            draft.run = draft.run.take().or(short.then(|| line.to_owned()));
        }
        Field::Title if draft.title.is_empty() => draft.title = plain(value),
        Field::Title | Field::Detail => add_detail(draft, &plain(value)),
    }
}

/// What may stand around a path or name.
const MARKUP: &[char] = &['`', '"', '\'', '*', '(', ')', '[', ']', '<', '>'];

fn is_file_name(word: &str) -> bool {
    matches!(word, "Makefile" | "Dockerfile" | "Justfile")
}

fn add_detail(draft: &mut Draft, text: &str) {
    if text.is_empty() || draft.detail.len() + text.len() > DETAIL_BYTES_MAX {
        return;
    }
    if !draft.detail.is_empty() {
        draft.detail.push(' ');
    }
    draft.detail.push_str(text);
}

/// Text without bold marks, and with single blanks.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace("**", "").trim().to_owned()
}
