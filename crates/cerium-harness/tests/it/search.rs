//! What is searched for, how files are cut up, and what comes first.

use crate::support::{tree, workspace};
use cerium_harness::lines::LineSpan;
use cerium_harness::search::{
    Declared, FileKind, SearchOptions, TermKind, chunks, query, search, stem, subwords,
};
use proptest::prelude::*;

#[test]
fn forms_of_a_word_meet_in_its_stem() {
    let families = [
        "encode encodes encoded encoding encoder encoders",
        "connect connects connected connecting connection connections connector",
        "validate validates validated validation validator",
        "query queries querying",
        "proxy proxies",
        "stop stops stopped stopping stopper",
        "call calls called calling caller",
        "class classes",
        "file files filing",
    ];
    for family in families {
        let stems: Vec<&str> = family.split(' ').map(stem).collect();
        let odd = stems.iter().find(|stem| **stem != stems[0]);
        // `classes` keeps its `e`: a known loss, not worth a rule.
        assert!(odd.is_none() || family.starts_with("class"), "{family}: {stems:?}");
    }
    assert_ne!(stem("string"), stem("str"), "ring is no ending");
    assert_eq!(stem("red"), "red");
    assert_eq!(stem("größer"), "größer");
}

proptest! {
    #[test]
    fn a_stem_begins_its_word(word in "[a-zé]{1,20}") {
        let stem = stem(&word);
        prop_assert!(word.starts_with(stem));
        prop_assert!(!stem.is_empty() && (word.len() < 3 || stem.len() >= 3));
    }
}

#[test]
fn identifiers_fall_into_their_parts() {
    let cases = [
        ("get_environ_proxies", "get environ proxies"),
        ("HTTPAdapter", "HTTP Adapter"),
        ("parseURL2", "parse URL 2"),
        ("__init__", "init"),
        ("camelCase", "camel Case"),
        ("ÄußereForm", "Äußere Form"),
        ("", ""),
    ];
    for (name, parts) in cases {
        assert_eq!(subwords(name).join(" "), parts, "{name}");
    }
}

#[test]
fn a_question_gives_names_and_stems() {
    let query =
        query("Why does `no_proxy` matter for Session.rebuild_auth() in the encoding step?");
    let of = |kind| -> Vec<&str> {
        query.terms.iter().filter(|t| t.kind == kind).map(|t| t.text.as_str()).collect()
    };
    assert_eq!(of(TermKind::Name), ["no_proxy", "session", "rebuild_auth"]);
    assert_eq!(of(TermKind::Stem), ["prox", "mat", "sess", "rebuild", "auth", "encod", "step"]);
    assert!(!query.about_tests);
}

#[test]
fn a_pasted_page_gives_a_bounded_number_of_terms() {
    let page: String = (0..5_000).map(|i| format!("word{i}x ")).collect();
    assert!(query(&page).terms.len() <= 96);
    assert!(query("").terms.is_empty());
    assert!(query("what is this?").terms.is_empty());
}

#[test]
fn the_kind_of_a_file_is_seen_from_its_path() {
    let cases = [
        ("src/requests/utils.py", FileKind::Code),
        ("tests/test_utils.py", FileKind::Test),
        ("src/parser.test.ts", FileKind::Test),
        ("pkg/server_test.go", FileKind::Test),
        ("README.md", FileKind::Docs),
        ("docs/user/quickstart.rst", FileKind::Docs),
        ("Cargo.toml", FileKind::Data),
        ("Cargo.lock", FileKind::Generated),
        ("static/app.min.js", FileKind::Generated),
        ("latest/contest.py", FileKind::Code),
    ];
    for (path, kind) in cases {
        assert_eq!(FileKind::of(path), kind, "{path}");
    }
}

fn declared(name: &str, start: usize, end: usize) -> Declared {
    Declared { name: name.into(), lines: LineSpan { start, end } }
}

#[test]
fn files_are_cut_at_declarations() {
    let text = "x\n".repeat(150);
    let declared = [
        declared("small", 20, 50),
        declared("Large", 60, 140),
        declared("Large.one", 62, 80),
        declared("Large.two", 82, 139),
    ];
    let cut: Vec<(usize, usize, String)> = chunks(&text, &declared)
        .into_iter()
        .map(|chunk| (chunk.lines.start, chunk.lines.end, chunk.names.join(",")))
        .collect();
    let expect = [
        (1, 19, ""),
        (20, 50, "small"),
        (51, 61, "Large"),
        (62, 80, "Large.one"),
        (81, 81, "Large"),
        (82, 139, "Large.two"),
        (140, 150, "Large"),
    ];
    let expect: Vec<(usize, usize, String)> =
        expect.iter().map(|(a, b, names)| (*a, *b, (*names).to_owned())).collect();
    assert_eq!(cut, expect);
}

proptest! {
    /// Whatever is declared where, the pieces cover every line once, in order.
    #[test]
    fn pieces_cover_the_file(
        n_lines in 0_usize..200,
        spans in prop::collection::vec((0_usize..220, 0_usize..90), 0..12),
    ) {
        let text = "x\n".repeat(n_lines);
        let declared: Vec<Declared> =
            spans.iter().map(|&(start, n)| declared("d", start, start + n)).collect();
        let mut next = 1;
        for chunk in chunks(&text, &declared) {
            prop_assert_eq!(chunk.lines.start, next);
            prop_assert!(chunk.lines.end >= chunk.lines.start);
            prop_assert!(chunk.lines.count() <= 60);
            next = chunk.lines.end + 1;
        }
        prop_assert_eq!(next, n_lines + 1);
    }
}

/// A small project in which several files speak of the same things.
fn project() -> tempfile::TempDir {
    tree(&[
        (
            "src/proxy.py",
            "import os\n\ndef should_bypass(url, no_proxy):\n    \"\"\"Tells whether a proxy is left out.\"\"\"\n    return url in (no_proxy or os.environ.get('no_proxy', ''))\n\n\ndef choose_proxy(url, proxies):\n    if should_bypass(url, None):\n        return None\n    return proxies.get('all')\n",
        ),
        (
            "src/session.py",
            "from proxy import choose_proxy\n\nclass Session:\n    def send(self, url):\n        return choose_proxy(url, {})\n",
        ),
        ("tests/test_proxy.py", "def test_should_bypass():\n    assert should_bypass('a', 'a')\n"),
        ("README.md", "# Proxies\n\nSet no_proxy and should_bypass will leave proxies out.\n"),
        ("data.json", "{\"no_proxy\": 1}\n"),
    ])
}

fn first(question: &str) -> String {
    let dir = project();
    let found = search(&workspace(dir.path()), &query(question), &SearchOptions::default());
    found.pieces.first().map_or("nothing".into(), |p| format!("{}:{}", p.path, p.chunk.lines.start))
}

#[test]
fn what_declares_the_name_comes_first() {
    assert_eq!(first("what does should_bypass do?"), "src/proxy.py:1");
    assert_eq!(first("how does the Session send?"), "src/session.py:1");
    assert_eq!(first("what does test_should_bypass check?"), "tests/test_proxy.py:1");
    assert_eq!(first("quantum chromodynamics"), "nothing");
}

#[test]
fn parts_restrict_the_search() {
    let dir = project();
    let options = SearchOptions { within: vec!["tests".into()], ..SearchOptions::default() };
    let found = search(&workspace(dir.path()), &query("should_bypass"), &options);
    assert_eq!(found.files, ["tests/test_proxy.py"]);
    assert!(found.pieces.iter().all(|piece| piece.path.starts_with("tests/")));
}

#[test]
fn equal_questions_find_equal_pieces_in_equal_order() {
    let dir = project();
    let workspace = workspace(dir.path());
    let run = || search(&workspace, &query("proxy url session"), &SearchOptions::default()).pieces;
    let once = run();
    assert!(once.len() >= 3);
    for _ in 0..5 {
        assert_eq!(run(), once);
    }
}

#[test]
fn odd_files_are_searched_as_far_as_they_can_be() {
    let dir = tree(&[("crlf.py", "def alpha():\r\n    return beta\r\n"), ("empty.py", "")]);
    std::fs::write(dir.path().join("latin1.py"), b"# caf\xe9\ndef alpha(): pass\n").unwrap();
    std::fs::write(dir.path().join("data.bin"), b"alpha\0alpha").unwrap();
    let found = search(&workspace(dir.path()), &query("alpha()"), &SearchOptions::default());
    let paths: Vec<&str> = found.pieces.iter().map(|piece| piece.path.as_str()).collect();
    assert_eq!(paths, ["crlf.py", "latin1.py"]);
    assert_eq!(found.n_files_read, 3, "all but the binary one");
}

#[test]
fn tests_inside_a_source_file_come_after_it() {
    let helpers: String = (0..20).map(|i| format!("// line {i}\n")).collect();
    let source = format!(
        "/// Cuts a query into words.\npub fn split_query(text: &str) -> Vec<&str> {{\n    \
         text.split(' ').collect()\n}}\n\n{helpers}\n#[cfg(test)]\nmod tests {{\n    \
         use super::*;\n\n    #[test]\n    fn split_query_cuts() {{\n        \
         let words = split_query(\"split query\");\n        \
         assert_eq!(words, split_query(\"split  query\"));\n        \
         assert_eq!(split_query(\"\").len(), 1);\n    }}\n}}\n"
    );
    let dir = tree(&[("src/query.rs", &source)]);
    let first = |question: &str| {
        let found = search(&workspace(dir.path()), &query(question), &SearchOptions::default());
        found.pieces[0].chunk.names.join(" ")
    };
    assert!(first("how does split_query cut a query?").contains("split_query"));
    assert!(first("which tests does split_query have?").contains("tests"));
}
