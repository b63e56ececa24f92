//! Which texts lead on under which requests, over a vocabulary in which every byte is a token.

mod guided;

use super::{Asked, Constraints, Follower, Thinks};
use crate::calls::Style;
use cerium_engine::Mask;
use cerium_model::gguf::{Array, Gguf, Strings, Value};
use cerium_model::testing::GgufBuilder;
use cerium_model::tokenizer::Tokenizer;
use cerium_protocol::{
    CreateResponse, CustomFormat, GrammarSyntax, Input, Json, TextFormat, Tool, ToolChoice,
    ToolKind, ToolName,
};
use std::fmt::Write as _;
use std::sync::Arc;

const SPECIALS: [&str; 4] = ["<|im_end|>", "[TOOL_CALLS]", "<|channel|>", "<|message|>"];
const END: u32 = 256;

fn tokenizer() -> Arc<Tokenizer> {
    let (mut texts, mut kinds) = (Strings::default(), Vec::new());
    let mut n_unprintable = 0;
    for byte in 0..=u8::MAX {
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let letter = if printable { u32::from(byte) } else { 256 + n_unprintable };
        n_unprintable += u32::from(!printable);
        texts.push(&char::from_u32(letter).unwrap().to_string());
        kinds.push(1);
    }
    for special in SPECIALS {
        texts.push(special);
        kinds.push(3);
    }
    let string = |text: &str| Value::String(text.to_owned());
    let file = GgufBuilder::new(3)
        .kv("general.architecture", string("scripted"))
        .kv("tokenizer.ggml.model", string("gpt2"))
        .kv("tokenizer.ggml.tokens", Value::Array(Array::String(texts)))
        .kv("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)))
        .kv("tokenizer.ggml.merges", Value::Array(Array::String(Strings::default())))
        .build();
    Arc::new(Tokenizer::from_gguf(&Gguf::parse(&file).unwrap()).unwrap())
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned()).unwrap()
}

fn function(name: &str, parameters: &str) -> Tool {
    let kind = ToolKind::Function { parameters: Some(json(parameters)), strict: false };
    Tool { namespace: None, name: name.to_owned(), description: None, kind }
}

fn custom(name: &str, syntax: GrammarSyntax, definition: &str) -> Tool {
    let format = CustomFormat::Grammar { syntax, definition: definition.to_owned() };
    let kind = ToolKind::Custom { format };
    Tool { namespace: None, name: name.to_owned(), description: None, kind }
}

fn request() -> CreateResponse {
    let schema = r#"{"type":"object","properties":{"cmd":{"type":"string"}},"required":["cmd"]}"#;
    let digits = custom("dial", GrammarSyntax::Regex, "[0-9]{3}");
    CreateResponse {
        tools: vec![function("run", schema), digits],
        ..CreateResponse::new("m".into(), Input::Text("a".into()))
    }
}

fn follow(
    request: &CreateResponse,
    style: Style,
    thinks: Thinks,
) -> Result<Option<Follower>, String> {
    follow_asked(&Asked::of(request, style, thinks, None))
}

fn follow_asked(asked: &Asked<'_>) -> Result<Option<Follower>, String> {
    let constraints = Constraints::new(tokenizer(), vec![END]);
    let told = |error: cerium_protocol::ErrorBody| {
        format!("{} {}", error.param.unwrap_or_default(), error.message)
    };
    constraints.follow(asked, &[]).map_err(told)
}

fn ids(text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let special = SPECIALS.iter().position(|special| rest.starts_with(special));
        let n = special.map_or(c.len_utf8(), |i| SPECIALS[i].len());
        match special {
            Some(i) => ids.push(256 + i as u32),
            None => ids.extend(rest[..n].bytes().map(u32::from)),
        }
        rest = &rest[n..];
    }
    ids
}

fn allows(follower: &mut Follower, id: u32) -> bool {
    follower.allowed().get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
}

/// How far a text leads: all of it and it may end, all of it, or up to a place.
fn leads(follower: &mut Follower, text: &str) -> String {
    for (i, &id) in ids(text).iter().enumerate() {
        if !allows(follower, id) {
            return format!("up to {i}");
        }
        follower.accept(id);
    }
    if allows(follower, END) { "whole".to_owned() } else { "open".to_owned() }
}

fn check(request: &CreateResponse, style: Style, thinks: Thinks, cases: &[(&str, &str)]) {
    for (text, want) in cases {
        let mut follower = follow(request, style, thinks).unwrap().unwrap();
        assert_eq!(leads(&mut follower, text), *want, "{text:?}");
    }
}

const CALL: &str =
    "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": \"ls\"}}\n</tool_call>";
const DIAL: &str = "<custom_tool_call name=\"dial\">\n123\n</custom_tool_call>";

#[test]
fn something_may_be_said_and_then_called() {
    let both = format!("Look: {CALL}\n{DIAL}");
    let behind = format!("{CALL} and more");
    let up_to = format!("up to {}", CALL.len());
    check(
        &request(),
        Style::Hermes,
        Thinks::No,
        &[
            ("", "whole"),
            ("Hello <tool_cal> there", "whole"),
            (CALL, "whole"),
            (DIAL, "whole"),
            (&both, "whole"),
            (&behind, &up_to),
            ("<tool_call>\n{\"name\": \"no", "up to 22"),
            ("<custom_tool_call name=\"dial\">\n12x", "up to 33"),
            ("a <tool_call>", "open"),
        ],
    );
    let one = CreateResponse { parallel_tool_calls: false, ..request() };
    let twice = format!("{CALL}\n{CALL}");
    check(&one, Style::Hermes, Thinks::No, &[(&twice, &up_to)]);
}

#[test]
fn a_choice_is_kept_to() {
    let name = |name: &str| ToolName { namespace: None, name: name.into() };
    let required = CreateResponse { tool_choice: ToolChoice::Required, ..request() };
    check(
        &required,
        Style::Hermes,
        Thinks::No,
        &[("Hello", "up to 0"), (CALL, "whole"), ("", "open")],
    );
    let named = CreateResponse { tool_choice: ToolChoice::Named(name("dial")), ..request() };
    check(&named, Style::Hermes, Thinks::No, &[(DIAL, "whole"), (CALL, "up to 1")]);
    let allowed = ToolChoice::Allowed { required: false, tools: vec![name("run")] };
    let allowed = CreateResponse { tool_choice: allowed, ..request() };
    check(
        &allowed,
        Style::Hermes,
        Thinks::No,
        &[("Hi", "whole"), (CALL, "whole"), (DIAL, "up to 23")],
    );
    let none = CreateResponse { tool_choice: ToolChoice::None, ..request() };
    check(&none, Style::Hermes, Thinks::No, &[("Hi", "whole"), (CALL, "up to 10")]);
    let free = CreateResponse { tools: Vec::new(), ..request() };
    assert!(follow(&free, Style::Hermes, Thinks::No).unwrap().is_none());
}

#[test]
fn a_format_is_kept_to() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false}"#;
    let format = TextFormat::JsonSchema { name: "n".into(), schema: json(schema) };
    let tools = Vec::new();
    let plain = CreateResponse { format: format.clone(), tools, ..request() };
    check(
        &plain,
        Style::Hermes,
        Thinks::No,
        &[("{\"a\": 17}", "whole"), ("{\"a\": 1", "open"), ("{\"b", "up to 2"), (CALL, "up to 0")],
    );
    let thinks = [("<think>Hm. {</think>\n\n{\"a\": 1}", "whole"), ("{\"a\": 1}", "whole")];
    check(&plain, Style::Hermes, Thinks::May, &thinks);
    let begun = [("Hm.</think>\n\n{\"a\": 1}", "whole"), ("Hm.</think>x", "up to 11")];
    check(&plain, Style::Hermes, Thinks::Begun, &begun);
    let calls = CreateResponse { format, ..request() };
    check(
        &calls,
        Style::Hermes,
        Thinks::No,
        &[("{\"a\": 1}", "whole"), (CALL, "whole"), ("Hi", "up to 0")],
    );
    let any = CreateResponse { format: TextFormat::JsonObject, tools: Vec::new(), ..request() };
    check(&any, Style::Hermes, Thinks::No, &[("{\"x\": [1, {}]}", "whole"), ("[", "up to 0")]);
}

#[test]
fn other_families_keep_to_their_marks() {
    let llama = "{\"name\": \"run\", \"parameters\": {\"cmd\": \"ls\"}}";
    let two = format!("{llama}; {llama}");
    check(
        &request(),
        Style::Llama,
        Thinks::No,
        &[(llama, "whole"), (&two, "whole"), ("Hello {", "whole"), ("{\"a", "up to 2")],
    );
    let mistral = "[TOOL_CALLS][{\"name\": \"run\", \"arguments\": {\"cmd\": \"ls\"}}]";
    check(
        &request(),
        Style::Mistral,
        Thinks::No,
        &[(mistral, "whole"), ("Hi [TOOL_CALLS][", "open"), ("Hi there", "whole")],
    );
    assert!(follow(&request(), Style::Harmony, Thinks::No).unwrap().is_none());
    let required = CreateResponse { tool_choice: ToolChoice::Required, ..request() };
    let call =
        "<|channel|>commentary to=functions.run <|constrain|>json<|message|>{\"cmd\": \"ls\"}";
    check(&required, Style::Harmony, Thinks::No, &[(call, "whole"), ("Hi", "up to 0")]);
}

#[test]
fn what_is_forced_is_known_beforehand() {
    let required = CreateResponse { tool_choice: ToolChoice::Required, ..request() };
    let named = ToolName { namespace: None, name: "run".into() };
    let named = CreateResponse { tool_choice: ToolChoice::Named(named), ..required };
    let mut follower = follow(&named, Style::Hermes, Thinks::No).unwrap().unwrap();
    let forced = follower.forced(usize::MAX);
    let forced = String::from_utf8(forced.iter().map(|&id| id as u8).collect()).unwrap();
    assert_eq!(forced, "<tool_call>\n{\"name\": \"run\", \"arguments\": {\"cmd\": \"");
    assert_eq!(follower.forced(3), ids("<to"));
    for id in follower.forced(usize::MAX) {
        assert!(allows(&mut follower, id));
        follower.accept(id);
    }
    assert!(follower.forced(usize::MAX).is_empty(), "what the command is, the model says");
}

#[test]
fn what_cannot_be_followed_is_refused_with_the_reason() {
    let of = |schema: &str| CreateResponse {
        format: TextFormat::JsonSchema { name: "n".into(), schema: json(schema) },
        tools: Vec::new(),
        ..request()
    };
    let lark = |definition: &str| CreateResponse {
        tools: vec![custom("c", GrammarSyntax::Lark, definition)],
        ..request()
    };
    let strict = |schema: &str| {
        let mut tool = function("f", schema);
        tool.kind = ToolKind::Function { parameters: Some(json(schema)), strict: true };
        CreateResponse { tools: vec![tool], ..request() }
    };
    let loose = CreateResponse { tools: vec![function("f", r#"{"type":"strin"}"#)], ..request() };
    let refused = [
        of(r#"{"type":"strin"}"#),
        of(r#"{"$ref":"http://elsewhere/schema"}"#),
        of(r#"{"type":"string","pattern":"(a"}"#),
        of(r#"{"allOf":[{"type":"string"},{"type":"integer"}]}"#),
        strict(r#"{"properties":{"a":{"type":7}}}"#),
        lark("start: nowhere"),
        lark(""),
        lark("start: /(/"),
        of(&format!("{{\"enum\":[{}0]}}", "0,".repeat(600_000))),
    ];
    let told = refused.map(|request| {
        let told = follow(&request, Style::Hermes, Thinks::No).map(drop).unwrap_err();
        told.lines().next().unwrap().chars().take(140).collect::<String>()
    });
    insta::assert_snapshot!(told.join("\n"), @r#"
    text.format the answer's shape cannot be followed: at 2(9): failed to compile JSON schema: Invalid type: strin
    text.format the answer's shape cannot be followed: at 2(9): failed to compile JSON schema: Only absolute $ref's (#/...) are supported withou
    text.format the answer's shape cannot be followed: at 2(9): failed to compile JSON schema: regex parse error:
    text.format the answer's shape cannot be followed: at 2(9): failed to compile JSON schema: Unsatisfiable schema: incompatible types
    tools the answer's shape cannot be followed: at 2(9): failed to compile JSON schema: type must be a string or array of strings
    tools the answer's shape cannot be followed: at 1(8): unknown name: "nowhere"
    tools the answer's shape cannot be followed: no start rule found
    tools the answer's shape cannot be followed: at 1(8): invalid regex "(" (in regex): regex parse error:
    text.format.schema a schema of more than 1048576 bytes is not served
    "#);
    // What is not strict is followed as far as it can be.
    check(
        &loose,
        Style::Hermes,
        Thinks::No,
        &[("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>", "whole")],
    );
}

#[test]
fn grammars_that_nest_deep_do_no_harm() {
    let lark = |definition: String| CreateResponse {
        tools: vec![custom("c", GrammarSyntax::Lark, &definition)],
        ..request()
    };
    let brackets = format!("start: {}\"a\"{}", "(".repeat(100_000), ")".repeat(100_000));
    let mut chain = String::from("start: r0\n");
    for i in 0..20_000 {
        writeln!(chain, "r{i}: r{} \"a\"", i + 1).expect("a string takes all");
    }
    chain += "r20000: \"b\"\n";
    for definition in [brackets, chain] {
        // Followed or refused: what counts is that somebody hears of it.
        let _ = follow(&lark(definition), Style::Hermes, Thinks::No);
    }
}

/// Codex's grammar of `apply_patch`.
const PATCH: &str = r#"start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
"#;

#[test]
fn patches_keep_to_their_grammar() {
    let tools = vec![custom("apply_patch", GrammarSyntax::Lark, PATCH)];
    let request = CreateResponse { tools, tool_choice: ToolChoice::Required, ..request() };
    let open = "<custom_tool_call name=\"apply_patch\">\n";
    let patch = format!(
        "{open}*** Begin Patch\n*** Update File: a.py\n@@\n-\"a\\\n+b\n*** End Patch\n</custom_tool_call>"
    );
    let wrong = format!("{open}*** Begin Patch\nUpdate");
    let place = format!("up to {}", wrong.len() - 6);
    check(&request, Style::Hermes, Thinks::No, &[(&patch, "whole"), (&wrong, &place)]);
}

#[test]
fn blocks_quote_lines_that_are_there_once() {
    let source = "fn a() {\n    1\n}\n\nfn b() {\n    1\n}";
    let request = CreateResponse {
        format: TextFormat::SearchReplace { sources: vec![source.to_owned(), "x\ny".to_owned()] },
        ..CreateResponse::new("m".into(), Input::Text("a".into()))
    };
    let block = |search: &str, replace: &str| {
        format!("<<<<<<< SEARCH\n{search}\n======={replace}\n>>>>>>> REPLACE")
    };
    let [one, two, other] = [
        block("fn a() {", "\nfn c() {"),
        block("    1\n}\n\nfn b() {\n    1", "\n    2\n=======\n"),
        block("y", ""),
    ];
    let up_to =
        |text: &str, whole: &str| format!("up to {}", whole.find(text).unwrap() + text.len());
    let twice = format!("{one}\n{one}");
    // All of these are there twice, or not at all.
    let often = block("    1\n}", "");
    let nowhere = block("fn a() {\n    2", "");
    let half = block("fn a(", "");
    let across = block("x\ny\nfn", "");
    check(
        &request,
        Style::Hermes,
        Thinks::No,
        &[
            (&one, "whole"),
            (&two, "whole"),
            (&format!("{one}\n{other}"), "whole"),
            (&format!("{other}\n{one}"), &format!("up to {}", other.len())),
            // What begins like it comes later in the source.
            (&twice, &format!("up to {}", one.len() + "\n<<<<<<< SEARCH\nfn ".len())),
            (&one[..one.len() - 3], "open"),
            ("", "open"),
            ("Sure", "up to 0"),
            (&often, &up_to("    1\n}\n", &often)),
            (&nowhere, &up_to("fn a() {\n    ", &nowhere)),
            (&half, &up_to("fn a(", &half)),
            (&across, &up_to("x\ny\n", &across)),
        ],
    );
    let marked = CreateResponse {
        format: TextFormat::SearchReplace { sources: vec!["a\n=======".to_owned()] },
        ..request
    };
    let why = follow(&marked, Style::Hermes, Thinks::No).unwrap_err();
    assert!(why.starts_with("text.format.sources") && why.contains("mark"), "{why}");
}
