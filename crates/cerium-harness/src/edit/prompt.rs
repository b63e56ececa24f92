//! From a scope to the request for a model: what it is shown, and how its answer begins.
//!
//! The order is for caches: the system text never changes, what is shown of the file comes next,
//! the instruction last.

use super::reply::{Expected, PLACE, Part, fence_for, marker};
use super::scope::{Region, Scope};
use super::strategy::{Format, Strategy};
use super::view::View;
use super::written::Written;
use crate::guide;
use crate::lines::LineSpan;
use crate::syntax::{Language, outline, render_outline};
use cerium_protocol::{CreateResponse, Extensions, Input, Item, PromptPart, Role, TextFormat};
use std::fmt::Write;

/// The part of a prompt that comes last and is not known beforehand.
const INSTRUCTION: &str = "instruction";

/// Lines of the file on either side of a region that an answer may repeat by mistake.
const SURROUNDINGS_LINES: usize = 60;

/// What a model is asked, and what its answer is read against.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    /// Absent for whole files: what the model was trained to hear then serves it best.
    pub(crate) system: Option<String>,
    pub(crate) user: String,
    /// What its parts are, by the bytes at which they begin.
    parts: Vec<(usize, &'static str)>,
    /// How the answer begins: its fence, and lines that are sure to stay.
    pub(crate) prefix: String,
    pub(crate) stop: Vec<String>,
    pub(crate) expected: Expected,
    /// Regions shown, in order.
    pub(crate) regions: Vec<Region>,
    /// Indentation taken off every line of a region before it was shown.
    pub(crate) dedents: Vec<String>,
    /// Everything that has to be written again, as it stands now.
    pub(crate) shown: String,
    /// The same as it will probably be.
    predicted: String,
    /// The line before each region, if there is one.
    heads: Vec<Option<String>>,
    /// What opens and closes its blocks.
    pub(crate) fence: String,
}

/// An answer that could not be used, and what to say about it.
#[derive(Clone, Debug)]
pub(crate) struct Earlier {
    pub(crate) reply: String,
    pub(crate) problem: String,
}

/// Builds the prompt for some regions of a file.
///
/// * `guide`: what the project asks of changes; without it the prompt says nothing of it
pub(crate) fn build(
    view: &View<'_>,
    path: &str,
    guide: Option<&str>,
    regions: &[Region],
    instruction: &str,
    comments_may_go: bool,
    strategy: &Strategy,
) -> Prompt {
    let mut parts = Vec::new();
    let mut dedents = Vec::new();
    for region in regions {
        let (part, dedent) = part(view, region.lines, strategy.dedent);
        parts.push(part);
        dedents.push(dedent);
    }
    let comment = view.language.map_or(("# ", ""), Language::comment);
    let several = parts.len() > 1 && strategy.format != Format::SearchReplace;
    let head = |i: usize| match (several, i) {
        (true, _) => Some(marker(comment, i + 1)),
        (false, 0) => None,
        (false, _) => Some(format!("{}...{}", comment.0, comment.1)),
    };
    let heads: Vec<Option<String>> = (0..parts.len()).map(head).collect();
    let shown = laid_out(&heads, parts.iter().map(|part| part.old.clone()));
    let context = context(view, regions, strategy);
    let fence = fence_for(&[shown.as_slice(), context.as_slice()].concat());
    let tag = view.language.map_or("", Language::tag);
    let shown = shown.join("\n");

    let whole = match regions {
        [region] => region.lines == LineSpan::new(1, view.lines.count()),
        _ => false,
    };
    let whole = whole && strategy.format != Format::SearchReplace;
    let block = format!("{fence}{tag}\n{shown}\n{fence}");
    let (mut user, mut cuts) = begun(guide);
    cuts.push((user.len(), "file"));
    if whole {
        user.push_str(&whole_file(path, &block));
        cuts.push((user.len(), INSTRUCTION));
        user.push_str(&whole_file_end(instruction));
    } else {
        let _ = writeln!(user, "File: {path}");
    }
    if strategy.outline
        && let Some(parsed) = &view.parsed
    {
        cuts.push((user.len(), "outline"));
        let _ = write!(user, "\nOutline of the file:\n{}", render_outline(&outline(parsed)));
    }
    if !context.is_empty() {
        cuts.push((user.len(), "code around the scope"));
        let _ = write!(
            user,
            "\nThe code around it, only for you to know:\n{fence}{tag}\n{}\n{fence}\n",
            context.join("\n")
        );
    }
    if !whole {
        cuts.push((user.len(), "scope"));
        let _ = write!(user, "\nThe code to edit:\n{block}\n");
        cuts.push((user.len(), INSTRUCTION));
        let _ = write!(user, "\nInstruction: {}\n", instruction.trim());
    }

    let mut prefix = String::new();
    let fenced = strategy.start_in_fence && strategy.format != Format::SearchReplace;
    if fenced {
        let _ = writeln!(prefix, "{fence}{tag}");
        if several {
            let _ = writeln!(prefix, "{}", marker(comment, 1));
        }
        let n_fixed = regions.first().map_or(0, |region| region.n_fixed);
        if strategy.keep_head {
            for line in parts.first().iter().flat_map(|part| &part.old).take(n_fixed) {
                let _ = writeln!(prefix, "{line}");
            }
        }
    }
    let own = || (!whole).then(|| system(strategy.format, several));
    let system = strategy.system.clone().or_else(own);
    let expected = Expected { format: strategy.format, parts, cut: false, comments_may_go };
    Prompt {
        system,
        user,
        parts: cuts,
        prefix,
        // Without a given beginning the first fence may be one that opens.
        stop: if fenced { vec![format!("\n{fence}")] } else { Vec::new() },
        expected,
        regions: regions.to_vec(),
        dedents,
        predicted: shown.clone(),
        shown,
        heads,
        fence,
    }
}

/// How a request begins, and its part: with what the project asks of changes.
fn begun(guide: Option<&str>) -> (String, Vec<(usize, &'static str)>) {
    let Some(guide) = guide else { return (String::new(), Vec::new()) };
    (format!("{}\n\n", guide::conventions(guide)), vec![(0, "AGENTS.md")])
}

/// Builds the prompt for a file that is not there yet.
///
/// * `view`: of the empty text
/// * `related`: excerpts of the tree
pub(crate) fn new_file(
    view: &View<'_>,
    path: &str,
    guide: Option<&str>,
    related: &str,
    instruction: &str,
    strategy: &Strategy,
) -> Prompt {
    let (mut user, mut cuts) = begun(guide);
    if !related.is_empty() {
        cuts.push((user.len(), "excerpts"));
        let _ = write!(user, "Excerpts of this project:\n\n{related}\n");
    }
    cuts.push((user.len(), INSTRUCTION));
    let _ = write!(
        user,
        "Write the new file `{path}`.\n\n{}\n\nReply with the whole file in one code block and \
         nothing else.",
        instruction.trim()
    );
    let fence = fence_for(&related.lines().collect::<Vec<_>>());
    let tag = view.language.map_or("", Language::tag);
    let prefix = if strategy.start_in_fence { format!("{fence}{tag}\n") } else { String::new() };
    Prompt {
        system: strategy.system.clone(),
        user,
        parts: cuts,
        stop: if prefix.is_empty() { Vec::new() } else { vec![format!("\n{fence}")] },
        prefix,
        expected: Expected {
            format: Format::Rewrite,
            parts: vec![Part::default()],
            cut: false,
            comments_may_go: true,
        },
        regions: Scope::whole(view).regions,
        dedents: vec![String::new()],
        shown: String::new(),
        predicted: String::new(),
        heads: vec![None],
        fence,
    }
}

/// The lines of all regions, each behind its head.
fn laid_out(heads: &[Option<String>], regions: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    heads
        .iter()
        .zip(regions)
        .flat_map(|(head, lines)| head.clone().into_iter().chain(lines))
        .collect()
}

impl Prompt {
    /// The request as the protocol has it.
    pub(crate) fn request(
        &self,
        model: &str,
        earlier: Option<&Earlier>,
        max_output_tokens: u32,
        strategy: &Strategy,
    ) -> CreateResponse {
        let part = |item, byte, name: &str| PromptPart { item, byte, name: name.to_owned() };
        let mut parts: Vec<PromptPart> =
            self.parts.iter().map(|&(byte, name)| part(0, byte, name)).collect();
        let mut items = vec![Item::message(Role::User, &self.user)];
        if let Some(earlier) = earlier {
            let reply = earlier.reply.trim_end();
            let closed = reply.ends_with(&self.fence) || !reply.contains(&self.fence);
            let end = if closed { String::new() } else { format!("\n{}", self.fence) };
            parts.extend([part(1, 0, "first answer"), part(2, 0, "what was wrong with it")]);
            items.push(Item::message(Role::Assistant, format!("{reply}{end}")));
            items.push(Item::message(
                Role::User,
                format!("That cannot be used: {}. Answer again, complete.", earlier.problem),
            ));
        }
        // Search texts are bound to what is there, unless that looks like blocks itself.
        let format = match self.expected.format {
            Format::SearchReplace if !self.expected.parts.iter().any(Part::looks_like_blocks) => {
                let source = |part: &Part| part.old.join("\n");
                TextFormat::SearchReplace {
                    sources: self.expected.parts.iter().map(source).collect(),
                }
            }
            _ => TextFormat::Text,
        };
        CreateResponse {
            instructions: self.system.clone(),
            format,
            max_output_tokens: Some(max_output_tokens),
            temperature: Some(strategy.temperature),
            cerium: Extensions {
                prefix: self.prefix.clone(),
                stop: self.stop.clone(),
                // The fence is written too. Of a new file nothing is known.
                prediction: (!self.predicted.is_empty())
                    .then(|| format!("{}\n{}", self.predicted, self.fence)),
                parts,
                ..Extensions::default()
            },
            ..CreateResponse::new(model.to_owned(), Input::Items(items))
        }
    }

    /// Expects what an edit that was broken off had written.
    pub(crate) fn expect(&mut self, written: &Written) {
        let regions = self.expected.parts.iter().zip(&self.regions).zip(&self.dedents);
        let regions =
            regions.map(|((part, region), dedent)| written.region(region.lines, &part.old, dedent));
        self.predicted = laid_out(&self.heads, regions).join("\n");
    }

    /// The request that has everything read that comes before the instruction.
    pub(crate) fn warming(&self, model: &str) -> CreateResponse {
        let instruction = self.parts.iter().rfind(|(_, name)| *name == INSTRUCTION);
        let n_before = instruction.map_or(self.user.len(), |&(byte, _)| byte);
        let input = Input::Text(self.user[..n_before].to_owned());
        CreateResponse {
            instructions: self.system.clone(),
            generate: false,
            ..CreateResponse::new(model.to_owned(), input)
        }
    }

    /// The new lines of each region, indentation put back.
    pub(crate) fn indented(&self, parts: Vec<Vec<String>>) -> Vec<Vec<String>> {
        let put_back = |(lines, dedent): (Vec<String>, &String)| {
            let line = |l: String| if l.is_empty() { l } else { format!("{dedent}{l}") };
            lines.into_iter().map(line).collect()
        };
        parts.into_iter().zip(&self.dedents).map(put_back).collect()
    }

    /// The old lines of each region as they are in the file.
    pub(crate) fn old(&self) -> Vec<Vec<String>> {
        self.indented(self.expected.parts.iter().map(|part| part.old.clone()).collect())
    }
}

/// The request for a file that is rewritten whole, up to the instruction.
fn whole_file(path: &str, block: &str) -> String {
    format!("This is the file `{path}`:\n\n{block}\n\n")
}

/// The rest of it.
fn whole_file_end(instruction: &str) -> String {
    let instruction = instruction.trim();
    format!(
        "{instruction}\n\nReply with the whole changed file in one code block and nothing else."
    )
}

fn system(format: Format, several: bool) -> String {
    let mut text = "You edit code. You are shown code from a file and an instruction. ".to_owned();
    if format == Format::SearchReplace {
        text.push_str(
            "Answer with one or more blocks of this form and nothing else:\n\
             <<<<<<< SEARCH\n\
             lines of the code to edit, exactly as they are\n\
             =======\n\
             the lines that replace them\n\
             >>>>>>> REPLACE\n\
             Keep blocks small. Change only what the instruction asks for.",
        );
        return text;
    }
    text.push_str(
        "Answer with the code to edit, rewritten, in one fenced block and nothing else. Change only \
         what the instruction asks for. Repeat every other line exactly, comments and indentation \
         included.",
    );
    if several {
        text.push_str(
            " The code has numbered parts, each under a comment line of its own; keep those lines \
             and write every part.",
        );
    }
    text
}

/// A region's lines and surroundings, and the indentation taken off.
fn part(view: &View<'_>, span: LineSpan, dedent: bool) -> (Part, String) {
    let owned = |lines: Vec<&str>| lines.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut old = owned(view.block(span));
    let common = if dedent { common_indent(&old) } else { String::new() };
    for line in &mut old {
        *line = line.strip_prefix(&common).unwrap_or("").to_owned();
    }
    let n_lines = view.lines.count();
    let before = match span.start {
        1 => Vec::new(),
        start => {
            let from = start.saturating_sub(SURROUNDINGS_LINES).max(1);
            owned(view.block(LineSpan::new(from, start - 1)))
        }
    };
    let after = if span.end >= n_lines {
        Vec::new()
    } else {
        let to = (span.end + SURROUNDINGS_LINES).min(n_lines);
        owned(view.block(LineSpan::new(span.end + 1, to)))
    };
    (Part { old, before, after }, common)
}

/// The white space that every line with text begins with.
fn common_indent(lines: &[String]) -> String {
    let indents = lines.iter().filter(|line| !line.trim().is_empty()).map(|line| {
        let end = line.len() - line.trim_start().len();
        &line[..end]
    });
    let common = indents.reduce(|a, b| {
        let n = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
        &a[..n]
    });
    common.unwrap_or_default().to_owned()
}

/// Lines around a single region, with the region's place marked; empty for several regions and for
/// whole files.
fn context(view: &View<'_>, regions: &[Region], strategy: &Strategy) -> Vec<String> {
    let [region] = regions else { return Vec::new() };
    let LineSpan { start, end } = region.lines;
    let n = strategy.context_lines;
    let n_lines = view.lines.count();
    if n == 0 || (start == 1 && end == n_lines) {
        return Vec::new();
    }
    let comment = view.language.map_or(("# ", ""), Language::comment);
    let mut lines: Vec<String> = Vec::new();
    if start > 1 {
        let from = start.saturating_sub(n).max(1);
        // The signature of what the region is in, unless it is among the lines shown.
        let around = view.enclosing(region.lines).filter(|d| d.def_line < from);
        if let Some(decl) = around {
            lines.push(view.line(decl.def_line).to_owned());
            lines.push(format!("{}...{}", comment.0, comment.1));
        }
        lines.extend(view.block(LineSpan::new(from, start - 1)).into_iter().map(str::to_owned));
    }
    lines.push(format!("{}{PLACE}{}", comment.0, comment.1));
    if end < n_lines {
        let to = (end + n).min(n_lines);
        lines.extend(view.block(LineSpan::new(end + 1, to)).into_iter().map(str::to_owned));
    }
    lines
}
