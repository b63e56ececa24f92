//! What turns add to a conversation, rendered without it: the same ids as with it, or none.

use crate::template::with_template;
use cerium_hub::test_model;
use cerium_model::file::ModelFile;
use cerium_model::template::{Call, ChatTemplate, Ending, Message};
use cerium_model::tokenizer::Tokenizer;
use std::ops::Range;

/// Every role as a turn; what a tool gave stands in one turn with what the next gave, as Qwen2.5 has it.
const QWEN: &str = "{%- if tools %}{{- '<|im_start|>system\\n' }}{%- if messages[0].role == 'system' %}{{- messages[0].content }}{%- endif %}{{- tools | tojson }}{{- '<|im_end|>\\n' }}\
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}\
{%- for message in messages %}\
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) or (message.role == 'assistant' and not message.tool_calls) %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\
{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}\
{%- for tool_call in message.tool_calls %}{{- '\\n<tool_call>' + tool_call.function.name }}{{- tool_call.function.arguments | tojson }}{%- endfor %}{{- '<|im_end|>\\n' }}\
{%- elif message.role == 'tool' %}\
{%- if loop.index0 == 0 or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}{{- '\\n' + message.content }}\
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}\
{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

/// An answer after the last question is shown otherwise than one before it, as Qwen3 does with thoughts.
const LAST_QUESTION: &str = "{%- set ns = namespace(last=0) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}\
{%- for m in messages %}{{- '<|im_start|>' + m.role }}{%- if m.role == 'assistant' and loop.index0 > ns.last %}{{- '!' }}{%- endif %}{{- m.content + '<|im_end|>' }}{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>assistant' }}{%- endif %}";

/// Tools stand before the last question, as Mistral's do; calls have names.
const TOOLS_LAST: &str = "{%- set ns = namespace(last=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}{{- bos_token }}\
{%- for m in messages %}{%- if m.role == 'user' %}{%- if tools and loop.index0 == ns.last %}{{- tools | tojson }}{%- endif %}{{- '<|im_start|>' + m.content + '<|im_end|>' }}\
{%- elif m.role == 'tool' %}{{- '<|x|>' + m.tool_call_id + m.content + '<|x|>' }}\
{%- elif m.tool_calls %}{%- for call in m.tool_calls %}{{- '<|x|>' + call.id + '<|x|>' }}{%- endfor %}{{- eos_token }}{%- else %}{{- m.content + eos_token }}{%- endif %}{%- endfor %}";

/// Turns are counted.
const COUNTED: &str = "{%- for m in messages %}{{- '<|im_start|>' + (loop.index | string) + m.content + '<|im_end|>' }}{%- endfor %}";

/// Nothing stands between turns that letters could not merge across.
const PLAIN: &str = "{%- for m in messages %}{{- m.role + ':' + m.content + '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- 'assistant:' }}{%- endif %}";

/// The first message is part of the second.
const FOLDED: &str = "{%- set ns = namespace(before='') %}{{- bos_token }}{%- for m in messages %}{%- if m.role == 'system' %}{%- set ns.before = ns.before + (m.content | trim) %}\
{%- else %}{{- '<|im_start|>' + m.role + ns.before + (m.content | trim) + '<|im_end|>' }}{%- set ns.before = '' %}{%- endif %}{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>model' }}{%- endif %}";

struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: Range<usize>) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sides.start + (self.0 >> 33) as usize % sides.len()
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 9] = [
            "ab",
            " x",
            "\n",
            "<|im_end|>",
            "1",
            "  ",
            "</think>",
            "{\"a\": 1}",
            "<tool_response>",
        ];
        (0..self.throw(0..4)).map(|_| WORDS[self.throw(0..WORDS.len())]).collect()
    }

    /// Turns that may follow each other, so many or a few more.
    fn turns(&mut self, n: usize, n_calls: &mut usize, after: Option<&str>) -> Vec<Message> {
        let mut turns: Vec<Message> = Vec::new();
        while turns.len() < n {
            let last = turns.last().map(|turn| turn.role.clone()).or(after.map(str::to_owned));
            let role = match (last.as_deref(), self.throw(0..6)) {
                (None, 0..3) | (_, 0) => "system",
                (Some("user" | "tool"), 1..5) => "assistant",
                _ => "user",
            };
            let turn = |content| Message { role: role.to_owned(), content, ..Message::default() };
            if role != "assistant" || self.throw(0..2) == 0 {
                turns.push(turn(self.text()));
                continue;
            }
            let n_more = self.throw(1..3);
            let call = |a: String| Call { name: "f".into(), arguments: format!("{{\"a\":{a:?}}}") };
            let calls = (0..n_more).map(|_| call(self.text())).collect();
            turns.push(Message { calls, ..turn(String::new()) });
            for n in *n_calls..*n_calls + n_more {
                let content = self.text();
                let answers = Some(n);
                turns.push(Message { role: "tool".into(), content, answers, ..Message::default() });
            }
            *n_calls += n_more;
        }
        turns
    }
}

/// How many of some random conversations could be added to without them.
fn check(tokenizer: &Tokenizer, template: &ChatTemplate, tools: bool, what: &str) -> usize {
    let mut dice = Dice(7);
    let tools = if tools { vec![r#"{"function": {"name": "g"}}"#.to_owned()] } else { Vec::new() };
    let mut n_told = 0;
    for _ in 0..300 {
        let mut n_calls = 0;
        let n = dice.throw(1..8);
        let before = dice.turns(n, &mut n_calls, None);
        let Some(ending) = Ending::of(&before, !tools.is_empty()) else { continue };
        assert_eq!(ending.n_calls, n_calls);
        let n = dice.throw(1..5);
        let more = dice.turns(n, &mut n_calls, Some(before.last().unwrap().role.as_str()));
        let Some((tail, n_opening)) = template.encode_more(tokenizer, ending, &more) else {
            continue;
        };
        let Some(after) = ending.after(&more) else { continue };
        n_told += 1;
        let longer = [&before[..], &more].concat();
        let closed = template.encode(tokenizer, &before, &tools, false).unwrap();
        let whole = template.encode(tokenizer, &longer, &tools, true).unwrap();
        assert_eq!([closed, tail].concat(), whole, "{what}: {before:#?}\n{more:#?}");
        let turns = template.encode(tokenizer, &longer, &tools, false).unwrap();
        assert_eq!(whole[..whole.len() - n_opening], turns, "{what}");
        assert_eq!(template.opening(tokenizer, after).unwrap(), &whole[turns.len()..], "{what}");
    }
    n_told
}

#[test]
fn tails_are_what_whole_conversations_end_with() {
    for (source, what, [bare, with_tools]) in [
        (QWEN, "qwen", [100.., 100..]),
        (LAST_QUESTION, "last question", [10.., 10..]),
        (TOOLS_LAST, "tools last", [20.., 10..]),
        (FOLDED, "folded", [20.., 20..]),
    ] {
        let loaded = with_template(Some(source)).unwrap();
        for (tools, least) in [(false, bare), (true, with_tools)] {
            let n_told = check(&loaded.tokenizer, &loaded.template, tools, what);
            assert!(least.contains(&n_told), "{what}, tools {tools}: {n_told} of 300");
        }
    }
    for source in [COUNTED, PLAIN] {
        let loaded = with_template(Some(source)).unwrap();
        assert_eq!(check(&loaded.tokenizer, &loaded.template, true, source), 0, "{source}");
    }
}

#[test]
fn real_templates_let_conversations_grow() {
    for name in ["smollm2-135m", "qwen2.5-coder-0.5b"] {
        let file = ModelFile::open(&test_model(name)).unwrap();
        let tokenizer = Tokenizer::from_gguf(&file.gguf).unwrap();
        let template = ChatTemplate::from_gguf(&file.gguf, &tokenizer).unwrap();
        for tools in [false, true] {
            let n_told = check(&tokenizer, &template, tools, name);
            assert!(n_told > 80, "{name}, tools {tools}: {n_told} of 300");
        }
    }
}
