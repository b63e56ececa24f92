//! Points in a text: `FILE:LINE:COL` as people and editors write them, and the byte they mean.

use super::CompleteError;
use std::path::PathBuf;

/// A place between two characters of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// 1-based. The line after a final line feed counts, so that one can write at the end.
    pub line: usize,
    /// 1-based, in characters (Unicode scalar values, a tab is one): 1 is before the first
    /// character of the line, its number of characters plus 1 is after the last.
    pub column: usize,
}

/// Reads `FILE:LINE:COL`. The file's name may hold colons itself.
///
/// # Errors
/// `BadPlace` when there is no file name or the last two parts are not positive numbers.
pub fn parse_place(text: &str) -> Result<(PathBuf, Point), CompleteError> {
    let bad = || CompleteError::BadPlace { given: text.to_owned() };
    let mut parts = text.rsplitn(3, ':');
    let mut number = || parts.next()?.parse().ok().filter(|&n: &usize| n > 0);
    let column = number().ok_or_else(bad)?;
    let line = number().ok_or_else(bad)?;
    let file = parts.next().filter(|file| !file.is_empty()).ok_or_else(bad)?;
    Ok((PathBuf::from(file), Point { line, column }))
}

impl Point {
    /// The point at a byte offset of a text.
    ///
    /// # Panics
    /// If the offset is not between two characters of the text.
    pub fn at(text: &str, offset: usize) -> Self {
        let before = &text[..offset];
        let line_before = &before[before.rfind('\n').map_or(0, |at| at + 1)..];
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        Self { line, column: line_before.chars().count() + 1 }
    }

    /// Byte offset of the point in a text.
    ///
    /// # Errors
    /// `NoSuchLine`, `NoSuchColumn`.
    pub fn offset(self, text: &str) -> Result<usize, CompleteError> {
        let n_lines = text.split('\n').count();
        let index = self.line.wrapping_sub(1);
        let line = text
            .split('\n')
            .nth(index)
            .ok_or(CompleteError::NoSuchLine { line: self.line, n_lines })?;
        let start: usize = text.split_inclusive('\n').take(index).map(str::len).sum();
        let line = line.strip_suffix('\r').unwrap_or(line);
        let n_chars = line.chars().count();
        let column = self.column.wrapping_sub(1);
        if column > n_chars {
            let (line, column) = (self.line, self.column);
            return Err(CompleteError::NoSuchColumn { line, column, column_max: n_chars + 1 });
        }
        let within = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
        Ok(start + within)
    }
}
