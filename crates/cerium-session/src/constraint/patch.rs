//! Patches that fit: what they quote was shown, in its order, and what they add has an end.

use super::grammar::literal;
use crate::guide::Look;
use std::fmt::Write as _;

/// Most lines that are added in one place, and most of a new file.
const ADDED_MAX: usize = 80;
const NEW_MAX: usize = 400;

/// A grammar of patches to one of the files that were shown, or of one new file where none was.
///
/// A hunk begins with a line that was shown, goes on with the lines that follow it, kept or removed, and may add
/// lines behind each; the next hunk begins further down. So a patch always fits and always ends.
pub(super) fn grammar(looks: &[Look]) -> String {
    let mut lark = String::from("start: \"*** Begin Patch\" LF file \"*** End Patch\"\n");
    if looks.is_empty() {
        // A name without a root stays in the tree.
        let _ = writeln!(
            lark,
            "file: \"*** Add File: \" /[A-Za-z0-9_][A-Za-z0-9_.\\/-]*/ LF added{{1,{NEW_MAX}}}"
        );
    } else {
        let files: Vec<String> = (0..looks.len()).map(|n| format!("file_{n}")).collect();
        let _ = writeln!(lark, "file: {}", files.join(" | "));
    }
    for (n, look) in looks.iter().enumerate() {
        let names: Vec<String> = look.names.iter().map(|name| literal(name)).collect();
        let _ =
            writeln!(lark, "file_{n}: \"*** Update File: \" ({}) LF hunk_{n}_0", names.join(" | "));
        for (i, line) in look.lines.iter().enumerate() {
            let (line, next) = (literal(line), i + 1);
            let is_last = next == look.lines.len();
            let skip = if is_last { String::new() } else { format!(" | from_{n}_{next}") };
            let rest = if is_last {
                String::new()
            } else {
                format!(" (quote_{n}_{next} | hunk_{n}_{next})?")
            };
            let _ = writeln!(
                lark,
                "hunk_{n}_{i}: \"@@\" LF from_{n}_{i}\nfrom_{n}_{i}: quote_{n}_{i}{skip}\n\
                 quote_{n}_{i}: (\"-\" | \" \") {line} LF adds{rest}"
            );
        }
    }
    // What begins with three asterisks would be read as a head.
    let _ = writeln!(
        lark,
        "adds: added{{0,{ADDED_MAX}}}\nadded: \"+\" /(\\*{{0,2}}[^*\\n][^\\n]{{0,400}}|\\*{{0,2}})/ LF\n\
         %import common.LF"
    );
    lark
}
