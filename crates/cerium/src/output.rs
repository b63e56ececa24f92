//! The one place that prints. Results go to standard output, everything for people to standard
//! error, so that a pipe always gets data and only data.

pub(crate) mod diff;
pub(crate) mod progress;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const RED: Style = AnsiColor::Red.on_default();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

/// How this run talks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// The result is one JSON object.
    pub(crate) json: bool,
    /// Nothing for people but errors.
    pub(crate) quiet: bool,
}

impl Output {
    /// Tells people something, on a line of its own.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        self.say(&format!("{}\n", text.as_ref()));
    }

    /// Tells people several things.
    pub(crate) fn notes(self, texts: &[String]) {
        for text in texts {
            self.note(text);
        }
    }

    /// Tells people something, as it is.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            to_stderr(text);
        }
    }

    /// Whether people watch standard error, so that text may come piece by piece and be redrawn.
    pub(crate) fn is_watched(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// Prints a piece of the result, as it is; colours are taken out unless a terminal wants them.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut stdout = AutoStream::auto(io::stdout().lock());
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("writing the result")
}

/// Whether the result goes to a terminal rather than to a program or a file.
pub(crate) fn is_shown() -> bool {
    io::stdout().is_terminal()
}

/// Prints the result as a JSON object on lines of its own.
pub(crate) fn object(value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("writing the result")?;
    text.push('\n');
    data(&text)
}

/// Whether there is somebody to be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Asks a question that is answered with yes or no; `Err(NoTerminal)` when nobody can be asked.
pub(crate) fn confirm(question: &str, default: bool) -> Result<bool, NoTerminal> {
    let choices = if default { "[Y/n]" } else { "[y/n]" };
    loop {
        match line(question, choices)?.as_deref() {
            None | Some("n" | "no") => return Ok(false),
            Some("y" | "yes") => return Ok(true),
            Some("") if default => return Ok(true),
            _ => {}
        }
    }
}

/// Asks a question that is answered with one of these letters, or a word that begins with it. The
/// end of the input means `n`.
pub(crate) fn letter(question: &str, letters: &str) -> Result<char, NoTerminal> {
    let choices: Vec<String> = letters.chars().map(String::from).collect();
    let choices = format!("[{}]", choices.join("/"));
    loop {
        let Some(answer) = line(question, &choices)? else { return Ok('n') };
        let first = answer.chars().next();
        let known = first.filter(|first| letters.contains(*first));
        // `what?` is no answer.
        let word = ["yes", "no", "some", "split", "all", "done"].contains(&answer.as_str());
        if let Some(letter) = known.filter(|_| answer.len() == 1 || word) {
            return Ok(letter);
        }
    }
}

/// Asks, and waits for a line in small letters; nothing at the end of the input.
fn line(question: &str, choices: &str) -> Result<Option<String>, NoTerminal> {
    if !can_ask() {
        return Err(NoTerminal);
    }
    ask(&format!("{BOLD}{question}{BOLD:#} {choices} "));
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => Ok(None),
        Ok(_) => Ok(Some(line.trim().to_lowercase())),
    }
}

/// Says that somebody has to say something, quiet or not: silence would look like a hang.
pub(crate) fn ask(text: &str) {
    to_stderr(text);
}

/// Nobody is there to be asked.
#[derive(Debug)]
pub(crate) struct NoTerminal;

/// Prints an error: its chain of causes on one line, then what would help.
pub(crate) fn error(error: &anyhow::Error, hint: Option<&str>) {
    let red = RED.bold();
    let mut text = format!("{red}error:{red:#} {}\n", chain(error));
    if let Some(hint) = hint {
        text = format!("{text}{CYAN}hint:{CYAN:#} {}\n", printable(hint));
    }
    to_stderr(&text);
}

/// `a: b: c`, from the outermost cause to the innermost; a cause that its wrapper has said already
/// is not said again.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{}", printable(&cause));
        }
    }
    text
}

fn to_stderr(text: &str) {
    // When even standard error is gone there is nobody left to tell.
    let _ = AutoStream::auto(io::stderr().lock()).write_all(text.as_bytes());
}

/// Text of files and models as a terminal may see it: what could move its cursor, change its title
/// or turn the direction of reading is replaced.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(steers) { text.replace(steers, "\u{fffd}").into() } else { text.into() }
}

/// The first line of a text, cut where a table would break.
pub(crate) fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 72;
    let line = text.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// Whether a character could move a terminal's cursor, change its title or turn the direction of reading.
pub(crate) fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number of bytes for people: three digits and a decimal unit.
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let decimals = usize::from(value < 10.0 && unit != "B");
            return format!("{value:.decimals$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_readable() {
        let cases = [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (98_362_432, "98 MB")];
        for (n, text) in cases {
            assert_eq!(bytes(n), text);
        }
        assert_eq!(bytes(1_117_320_768), "1.1 GB");
    }
}
