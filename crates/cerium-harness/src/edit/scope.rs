//! Which lines an edit may change: the least text that can hold it, since all of it is generated
//! again.
//!
//! Everything here is pure: instruction and file in, regions out. Evidence is used in the order of
//! its strength: lines or a symbol given by flag, declarations named by the instruction, code
//! quoted in it, and last the words it shares with the file. Long declarations are narrowed to the
//! windows that the evidence points to; a new constant or import brings the place where those
//! stand.

mod evidence;
mod intent;
mod targets;

use super::error::EditError;
use super::instruction::{Piece, pieces};
use super::strategy::Strategy;
use super::view::{View, has_word};
use crate::lines::LineSpan;
use crate::syntax::{Decl, DeclKind, is_identifier};
use evidence::Evidence;
use intent::Intent;
use serde::{Deserialize, Serialize};

/// Most regions in one scope; a scope of more is read as "the whole file".
const REGIONS_MAX: usize = 24;

/// A scope larger than this part of the file is the file.
const FILE_FRACTION_MAX: f64 = 0.7;

/// Letters by which a name given by hand may differ from the one that was meant.
const TYPING_ERRORS_MAX: usize = 2;

/// Instructions of more pieces than this describe a program rather than a change.
const PIECES_MAX: usize = 90;

/// A run of lines that is generated again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its lines.
    #[serde(flatten)]
    pub lines: LineSpan,
    /// Path of the smallest declaration that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration: Option<String>,
    /// Lines at its start that are sure to stay.
    #[serde(skip)]
    pub n_fixed: usize,
}

/// What a scope was chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeSource {
    /// Lines given by the person.
    Lines,
    /// A symbol given by the person.
    Symbol,
    /// Declarations that the instruction names.
    Names,
    /// Text that the instruction shares with the file.
    Text,
    /// The file is small, or nothing narrower could be found.
    File,
    /// The model chose from an outline.
    Chosen,
    /// The direct route knows its places exactly.
    Direct,
}

/// The regions of an edit, disjoint, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The regions; never empty.
    pub regions: Vec<Region>,
    /// What chose them.
    pub source: ScopeSource,
}

impl Scope {
    /// A scope of some spans: put in order, joined where they touch or nearly do.
    pub(crate) fn of(
        view: &View<'_>,
        spans: Vec<LineSpan>,
        gap_lines_max: usize,
        source: ScopeSource,
    ) -> Self {
        let rounded = |span: (LineSpan, bool)| if span.1 { rounded(view, span.0) } else { span.0 };
        let near = joined(spans, gap_lines_max).into_iter().map(rounded).collect();
        let merged: Vec<LineSpan> = joined(near, 0).into_iter().map(|(span, _)| span).collect();
        let n_lines: usize = merged.iter().map(|span| span.count()).sum();
        let large = n_lines as f64 > FILE_FRACTION_MAX * view.lines.count() as f64;
        if merged.is_empty() || merged.len() > REGIONS_MAX || (large && view.lines.count() <= 120) {
            return Self::whole(view);
        }
        let region = |lines| Region {
            lines,
            declaration: view.enclosing(lines).map(|decl| decl.path.clone()),
            n_fixed: 0,
        };
        Self { regions: merged.into_iter().map(region).collect(), source }
    }

    /// A scope of exactly some spans; those that touch become one.
    pub(crate) fn exact(view: &View<'_>, spans: Vec<LineSpan>) -> Self {
        let declaration = |lines| view.enclosing(lines).map(|decl| decl.path.clone());
        let region = |lines| Region { lines, declaration: declaration(lines), n_fixed: 0 };
        let merged = joined(spans, 0).into_iter().map(|(span, _)| region(span));
        Self { regions: merged.collect(), source: ScopeSource::Direct }
    }

    /// The whole file.
    pub(crate) fn whole(view: &View<'_>) -> Self {
        let region = Region { lines: view.lines.all(), declaration: None, n_fixed: 0 };
        Self { regions: vec![region], source: ScopeSource::File }
    }

    /// First to last line.
    pub fn hull(&self) -> LineSpan {
        let lines = self.regions.iter().map(|region| region.lines);
        lines.reduce(LineSpan::hull).unwrap_or(LineSpan::line(1))
    }

    /// Lines in all regions.
    pub fn n_lines(&self) -> usize {
        self.regions.iter().map(|region| region.lines.count()).sum()
    }

    /// The next larger scope: the declarations around the regions; nothing when that is no larger,
    /// or when the person said where to edit.
    pub(crate) fn widened(&self, view: &View<'_>, n_lines_max: usize) -> Option<Self> {
        if matches!(self.source, ScopeSource::Lines | ScopeSource::File) {
            return None;
        }
        let around = |span: LineSpan| {
            let outer = view.decls.iter().filter(|d| d.lines.contains(span) && d.lines != span);
            let outer = outer.filter(|d| d.kind != DeclKind::Field);
            outer.map(|d| d.lines).filter(|l| l.count() <= n_lines_max).min_by_key(|l| l.count())
        };
        let spans = self.regions.iter().map(|r| around(r.lines).unwrap_or(r.lines)).collect();
        let mut wider = Self::of(view, spans, 0, self.source);
        if wider.n_lines() <= self.n_lines() && view.lines.count() <= n_lines_max {
            wider = Self::whole(view);
        }
        (wider.n_lines() > self.n_lines()).then_some(wider)
    }
}

/// Spans in order, those with at most so many lines between them made one; whether each was.
fn joined(mut spans: Vec<LineSpan>, gap_lines_max: usize) -> Vec<(LineSpan, bool)> {
    spans.sort_unstable();
    spans.dedup();
    let mut joined: Vec<(LineSpan, bool)> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some((last, grown)) if span.start <= last.end + 1 + gap_lines_max => {
                *grown |= !last.contains(span);
                *last = last.hull(span);
            }
            _ => joined.push((span, false)),
        }
    }
    joined
}

/// A joined span grown to whole statements, if they are not much more: half of an `if` is hard to
/// write again.
fn rounded(view: &View<'_>, span: LineSpan) -> LineSpan {
    let statements = view.parsed.as_ref().map(|parsed| parsed.statements(span));
    statements.filter(|s| s.count() <= span.count() + 5).unwrap_or(span)
}

/// A scope, or the wish to ask the model for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// These lines.
    Scope(Scope),
    /// Nothing in the file speaks for a place; this one is the best guess.
    Unsure(Scope),
}

/// The scope of lines given by flag: what one would select to type over them.
///
/// # Errors
/// `NoSuchLines`.
pub(crate) fn by_lines(view: &View<'_>, path: &str, span: LineSpan) -> Result<Scope, EditError> {
    let count = view.lines.count();
    if span.start == 0 || span.end > count {
        let LineSpan { start, end } = span;
        return Err(EditError::NoSuchLines { start, end, path: path.to_owned(), count });
    }
    let statements = view.parsed.as_ref().map_or(span, |parsed| parsed.statements(span));
    // Lines that were meant stay meant: a statement run that is far larger is not taken.
    let lines = if statements.count() <= span.count() + 12 { statements } else { span };
    Ok(Scope::of(view, vec![lines], 0, ScopeSource::Lines))
}

/// The scope of a symbol given by flag: its declarations, or the lines that name it.
///
/// # Errors
/// `NoSuchSymbol`.
pub(crate) fn by_symbol(
    view: &View<'_>,
    path: &str,
    symbol: &str,
    instruction: &str,
    strategy: &Strategy,
) -> Result<Scope, EditError> {
    let named: Vec<&Decl> = view.decls.iter().filter(|decl| decl.is_called(symbol)).collect();
    let best = named.iter().map(|decl| targets::rank(decl)).min();
    let named: Vec<&Decl> =
        named.into_iter().filter(|decl| Some(targets::rank(decl)) == best).collect();
    if named.is_empty() {
        let lower = symbol.to_lowercase();
        let last = lower.rsplit(['.', ':', '#']).next().unwrap_or_default();
        let near = view.decls.iter().filter(|d| {
            let name = d.name.to_lowercase();
            let part = !last.is_empty() && (name.contains(last) || last.contains(&name));
            part || strsim::osa_distance(&name, last) <= TYPING_ERRORS_MAX
        });
        let similar = near.map(|d| d.path.clone()).take(5).collect();
        let (symbol, path) = (symbol.to_owned(), path.to_owned());
        return Err(EditError::NoSuchSymbol { symbol, path, similar });
    }
    let pieces = pieces(instruction);
    let intent = Intent::of(view, &pieces);
    let names = targets::targets(view, &pieces, &intent).names;
    let evidence = Evidence::gather(view, &pieces, &names);
    let spans = named.iter().flat_map(|decl| within(view, decl, &evidence, &intent, strategy));
    let mut scope = Scope::of(view, spans.collect(), strategy.merge_gap_lines, ScopeSource::Symbol);
    fix_head(view, &mut scope, &evidence, &intent);
    Ok(scope)
}

/// The scope that an instruction asks for by what it says.
pub(crate) fn by_instruction(view: &View<'_>, instruction: &str, strategy: &Strategy) -> Choice {
    let n_lines = view.lines.count();
    let pieces = pieces(instruction);
    let small = n_lines <= strategy.vague_whole_lines_max;
    let intent = Intent::of(view, &pieces);
    let targets = targets::targets(view, &pieces, &intent);
    let evidence = Evidence::gather(view, &pieces, &targets.names);
    let whole = || {
        let mut scope = Scope::whole(view);
        fix_head(view, &mut scope, &evidence, &intent);
        Choice::Scope(scope)
    };
    let tiny = n_lines <= strategy.whole_lines_max && targets.decls.is_empty();
    if tiny || (pieces.len() > PIECES_MAX && small) {
        return whole();
    }
    let window = |line: usize| view.window(LineSpan::line(line), strategy.window_lines_max);
    let mut source = ScopeSource::Names;
    let mut spans = renamed(view, &pieces, strategy);
    if spans.is_empty() {
        let part = |decl: &&Decl| within(view, decl, &evidence, &intent, strategy);
        spans = targets.decls.iter().flat_map(part).collect();
        // Code that the instruction quotes counts wherever it is, unless it is in a target.
        let inside = |line| targets.decls.iter().any(|d| d.lines.contains(LineSpan::line(line)));
        let elsewhere = evidence.strong_outside(&inside);
        if targets.decls.is_empty() || elsewhere.len() <= 4 {
            spans.extend(elsewhere.into_iter().map(window));
        }
        if targets.decls.is_empty() {
            source = ScopeSource::Text;
        }
    }
    let mut sure = true;
    if spans.is_empty() {
        spans = evidence.best_windows(view, view.lines.all(), strategy);
        sure = evidence.is_convincing() && !intent.vague;
        source = ScopeSource::Text;
    }
    if !sure && small {
        return whole();
    }
    spans.extend(intent.places(view));
    let mut scope = Scope::of(view, spans, strategy.merge_gap_lines, source);
    fix_head(view, &mut scope, &evidence, &intent);
    if sure { Choice::Scope(scope) } else { Choice::Unsure(scope) }
}

/// The part of a declaration that the evidence speaks for: all of it when it is short.
fn within(
    view: &View<'_>,
    decl: &Decl,
    evidence: &Evidence,
    intent: &Intent,
    strategy: &Strategy,
) -> Vec<LineSpan> {
    let own = own_lines(decl, intent);
    let head = head(view, decl, own);
    let in_body: Vec<usize> =
        evidence.strong_in(own).into_iter().filter(|&line| line > head.end).collect();
    let long = own.count() > strategy.unit_lines_max;
    if matches!(decl.kind, DeclKind::Variable | DeclKind::Field) && intent.about_uses {
        let uses: Vec<usize> =
            words(view, &decl.name).filter(|n| !own.contains(LineSpan::line(*n))).collect();
        if !long && uses.len() <= 4 {
            let window = |n| view.window(LineSpan::line(n), strategy.window_lines_max.min(6));
            return uses.into_iter().map(window).chain([own]).collect();
        }
    }
    if intent.head_only && in_body.is_empty() && own.count() > 12 {
        return vec![head];
    }
    if !long {
        return vec![own];
    }
    let mut spans: Vec<LineSpan> = in_body
        .iter()
        .map(|&line| view.window(LineSpan::line(line), strategy.window_lines_max))
        .collect();
    if intent.needs_head {
        spans.push(head);
    }
    if intent.about_return && decl.kind.is_callable() {
        let mut returns = (head.end..=own.end).filter(|&n| has_word(view.line(n), "return"));
        let last =
            returns.next_back().map(|n| view.window(LineSpan::line(n), strategy.window_lines_max));
        spans.extend(last);
    }
    if in_body.is_empty() && !intent.head_only {
        let body = LineSpan::new((head.end + 1).min(own.end), own.end);
        let best = evidence.best_windows(view, body, strategy);
        // Words alone do not narrow what is said vaguely, unless it would be far too much.
        if best.is_empty() || (intent.vague && own.count() <= strategy.vague_whole_lines_max) {
            return vec![own];
        }
        spans.extend(best);
    }
    spans
}

/// Marks what a lone region begins with and an edit will not touch: the signature and doc string of
/// a function, unless the instruction speaks of such, or quotes something in it.
fn fix_head(view: &View<'_>, scope: &mut Scope, evidence: &Evidence, intent: &Intent) {
    let [region] = scope.regions.as_mut_slice() else { return };
    let lines = region.lines;
    let text = (lines.start..=lines.end).find(|&line| !view.line(line).trim().is_empty());
    let first = text.unwrap_or(lines.start);
    let starts_here = |d: &&Decl| {
        d.kind.is_callable()
            && lines.contains(LineSpan::new(d.def_line, d.lines.end))
            && d.lines.start <= first
            && d.head_end < d.lines.end
    };
    let Some(decl) = view.decls.iter().find(starts_here) else { return };
    let doc_end = decl.doc.map(|doc| doc.end).filter(|&end| end > decl.def_line);
    let end = match (doc_end, intent.is_bug) {
        (Some(doc_end), _) => doc_end.max(decl.head_end),
        (None, true) => decl.head_end,
        (None, false) => return,
    };
    let head = LineSpan::new(lines.start, end.max(lines.start));
    if !intent.needs_head && end < decl.lines.end && evidence.strong_in(head).is_empty() {
        region.n_fixed = head.count();
    }
}

/// A declaration's lines without the comment above it, unless that is what is to change.
fn own_lines(decl: &Decl, intent: &Intent) -> LineSpan {
    match decl.doc {
        Some(doc) if doc.end < decl.def_line && !intent.about_docs => {
            LineSpan::new(doc.end + 1, decl.lines.end)
        }
        _ => decl.lines,
    }
}

/// Signature, doc string and a line of the body: enough to add what stands at the top.
fn head(view: &View<'_>, decl: &Decl, own: LineSpan) -> LineSpan {
    let doc_end = decl.doc.map_or(0, |doc| doc.end);
    let end = decl.head_end.max(doc_end) + 1;
    let end = (end..own.end).find(|&n| !view.line(n).trim().is_empty()).unwrap_or(end);
    LineSpan::new(own.start, end.min(own.end))
}

/// For a rename that the direct route left to the model: every line with the old name, inside the
/// declaration that the instruction names besides.
fn renamed(view: &View<'_>, pieces: &[Piece], strategy: &Strategy) -> Vec<LineSpan> {
    let mut spans = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let arrow = pieces.get(i + 1).is_some_and(|next| next.is(&["->", "\u{2192}", "=>"]));
        let said = pieces[..i].iter().rev().take(4).any(|p| p.is(&["rename", "renaming"]))
            && pieces[i + 1..].iter().take(4).any(|p| p.is(&["to", "into", "as"]));
        let name = piece.text.trim_end_matches("()").rsplit(['.', ':']).next().unwrap_or_default();
        if !(arrow || said) || !is_identifier(name) {
            continue;
        }
        let others = pieces.iter().filter(|p| p.text != piece.text);
        let around: Vec<&Decl> = others
            .flat_map(|p| view.decls.iter().filter(move |d| d.is_called(&p.text)))
            .filter(|d| words(view, name).any(|n| d.lines.contains(LineSpan::line(n))))
            .collect();
        let inside = |line: &usize| {
            around.is_empty() || around.iter().any(|d| d.lines.contains(LineSpan::line(*line)))
        };
        for line in words(view, name).filter(inside).map(LineSpan::line) {
            let statements = view.parsed.as_ref().map(|parsed| parsed.statements(line));
            spans.push(statements.filter(|s| s.count() <= 4).unwrap_or(line));
        }
    }
    if spans.len() > 4 * strategy.window_lines_max { Vec::new() } else { spans }
}

/// Lines that hold a name as a whole word, in code, comment or string.
fn words<'v>(view: &'v View<'_>, name: &'v str) -> impl Iterator<Item = usize> + 'v {
    (1..=view.lines.count()).filter(move |&line| has_word(view.line(line), name))
}
