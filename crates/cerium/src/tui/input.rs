//! The line that is typed: text with a cursor, several lines if need be, and what was typed before.

use crate::output::steers;
use unicode_segmentation::UnicodeSegmentation;

/// Longest text, in bytes. More is a file, and files are named.
const BYTES_MAX: usize = 64 << 10;
/// Lines remembered.
const HISTORY_MAX: usize = 200;

/// The text being typed.
#[derive(Debug, Default)]
pub(super) struct Input {
    text: String,
    /// Byte of the text, at a boundary of graphemes.
    cursor: usize,
    history: Vec<String>,
    /// The line of the history that is shown, and what was being typed before it was.
    recalled: Option<(usize, String)>,
}

impl Input {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn cursor(&self) -> usize {
        self.cursor
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Puts text in at the cursor; false when it is too much and was left out.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        let text = plain(text);
        if self.text.len() + text.len() > BYTES_MAX {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        true
    }

    /// Puts text in the place of what stands between a byte and the cursor.
    pub(super) fn replace(&mut self, start: usize, text: &str) {
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
        self.insert(text);
    }

    /// Takes the text and remembers it.
    pub(super) fn take(&mut self) -> String {
        self.recalled = None;
        self.cursor = 0;
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
            if self.history.len() > HISTORY_MAX {
                self.history.remove(0);
            }
        }
        text
    }

    pub(super) fn clear(&mut self) {
        self.set(String::new());
        self.recalled = None;
    }

    fn set(&mut self, text: String) {
        self.cursor = text.len();
        self.text = text;
    }

    pub(super) fn backspace(&mut self) {
        self.erase_to(self.before());
    }

    pub(super) fn delete(&mut self) {
        let end = self.after();
        self.text.replace_range(self.cursor..end, "");
    }

    pub(super) fn erase_word(&mut self) {
        self.erase_to(self.word_before());
    }

    pub(super) fn erase_to_line_start(&mut self) {
        self.erase_to(self.line_start());
    }

    pub(super) fn erase_to_line_end(&mut self) {
        let end = self.line_end().max(self.after().min(self.line_end() + 1));
        self.text.replace_range(self.cursor..end, "");
    }

    fn erase_to(&mut self, start: usize) {
        self.text.replace_range(start..self.cursor, "");
        self.cursor = start;
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(super) fn word_left(&mut self) {
        self.cursor = self.word_before();
    }

    pub(super) fn word_right(&mut self) {
        let rest = &self.text[self.cursor..];
        let word = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let end = rest[word..].find(char::is_whitespace).unwrap_or(rest.len() - word);
        self.cursor += word + end;
    }

    pub(super) fn line_begin(&mut self) {
        self.cursor = self.line_start();
    }

    pub(super) fn line_finish(&mut self) {
        self.cursor = self.line_end();
    }

    /// A line up in the text; in its first line, the line typed before.
    pub(super) fn up(&mut self) {
        let start = self.line_start();
        if start > 0 {
            let column = self.text[start..self.cursor].graphemes(true).count();
            self.cursor = start - 1;
            self.go_to_column(column);
            return;
        }
        let at = self.recalled.as_ref().map_or(self.history.len(), |(at, _)| *at);
        let Some(at) = at.checked_sub(1) else { return };
        self.recall(at);
    }

    /// A line down; in the last one, the line typed after the one shown.
    pub(super) fn down(&mut self) {
        let end = self.line_end();
        if end < self.text.len() {
            let column = self.text[self.line_start()..self.cursor].graphemes(true).count();
            self.cursor = end + 1;
            self.go_to_column(column);
            return;
        }
        match self.recalled.take() {
            Some((at, typed)) if at + 1 < self.history.len() => {
                self.recalled = Some((at, typed));
                self.recall(at + 1);
            }
            Some((_, typed)) => self.set(typed),
            None => {}
        }
    }

    fn recall(&mut self, at: usize) {
        let text = self.history[at].clone();
        let typed = match self.recalled.take() {
            Some((_, typed)) => typed,
            None => std::mem::take(&mut self.text),
        };
        self.recalled = Some((at, typed));
        self.set(text);
    }

    fn go_to_column(&mut self, column: usize) {
        let (start, end) = (self.line_start(), self.line_end());
        let line = &self.text[start..end];
        let at = line.grapheme_indices(true).nth(column).map_or(line.len(), |(at, _)| at);
        self.cursor = start + at;
    }

    fn before(&self) -> usize {
        let last = self.text[..self.cursor].grapheme_indices(true).next_back();
        last.map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let first = self.text[self.cursor..].graphemes(true).next();
        self.cursor + first.map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before.rfind(char::is_whitespace).map_or(0, |at| {
            let space = before[at..].chars().next().map_or(1, char::len_utf8);
            at + space
        })
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }
}

/// Text as it can be typed: line feeds, and no other characters that steer a terminal.
fn plain(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
    text.chars().filter(|c| !steers(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Input {
        let mut input = Input::default();
        assert!(input.insert(text));
        input
    }

    #[test]
    fn graphemes_are_erased_whole() {
        let mut input = typed("ae\u{301}👩‍👩‍👧");
        input.backspace();
        assert_eq!(input.text(), "ae\u{301}");
        input.left();
        input.delete();
        assert_eq!(input.text(), "a");
    }

    #[test]
    fn words_and_lines_are_erased() {
        let mut input = typed("one  two three");
        input.erase_word();
        assert_eq!(input.text(), "one  two ");
        input.erase_word();
        assert_eq!(input.text(), "one  ");
        let mut input = typed("one\ntwo");
        input.erase_to_line_start();
        assert_eq!(input.text(), "one\n");
        input.up();
        input.erase_to_line_end();
        assert_eq!(input.text(), "\n");
    }

    #[test]
    fn lines_come_back_and_what_was_being_typed_too() {
        let mut input = typed("first");
        assert_eq!(input.take(), "first");
        input.insert("second");
        input.take();
        input.insert("thi");
        input.up();
        assert_eq!(input.text(), "second");
        input.up();
        input.up();
        assert_eq!(input.text(), "first");
        input.down();
        input.down();
        assert_eq!(input.text(), "thi");
    }

    #[test]
    fn up_stays_in_a_text_of_several_lines() {
        let mut input = typed("older");
        input.take();
        input.insert("wide line\nab");
        input.up();
        assert_eq!(input.cursor(), 2);
        input.up();
        assert_eq!(input.text(), "older");
    }

    #[test]
    fn what_is_pasted_cannot_steer_the_terminal() {
        assert_eq!(typed("a\r\nb\rc\u{1b}[2J\td").text(), "a\nb\nc[2J    d");
        let mut input = typed("short");
        assert!(!input.insert(&"x".repeat(BYTES_MAX)));
        assert_eq!(input.text(), "short");
    }
}
