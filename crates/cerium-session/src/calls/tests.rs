//! What is read out of what models write, whole or in pieces.

use super::{Piece, Reader, Style};
use cerium_protocol::{CustomFormat, Tool, ToolKind};
use proptest::prelude::*;

fn tools() -> Vec<Tool> {
    let function = ToolKind::Function { parameters: None, strict: false };
    let custom = ToolKind::Custom { format: CustomFormat::Text };
    let tool = |namespace: Option<&str>, name: &str, kind: &ToolKind| Tool {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        description: None,
        kind: kind.clone(),
    };
    vec![
        tool(None, "run", &function),
        tool(None, "patch", &custom),
        tool(Some("agents"), "spawn", &function),
    ]
}

/// What is told of a text that comes in these pieces: neighbours of one kind are one.
fn read<'a>(style: Style, thinks: bool, pieces: impl IntoIterator<Item = &'a str>) -> Vec<Piece> {
    let mut reader = Reader::new(style, &tools(), thinks);
    let mut told = Vec::new();
    for piece in pieces {
        told.extend(reader.push(piece));
    }
    told.extend(reader.finish());
    let mut merged: Vec<Piece> = Vec::new();
    for piece in told {
        match (merged.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more))
            | (Some(Piece::Thought(text)), Piece::Thought(more))
            | (Some(Piece::Given(text)), Piece::Given(more)) => text.push_str(&more),
            (_, piece) => merged.push(piece),
        }
    }
    merged
}

/// One line.
fn show(style: Style, text: &str) -> String {
    let pieces = read(style, false, [text]);
    let show = |piece: &Piece| match piece {
        Piece::Text(text) => format!("{text:?}"),
        Piece::Thought(text) => format!("thought {text:?}"),
        Piece::Call(tool) => format!("call {tool}"),
        Piece::Given(text) => format!("given {text:?}"),
    };
    pieces.iter().map(show).collect::<Vec<_>>().join(", ")
}

const HERMES: [&str; 19] = [
    "Hello.\n",
    "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": [\"ls\", \"-l {\\\"\"]}}\n</tool_call>",
    "I look.\n<tool_call>{\"name\":\"run\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"name\": \"agents.spawn\", \"arguments\": {\"n\": 1}}\n</tool_call>\n",
    "<tool_call>\n{\"arguments\": {\"a\": 1}, \"name\": \"run\"}\n</tool_call> done",
    "<tool_call>\n{\"name\": \"run\", \"arguments\": \"{\\\"a\\\": 1}\"}\n</tool_call>",
    "<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}}\n</tool_call>",
    "<tool_call>\nrun(ls)\n</tool_call>",
    "<tool_call>\n{\"name\": \"run\", \"argu",
    "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": \"l",
    "<tool_call>",
    "<custom_tool_call name=\"patch\">\n*** Begin\n+\"<tool_call>\"\n*** End\n\n</custom_tool_call>",
    "<tool_call>\n{\"name\": \"patch\", \"arguments\": {\"input\": \"a\\nb\"}}\n</tool_call>",
    "<think>\nLet me\n see.\n</think>\n\nYes < no <to",
    "a <tool_cal> b",
    "{\"name\": \"run\", \"arguments\": {\"a\": 1}}",
    "\n```json\n{\n  \"name\": \"run\",\n  \"arguments\": {}\n}\n```\nDone.",
    "```json\n{\"name\": \"nobody\", \"arguments\": {}}\n```",
    "{\"name\": \"run\", \"distance\": 5}",
    "See:\n```json\n{\"name\": \"run\", \"arguments\": {}}\n```",
];

#[test]
fn hermes() {
    let told = HERMES.map(|text| show(Style::Hermes, text)).join("\n");
    insta::assert_snapshot!(told, @r#"
    "Hello.\n"
    call 0, given "{\"cmd\":[\"ls\",\"-l {\\\"\"]}"
    "I look.", call 0, given "{}", call 2, given "{\"n\":1}"
    call 0, given "{\"a\":1}", "done"
    call 0, given "{\"a\":1}"
    "<tool_call>\n{\"name\": \"nobody\", \"arguments\": {}}\n</tool_call>"
    "<tool_call>\nrun(ls)\n</tool_call>"
    "<tool_call>\n{\"name\": \"run\", \"argu"
    call 0, given "{\"cmd\":\"l"
    "<tool_call>"
    call 1, given "*** Begin\n+\"<tool_call>\"\n*** End\n"
    call 1, given "a\nb"
    thought "Let me\n see.\n", "Yes < no <to"
    "a <tool_cal> b"
    call 0, given "{\"a\":1}"
    call 0, given "{}", "Done."
    "```json\n{\"name\": \"nobody\", \"arguments\": {}}\n```"
    "{\"name\": \"run\", \"distance\": 5}"
    "See:\n```json\n{\"name\": \"run\", \"arguments\": {}}\n```"
    "#);
}

#[test]
fn strict_functions_are_called_behind_their_mark() {
    let mut tools = tools();
    tools[0].kind = ToolKind::Function { parameters: None, strict: true };
    let text = "{\"name\": \"run\", \"arguments\": {}}";
    let mut reader = Reader::new(Style::Hermes, &tools, false);
    let told = [reader.push(text), reader.finish()].concat();
    assert_eq!(told, [Piece::Text(text.into())]);
}

const OTHERS: [(Style, &str); 9] = [
    (Style::Llama, "{\"name\": \"run\", \"parameters\": {\"cmd\": \"ls\"}}"),
    (
        Style::Llama,
        "<|python_tag|>{\"name\": \"run\", \"parameters\": {}}; {\"name\": \"run\", \"parameters\": {\"a\": 2}}",
    ),
    (Style::Llama, "{\"a\": 1} is JSON"),
    (Style::Llama, "See {\"name\": \"run\", \"parameters\": {}}"),
    (
        Style::Mistral,
        "[TOOL_CALLS] [{\"name\": \"run\", \"arguments\": {\"a\": [1, 2]}}, {\"name\": \"run\", \"arguments\": {}}]",
    ),
    (Style::Mistral, "[TOOL_CALLS]run[ARGS]{\"a\": 1}[TOOL_CALLS]agents.spawn[ARGS]{}"),
    (
        Style::Harmony,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
    ),
    (
        Style::Harmony,
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.run <|constrain|>json<|message|>{\"a\": 1}",
    ),
    (
        Style::Harmony,
        "<|channel|>commentary<|message|>Look:<|end|><|start|>assistant to=functions.run<|channel|>commentary json<|message|>{\"a\":{}}",
    ),
];

#[test]
fn other_families() {
    let told = OTHERS.map(|(style, text)| show(style, text)).join("\n");
    insta::assert_snapshot!(told, @r#"
    call 0, given "{\"cmd\":\"ls\"}"
    call 0, given "{}", call 0, given "{\"a\":2}"
    "{\"a\": 1} is JSON"
    "See {\"name\": \"run\", \"parameters\": {}}"
    call 0, given "{\"a\":[1,2]}", call 0, given "{}"
    call 0, given "{\"a\":1}", call 2, given "{}"
    thought "Hm.", "Yes."
    thought "Hm.", call 0, given "{\"a\":1}"
    "Look:", call 0, given "{\"a\":{}}"
    "#);
}

#[test]
fn an_answer_may_begin_in_a_thought() {
    let told = read(Style::Hermes, true, ["\nHm", ".</thi", "nk>\n\nYes"]);
    assert_eq!(told, [Piece::Thought("Hm.".into()), Piece::Text("Yes".into())]);
}

#[test]
fn arguments_are_told_while_they_are_written() {
    let mut reader = Reader::new(Style::Hermes, &tools(), false);
    let told = reader.push("<tool_call>\n{\"name\": \"run\", \"arguments\": {\"a\": \"x");
    assert_eq!(told, [Piece::Call(0), Piece::Given("{\"a\":\"x".into())]);
    assert_eq!(reader.push("y"), [Piece::Given("y".into())]);
}

proptest! {
    #[test]
    fn cuts_change_nothing(case in 0..HERMES.len() + OTHERS.len(), cuts in prop::collection::vec(0usize..200, 0..8)) {
        let (style, text) = match HERMES.get(case) {
            Some(text) => (Style::Hermes, *text),
            None => OTHERS[case - HERMES.len()],
        };
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| text.floor_char_boundary(cut)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]);
        prop_assert_eq!(read(style, false, pieces), read(style, false, [text]));
    }

    #[test]
    fn anything_can_be_written(
        style in prop::sample::select(vec![Style::Hermes, Style::Llama, Style::Mistral, Style::Harmony]),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "<tool_call>", "</tool_call>", "{", "}", "[", "]", "\"name\": ", "\"run\"", ", ", "\"arguments\": ",
            "<think>", "</think>", "x", " ", "\n", "é", "<", "[TOOL_CALLS]", "run", "[ARGS]", "<|channel|>",
            "<|message|>", "<|start|>", "<|end|>", "to=functions.run", ";", "<|python_tag|>", "analysis",
            "<custom_tool_call name=\"", "patch", "\">\n", "</custom_tool_call>", "\\", "\"", "```json\n", "```",
        ]), 0..24),
    ) {
        let whole = read(style, false, [pieces.concat().as_str()]);
        prop_assert_eq!(read(style, false, pieces), whole);
    }
}
