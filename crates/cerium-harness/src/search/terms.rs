//! What a question asks for, as search terms: words by their stems, identifiers whole and in parts.

use std::collections::BTreeMap;

/// Terms taken from one question at most. More would only blur the ranking of a pasted page.
const N_TERMS_MAX: usize = 96;

/// A question made ready for searching.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Word stems and whole identifiers, each once.
    pub terms: Vec<Term>,
    /// The question is about tests, so that they are not pushed down.
    pub about_tests: bool,
    /// A test is named in it: what the test is of is asked about as well.
    pub names_test: bool,
    /// The question is about documentation.
    pub about_docs: bool,
}

/// One thing to look for.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// In lower case: a stem as [`stem`] gives it, or a whole identifier.
    pub text: String,
    /// What it stands for.
    pub kind: TermKind,
    /// How much a match counts, 1 for an ordinary word of the question.
    pub weight: f32,
}

/// How a term matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TermKind {
    /// A part of an identifier, or a word, that has this stem.
    Stem,
    /// A whole identifier.
    Name,
}

/// Words of questions that say nothing about code. Question words of analysts ("architectural
/// significance") are here too: they describe the answer wanted, not the code.
const STOP_WORDS: &str = "
a about above across actually after against all along also although always am among an and another any
anything apart are aren't around as at available away back based be became because become been before behind being
below between both but by called can can't cannot case code codebase come could did different distinct do does doesn't
doing don't done down during each either else enough etc even ever every everything exactly example
explain few file files find first for from full further gets give given go goes had happen happens has have having
he help hence her here him his how however i if in instead into is isn't it its itself just keep kind know
known last like likely line lines look made main make makes many may me mean means meant might more most much must
my need needs neither never new no none nor not nothing now occur occurs of off often on once one only onto or
other our out over overall own part particular per place please possible project program purpose put rather
really regarding relation repo repository respect role same say second see seen several shall she should show
significance similar since so some something specific specifically still such take takes tell than that the their
them themselves then there these they thing things this those though three through throughout thus till to
together too toward two under unless until up upon us use used useful uses using usually various very via want
was way ways we well were what when where whether which while who whole whom whose why will with within without
won't work works would wouldn't yes yet you your
architectural architecture consequence critical impact implication implications implement implementation
implemented implements mechanism semantic semantics
def class fn func function functions method methods struct enum impl trait interface module modules
variable package library";

/// Short forms that code uses for longer words.
const ABBREVIATIONS: &[(&str, &str)] = &[
    ("address", "addr"),
    ("application", "app"),
    ("argument", "arg"),
    ("asynchronous", "async"),
    ("attribute", "attr"),
    ("authentication", "auth"),
    ("authorization", "auth"),
    ("buffer", "buf"),
    ("command", "cmd"),
    ("configuration", "config"),
    ("connection", "conn"),
    ("context", "ctx"),
    ("database", "db"),
    ("delete", "del"),
    ("destination", "dst"),
    ("dictionary", "dict"),
    ("directory", "dir"),
    ("document", "doc"),
    ("environment", "env"),
    ("error", "err"),
    ("execute", "exec"),
    ("expression", "expr"),
    ("generate", "gen"),
    ("identifier", "ident"),
    ("index", "idx"),
    ("information", "info"),
    ("initialize", "init"),
    ("integer", "int"),
    ("length", "len"),
    ("library", "lib"),
    ("maximum", "max"),
    ("memory", "mem"),
    ("message", "msg"),
    ("minimum", "min"),
    ("number", "num"),
    ("parameter", "param"),
    ("pointer", "ptr"),
    ("position", "pos"),
    ("previous", "prev"),
    ("reference", "ref"),
    ("request", "req"),
    ("response", "resp"),
    ("source", "src"),
    ("specification", "spec"),
    ("statistics", "stats"),
    ("string", "str"),
    ("synchronous", "sync"),
    ("temporary", "tmp"),
    ("utility", "util"),
    ("window", "win"),
];

/// Weight of a whole identifier that the question spells out.
const NAME_WEIGHT: f32 = 3.0;
/// Weight of a capitalised word in mid-sentence, which may name a type.
const CAPITALISED_WEIGHT: f32 = 1.5;
/// Weight of a short form of a word.
const ABBREVIATION_WEIGHT: f32 = 0.5;

/// Reads a question.
pub fn query(question: &str) -> Query {
    let mut found: BTreeMap<(TermKind, String), f32> = BTreeMap::new();
    let mut order = Vec::new();
    let mut add = |kind, text: String, weight: f32| {
        if text.len() < 2 || (kind == TermKind::Stem && text.len() > 40) {
            return;
        }
        let key = (kind, text);
        if let Some(old) = found.get_mut(&key) {
            *old = old.max(weight);
        } else if order.len() < N_TERMS_MAX {
            order.push(key.clone());
            found.insert(key, weight);
        }
    };
    let mut query = Query::default();
    for word in words(question) {
        let lower = word.text.to_lowercase();
        if is_identifier(&word) {
            add(TermKind::Name, lower.clone(), NAME_WEIGHT);
        } else if word.capitalised {
            add(TermKind::Name, lower.clone(), CAPITALISED_WEIGHT);
        }
        for part in subwords(word.text) {
            let part = part.to_lowercase();
            match stem(&part) {
                "test" if is_identifier(&word) => query.names_test = true,
                "test" => query.about_tests = true,
                "doc" | "documentat" | "readm" | "changelog" => query.about_docs = true,
                _ => {}
            }
            if is_stop_word(&part) {
                continue;
            }
            add(TermKind::Stem, stem(&part).to_owned(), 1.0);
            for (_, short) in ABBREVIATIONS.iter().filter(|(long, _)| stem(long) == stem(&part)) {
                add(TermKind::Stem, stem(short).to_owned(), ABBREVIATION_WEIGHT);
            }
        }
    }
    query.terms = order
        .into_iter()
        .map(|key| {
            let weight = found[&key];
            Term { kind: key.0, text: key.1, weight }
        })
        .collect();
    query
}

/// A word of a question, and how likely what stands around it makes it a name of code.
struct Word<'a> {
    text: &'a str,
    /// In backticks, called, or part of a path of names.
    marked: bool,
    /// Begins with a capital where no sentence begins.
    capitalised: bool,
}

fn words(question: &str) -> impl Iterator<Item = Word<'_>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &question[start..];
        let from = start + rest.find(is_word_char)?;
        let to = question[from..].find(|c| !is_word_char(c)).map_or(question.len(), |n| from + n);
        start = to;
        let (before, text, after) = (&question[..from], &question[from..to], &question[to..]);
        let marked_before = ["`", ".", "::"].iter().any(|mark| before.ends_with(mark));
        let sentence_start =
            matches!(before.trim_end().chars().last(), None | Some('.' | '?' | '!'));
        Some(Word {
            text,
            marked: marked_before || after.starts_with('(') || has_member(after),
            capitalised: !sentence_start && text.starts_with(char::is_uppercase),
        })
    })
}

/// Whether the text goes on with a member of the word before it: `.name` or `::name`.
fn has_member(after: &str) -> bool {
    let member = after.strip_prefix("::").or_else(|| after.strip_prefix('.'));
    member.is_some_and(|rest| rest.starts_with(is_word_char))
}

fn is_identifier(word: &Word<'_>) -> bool {
    let inner = word.text.trim_matches('_');
    let has_lower = inner.chars().any(char::is_lowercase);
    let camel = has_lower && inner.chars().skip(1).any(char::is_uppercase);
    word.marked || camel || word.text.contains('_')
}

/// Whether a character belongs to words and identifiers.
pub(crate) fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Cuts an identifier at its underscores, changes of case and digits: `HTTPError2` gives `HTTP`,
/// `Error`, `2`.
pub fn subwords(identifier: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let chars: Vec<(usize, char)> = identifier.char_indices().collect();
    let mut start = None;
    for (i, &(at, c)) in chars.iter().enumerate() {
        let previous = i.checked_sub(1).map(|i| chars[i].1);
        let next = chars.get(i + 1).map(|&(_, c)| c);
        if !c.is_alphanumeric() {
            parts.extend(start.take().map(|from| &identifier[from..at]));
        } else if start.is_none() {
            start = Some(at);
        } else if previous.is_some_and(|previous| begins_part(previous, c, next)) {
            parts.extend(start.replace(at).map(|from| &identifier[from..at]));
        }
    }
    parts.extend(start.map(|from| &identifier[from..]));
    parts
}

/// Whether `c` begins a new part of an identifier after `previous`.
pub(crate) fn begins_part(previous: char, c: char, next: Option<char>) -> bool {
    let after_lower = c.is_uppercase() && !previous.is_uppercase();
    let ends_capitals =
        c.is_uppercase() && previous.is_uppercase() && next.is_some_and(char::is_lowercase);
    after_lower || ends_capitals || c.is_numeric() != previous.is_numeric()
}

/// Whether a word says nothing about code.
pub(crate) fn is_stop_word(word: &str) -> bool {
    word.len() < 2 || STOP_WORDS.split_ascii_whitespace().any(|stop| stop == word)
}

/// Cuts the endings of English off a word in lower case, so that `encoding`, `encodes` and
/// `encoder` meet. The stem is always a prefix of the word, at least three bytes long when the
/// word is.
pub fn stem(word: &str) -> &str {
    if !word.is_ascii() || word.len() <= 3 {
        return word;
    }
    let mut word = word;
    if let Some(rest) = word.strip_suffix("ies") {
        word = if rest.len() >= 3 { rest } else { word };
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|end| word.ends_with(end)) {
        word = &word[..word.len() - 1];
    }
    for ending in ["ing", "ed", "er", "or", "ly"] {
        if let Some(rest) = word.strip_suffix(ending).filter(|rest| is_stem(rest)) {
            word = undouble(rest);
            break;
        }
    }
    if let Some(rest) = word.strip_suffix("ion").filter(|rest| rest.ends_with(['t', 's'])) {
        word = if rest.len() >= 3 { rest } else { word };
    }
    match word.strip_suffix(['e', 'y']) {
        Some(rest) if rest.len() >= 3 => rest,
        _ => word,
    }
}

/// Whether what is left of a word can stand alone: three letters with a vowel among them.
fn is_stem(rest: &str) -> bool {
    rest.len() >= 3 && rest.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

/// `stopp` was `stop` before its ending; `pass` and `call` were not.
fn undouble(word: &str) -> &str {
    match word.as_bytes() {
        [.., a, b]
            if a == b && word.len() > 3 && !matches!(b, b's' | b'l' | b'e' | b'o' | b'f') =>
        {
            &word[..word.len() - 1]
        }
        _ => word,
    }
}
