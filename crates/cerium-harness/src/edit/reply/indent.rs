//! Putting an answer back to the indentation of the code it replaces.

use super::aligned;

/// Shifts an answer whose indentation is off as a whole; converts spaces to tabs, or back, when the
/// old code knows only the other.
pub(super) fn fitted(lines: Vec<String>, old: &[String]) -> Vec<String> {
    let lines = converted(lines, old);
    let (Some(base_old), Some(base_new)) = (base(old), base(&lines)) else { return lines };
    if base_old == base_new {
        return lines;
    }
    if let Some(fixed) = first_line_fixed(&lines, old, base_old) {
        return fixed;
    }
    // Lines that are otherwise equal tell by how much; they must agree, or there must be none.
    let shift = |(o, n): &(usize, usize)| width(&old[*o]) as i64 - width(&lines[*n]) as i64;
    let pairs: Vec<(usize, usize)> =
        aligned(old, &lines).into_iter().filter(|&(o, _)| !old[o].trim().is_empty()).collect();
    let wanted = base_old as i64 - base_new as i64;
    let n_agree = pairs.iter().filter(|pair| shift(pair) == wanted).count();
    if n_agree * 3 < pairs.len() * 2 {
        return lines;
    }
    let unit = if uses_tabs(old) { '\t' } else { ' ' };
    lines.into_iter().map(|line| shifted(&line, wanted, unit)).collect()
}

/// The answer with its first line put in place, when that line alone has lost its indentation.
fn first_line_fixed(lines: &[String], old: &[String], base_old: usize) -> Option<Vec<String>> {
    let at = lines.iter().position(|line| !line.trim().is_empty())?;
    let first_old = old.iter().find(|line| !line.trim().is_empty())?;
    let rest = base(&lines[at + 1..])?;
    let lost = width(&lines[at]) < base_old && width(first_old) == base_old && rest >= base_old;
    // Were the whole answer shifted, the rest would lie as far left of its place.
    let rest_old = old.iter().skip(1).filter(|line| !line.trim().is_empty()).map(|l| width(l));
    let shifted_whole = rest_old.min().is_some_and(|w| w > rest);
    (lost && !shifted_whole).then(|| {
        let mut fixed = lines.to_vec();
        fixed[at] = format!("{}{}", &first_old[..base_old], lines[at].trim_start());
        fixed
    })
}

/// The line moved right (or left, as far as it goes) by some columns.
pub(crate) fn shifted(line: &str, columns: i64, unit: char) -> String {
    let text = line.trim_start();
    if text.is_empty() {
        return String::new();
    }
    if columns >= 0 {
        return format!("{}{line}", unit.to_string().repeat(columns as usize));
    }
    let cut = columns.unsigned_abs().min(width(line) as u64) as usize;
    line[cut..].to_owned()
}

/// Bytes of white space before the text.
pub(crate) fn width(line: &str) -> usize {
    line.bytes().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

/// The smallest indentation of any line with text.
pub(crate) fn base<S: AsRef<str>>(lines: &[S]) -> Option<usize> {
    let with_text = lines.iter().map(AsRef::as_ref).filter(|line| !line.trim().is_empty());
    with_text.map(width).min()
}

fn uses_tabs(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with('\t'))
}

fn uses_spaces(lines: &[String]) -> bool {
    lines.iter().any(|line| line.starts_with(' '))
}

fn converted(lines: Vec<String>, old: &[String]) -> Vec<String> {
    let (tabs, spaces) = (uses_tabs(old), uses_spaces(old));
    if tabs && !spaces && uses_spaces(&lines) && !uses_tabs(&lines) {
        let steps = lines.iter().filter(|line| !line.trim().is_empty()).map(|line| width(line));
        let unit = steps.filter(|&w| w > 0).min().unwrap_or(4).clamp(2, 8);
        let to_tabs = |line: String| {
            let w = width(&line);
            format!("{}{}{}", "\t".repeat(w / unit), " ".repeat(w % unit), &line[w..])
        };
        return lines.into_iter().map(to_tabs).collect();
    }
    if spaces && !tabs && uses_tabs(&lines) && !uses_spaces(&lines) {
        let unit = old.iter().map(|line| width(line)).filter(|&w| w > 0).min().unwrap_or(4);
        let unit = if unit % 4 == 0 { 4 } else { unit.clamp(2, 8) };
        let to_spaces = |line: String| {
            let w = width(&line);
            format!("{}{}", " ".repeat(w * unit), &line[w..])
        };
        return lines.into_iter().map(to_spaces).collect();
    }
    lines
}
