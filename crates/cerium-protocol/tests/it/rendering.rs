//! What clients are told, byte for byte.

use cerium_protocol::wire::chat::{self, Extras};
use cerium_protocol::wire::{completions, models, responses};
use cerium_protocol::{
    DraftCounts, DraftUsage, ErrorBody, ErrorKind, Event, Input, Item, Logprob, ModelInfo,
    Response, Role, ServiceTier, Status, Steered, TextDelta, Timings, TokenLogprob, Usage,
};
use serde::Serialize;
use std::slice;

const WITH_USAGE: Extras = Extras { n: 1, usage: true, logprobs: None, tier: ServiceTier::Default };

pub(crate) fn response(status: Status, text: &str) -> Response {
    Response {
        id: "resp_1".into(),
        model: "m".into(),
        status,
        incomplete_reason: (status == Status::Incomplete).then(|| "context".into()),
        output: vec![Item::message(Role::Assistant, text)],
        logprobs: Vec::new(),
        usage: Usage {
            prompt_tokens: 120,
            cached_tokens: 100,
            output_tokens: 7,
            drafted_tokens: 4,
            accepted_tokens: 3,
            output_steps: 2,
            drafts: DraftUsage {
                copied: DraftCounts { drafted_tokens: 3, accepted_tokens: 3 },
                repeated: DraftCounts { drafted_tokens: 1, accepted_tokens: 0 },
                ..DraftUsage::default()
            },
        },
        timings: Timings {
            queue_ms: 0.5,
            prefill_ms: 1.5,
            ttft_ms: 2.5,
            decode_ms: 10.0,
            total_ms: 13.0,
        },
        why: None,
    }
}

/// An answer of two pieces, from its creation to its end.
fn answer(status: Status) -> [Event; 5] {
    [
        Event::Created(Response {
            usage: Usage::default(),
            output: Vec::new(),
            ..response(Status::InProgress, "")
        }),
        Event::Added { index: 0, item: Item::message(Role::Assistant, "") },
        Event::TextDelta("Hel".into()),
        Event::TextDelta("lo".into()),
        Event::Done(response(status, "Hello")),
    ]
}

fn json(told: impl Serialize) -> serde_json::Value {
    serde_json::to_value(told).unwrap()
}

fn lines<T: Serialize>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> =
        items.into_iter().map(|item| serde_json::to_string(&item).unwrap()).collect();
    texts.join("\n")
}

/// Events of a response, without the long response objects (they have a test of their own).
fn events(happened: impl IntoIterator<Item = Event>) -> String {
    let mut events = responses::Events::new(responses::Echo::default());
    let told: Vec<_> = happened.into_iter().flat_map(|event| events.push(event)).collect();
    let texts: Vec<_> = told
        .iter()
        .map(|event| {
            let text = serde_json::to_string(event).unwrap();
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["type"], event.name(), "the SSE name repeats the type");
            let Some(response) = json.get("response") else {
                return text;
            };
            let about = (&response["status"], &response["incomplete_details"]["reason"]);
            let texts: Vec<_> = response["output"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| &item["content"][0]["text"])
                .collect();
            format!("{} #{} {about:?} {texts:?}", event.name(), json["sequence_number"])
        })
        .collect();
    texts.join("\n")
}

#[test]
fn a_response_streams_in_the_order_clients_take() {
    insta::assert_snapshot!(events(answer(Status::Completed)), @r#"
    response.created #0 (String("in_progress"), Null) []
    response.in_progress #1 (String("in_progress"), Null) []
    {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]},"sequence_number":2}
    {"type":"response.content_part.added","item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]},"sequence_number":3}
    {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hel","logprobs":[],"sequence_number":4}
    {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"lo","logprobs":[],"sequence_number":5}
    {"type":"response.output_text.done","item_id":"msg_1","output_index":0,"content_index":0,"text":"Hello","logprobs":[],"sequence_number":6}
    {"type":"response.content_part.done","item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]},"sequence_number":7}
    {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]},"sequence_number":8}
    response.completed #9 (String("completed"), Null) [String("Hello")]
    "#);
}

#[test]
fn what_a_conversation_has_become_is_told_before_the_answer_and_once() {
    let compaction = Some("sealed".to_owned());
    let echo = responses::Echo { background: true, compaction, ..responses::Echo::default() };
    let mut events = responses::Events::new(echo);
    let [created, added, piece, ..] = answer(Status::Completed);
    let steered = Event::Steered(Box::new(Steered {
        ended: response(Status::Incomplete, "Hel"),
        successor: Response { id: "resp_2".to_owned(), ..response(Status::InProgress, "Hel") },
    }));
    let happened = [created, Event::Queued { n_before: 1, wait_ms: None }, added, piece, steered];
    let told: Vec<_> =
        happened.into_iter().flat_map(|event| events.push(event)).map(json).collect();
    let line = |event: &serde_json::Value| {
        let output = event["response"]["output"].as_array();
        let ids = output.map(|items| items.iter().map(|item| &item["id"]).collect::<Vec<_>>());
        let about =
            format!("{} {} {}", event["output_index"], event["item"]["id"], event["item_id"]);
        format!("{} {}", event["type"], ids.map_or(about, |ids| format!("{ids:?}")))
    };
    insta::assert_snapshot!(told.iter().map(line).collect::<Vec<_>>().join("\n"), @r#"
    "response.created" []
    "response.queued" []
    "response.queued" []
    "response.in_progress" []
    "response.output_item.added" 0 "cmp_1" null
    "response.output_item.done" 0 "cmp_1" null
    "response.output_item.added" 1 "msg_1_1" null
    "response.content_part.added" 1 null "msg_1_1"
    "response.output_text.delta" 1 null "msg_1_1"
    "response.output_text.done" 1 null "msg_1_1"
    "response.content_part.done" 1 null "msg_1_1"
    "response.output_item.done" 1 "msg_1_1" null
    "response.incomplete" [String("cmp_1"), String("msg_1_1")]
    "response.created" []
    "response.queued" []
    "response.in_progress" []
    "response.output_item.added" 0 "msg_2" null
    "response.content_part.added" 0 null "msg_2"
    "response.output_text.delta" 0 null "msg_2"
    "#);
}

#[test]
fn a_cut_response_ends_incomplete() {
    let [created, .., done] = answer(Status::Incomplete);
    insta::assert_snapshot!(events([created, done]), @r#"
    response.created #0 (String("in_progress"), Null) []
    response.in_progress #1 (String("in_progress"), Null) []
    {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_1","status":"in_progress","role":"assistant","content":[]},"sequence_number":2}
    {"type":"response.content_part.added","item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]},"sequence_number":3}
    {"type":"response.output_text.done","item_id":"msg_1","output_index":0,"content_index":0,"text":"Hello","logprobs":[],"sequence_number":4}
    {"type":"response.content_part.done","item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]},"sequence_number":5}
    {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"msg_1","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[],"logprobs":[]}]},"sequence_number":6}
    response.incomplete #7 (String("incomplete"), String("max_output_tokens")) [String("Hello")]
    "#);
}

#[test]
fn a_failing_response_says_so_in_the_stream() {
    let error = ErrorBody::new(ErrorKind::ServerError, "the engine stopped");
    let [created, delta, ..] = answer(Status::Completed);
    let mut stream = responses::Events::new(responses::Echo::default());
    for event in [created, delta] {
        stream.push(event);
    }
    let last = stream.push(Event::Failed(error.clone()));
    let json = serde_json::to_value(&last[0]).unwrap();
    assert_eq!((last.len(), json["type"].as_str()), (1, Some("response.failed")));
    assert_eq!(json["response"]["status"], "failed");
    assert_eq!(
        json["response"]["error"],
        serde_json::json!({"code": "server_error", "message": "the engine stopped"})
    );
    insta::assert_snapshot!(events([Event::Failed(error)]), @r#"{"type":"error","code":null,"message":"the engine stopped","param":null,"sequence_number":0}"#);
}

#[test]
fn a_finished_response_has_every_published_field() {
    let echo = responses::Echo {
        created_at: 1_700_000_000,
        instructions: Some("be brief".into()),
        max_output_tokens: Some(16),
        temperature: 0.7,
        top_p: 1.0,
        metadata: [("a".to_owned(), "b".to_owned())].into(),
        ..responses::Echo::default()
    };
    let object = responses::ResponseObject::finished(&response(Status::Completed, "hi"), &echo);
    insta::assert_snapshot!(serde_json::to_string_pretty(&object).unwrap(), @r#"
    {
      "id": "resp_1",
      "object": "response",
      "created_at": 1700000000,
      "completed_at": 1700000000,
      "status": "completed",
      "background": false,
      "error": null,
      "incomplete_details": null,
      "instructions": "be brief",
      "max_output_tokens": 16,
      "max_tool_calls": null,
      "model": "m",
      "output": [
        {
          "type": "message",
          "id": "msg_1",
          "status": "completed",
          "role": "assistant",
          "content": [
            {
              "type": "output_text",
              "text": "hi",
              "annotations": [],
              "logprobs": []
            }
          ]
        }
      ],
      "parallel_tool_calls": true,
      "previous_response_id": null,
      "conversation": null,
      "prompt_cache_key": null,
      "prompt_cache_options": null,
      "prompt_cache_retention": null,
      "reasoning": {
        "effort": null,
        "summary": null
      },
      "safety_identifier": null,
      "service_tier": "default",
      "store": false,
      "temperature": 0.7,
      "text": {
        "format": {
          "type": "text"
        },
        "verbosity": "medium"
      },
      "tool_choice": "auto",
      "tools": [],
      "top_logprobs": 0,
      "top_p": 1.0,
      "truncation": "disabled",
      "usage": {
        "input_tokens": 120,
        "input_tokens_details": {
          "cached_tokens": 100,
          "cache_write_tokens": 0
        },
        "output_tokens": 7,
        "output_tokens_details": {
          "reasoning_tokens": 0
        },
        "total_tokens": 127
      },
      "user": null,
      "metadata": {
        "a": "b"
      },
      "cerium": {
        "status": "completed",
        "prompt_tokens": 120,
        "cached_tokens": 100,
        "output_tokens": 7,
        "output_steps": 2,
        "drafted_tokens": 4,
        "accepted_tokens": 3,
        "drafts": {
          "copied": {
            "drafted_tokens": 3,
            "accepted_tokens": 3
          },
          "changed": {
            "drafted_tokens": 0,
            "accepted_tokens": 0
          },
          "repeated": {
            "drafted_tokens": 1,
            "accepted_tokens": 0
          },
          "forced": {
            "drafted_tokens": 0,
            "accepted_tokens": 0
          }
        },
        "queue_ms": 0.5,
        "prefill_ms": 1.5,
        "ttft_ms": 2.5,
        "decode_ms": 10.0,
        "total_ms": 13.0
      }
    }
    "#);
}

#[test]
fn a_chat_streams_role_first_and_usage_last() {
    let mut frames = chat::Frames::new(5, WITH_USAGE);
    let told = lines(answer(Status::Completed).into_iter().flat_map(|e| frames.push(0, e)));
    insta::assert_snapshot!(told, @r#"
    {"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{"content":"lo"},"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}
    {"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[],"usage":{"prompt_tokens":120,"completion_tokens":7,"total_tokens":127,"prompt_tokens_details":{"cached_tokens":100,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":3,"rejected_prediction_tokens":0}}}
    "#);
    let mut frames = chat::Frames::new(5, Extras::default());
    let told = lines(answer(Status::Incomplete).into_iter().flat_map(|e| frames.push(0, e)));
    assert!(!told.contains("usage"), "{told}");
    assert!(told.contains(r#""finish_reason":"length""#), "{told}");
}

#[test]
fn a_chat_completion() {
    let completion =
        chat::Completion::new(&[response(Status::Completed, "hi")], 5, Extras::default());
    insta::assert_snapshot!(serde_json::to_string_pretty(&completion).unwrap(), @r#"
    {
      "id": "chatcmpl-1",
      "object": "chat.completion",
      "created": 5,
      "model": "m",
      "choices": [
        {
          "index": 0,
          "message": {
            "role": "assistant",
            "content": "hi",
            "refusal": null,
            "annotations": []
          },
          "logprobs": null,
          "finish_reason": "stop"
        }
      ],
      "usage": {
        "prompt_tokens": 120,
        "completion_tokens": 7,
        "total_tokens": 127,
        "prompt_tokens_details": {
          "cached_tokens": 100,
          "audio_tokens": 0
        },
        "completion_tokens_details": {
          "reasoning_tokens": 0,
          "audio_tokens": 0,
          "accepted_prediction_tokens": 3,
          "rejected_prediction_tokens": 0
        }
      },
      "service_tier": "default"
    }
    "#);
}

#[test]
fn a_text_completion_whole_and_in_pieces() {
    let whole = completions::Completion::new(
        &[response(Status::Incomplete, "hi")],
        5,
        Extras::default(),
        None,
    );
    insta::assert_snapshot!(lines([whole]), @r#"{"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"text":"hi","index":0,"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":120,"completion_tokens":7,"total_tokens":127,"prompt_tokens_details":{"cached_tokens":100,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":3,"rejected_prediction_tokens":0}},"cerium":{"status":"incomplete","incomplete_reason":"context","prompt_tokens":120,"cached_tokens":100,"output_tokens":7,"output_steps":2,"drafted_tokens":4,"accepted_tokens":3,"drafts":{"copied":{"drafted_tokens":3,"accepted_tokens":3},"changed":{"drafted_tokens":0,"accepted_tokens":0},"repeated":{"drafted_tokens":1,"accepted_tokens":0},"forced":{"drafted_tokens":0,"accepted_tokens":0}},"queue_ms":0.5,"prefill_ms":1.5,"ttft_ms":2.5,"decode_ms":10.0,"total_ms":13.0}}"#);
    let mut frames = completions::Frames::new(5, WITH_USAGE, None);
    let told = lines(answer(Status::Completed).into_iter().flat_map(|e| frames.push(0, e)));
    insta::assert_snapshot!(told, @r#"
    {"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"text":"Hel","index":0,"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"text":"lo","index":0,"logprobs":null,"finish_reason":null}],"usage":null}
    {"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],"usage":null,"cerium":{"status":"completed","prompt_tokens":120,"cached_tokens":100,"output_tokens":7,"output_steps":2,"drafted_tokens":4,"accepted_tokens":3,"drafts":{"copied":{"drafted_tokens":3,"accepted_tokens":3},"changed":{"drafted_tokens":0,"accepted_tokens":0},"repeated":{"drafted_tokens":1,"accepted_tokens":0},"forced":{"drafted_tokens":0,"accepted_tokens":0}},"queue_ms":0.5,"prefill_ms":1.5,"ttft_ms":2.5,"decode_ms":10.0,"total_ms":13.0}}
    {"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[],"usage":{"prompt_tokens":120,"completion_tokens":7,"total_tokens":127,"prompt_tokens_details":{"cached_tokens":100,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":3,"rejected_prediction_tokens":0}}}
    "#);
}

/// A token and its only rival.
fn likely(text: &str, bytes: &[u8], logprob: f32) -> TokenLogprob {
    let one = |token: &str, bytes: &[u8], logprob| Logprob {
        token: token.into(),
        logprob,
        bytes: Some(bytes.into()),
    };
    let top_logprobs = vec![one("no", b"no", -0.25)];
    TokenLogprob { chosen: one(text, bytes, logprob), top_logprobs }
}

/// An answer of two pieces, the second of which is a character that two tokens share.
pub(crate) fn likely_answer() -> [Event; 5] {
    let first = vec![likely("a", b"a", -0.5)];
    let second = vec![likely("\u{fffd}", &[0xc3], -1.5), likely("\u{fffd}", &[0xa9], -0.125)];
    let [created, added, .., done] = answer(Status::Completed);
    let Event::Done(done) = done else { unreachable!() };
    let logprobs = [first.clone(), second.clone()].concat();
    let output = vec![Item::message(Role::Assistant, "aé")];
    [
        created,
        added,
        Event::TextDelta(TextDelta { logprobs: first, .."a".into() }),
        Event::TextDelta(TextDelta { logprobs: second, .."é".into() }),
        Event::Done(Response { output, logprobs, ..done }),
    ]
}

#[test]
fn log_probabilities_come_with_the_text_of_their_tokens() {
    let extras = Extras { n: 1, usage: false, logprobs: Some(1), tier: ServiceTier::Default };
    let happened = likely_answer();
    let [.., Event::Done(response)] = &happened else { unreachable!() };
    let show = |it: Vec<serde_json::Value>| {
        it.iter().map(|it| it["choices"][0]["logprobs"].to_string()).collect::<Vec<_>>().join("\n")
    };
    let mut frames = chat::Frames::new(5, extras);
    let pieces = happened.iter().cloned().flat_map(|e| frames.push(0, e));
    let mut told: Vec<_> = pieces.map(json).collect();
    told.push(json(chat::Completion::new(slice::from_ref(response), 5, extras)));
    insta::assert_snapshot!(show(told), @r#"
    null
    {"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"no","logprob":-0.25,"bytes":[110,111]}]}],"refusal":null}
    {"content":[{"token":"�","logprob":-1.5,"bytes":[195],"top_logprobs":[{"token":"no","logprob":-0.25,"bytes":[110,111]}]},{"token":"�","logprob":-0.125,"bytes":[169],"top_logprobs":[{"token":"no","logprob":-0.25,"bytes":[110,111]}]}],"refusal":null}
    null
    {"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"no","logprob":-0.25,"bytes":[110,111]}]},{"token":"�","logprob":-1.5,"bytes":[195],"top_logprobs":[{"token":"no","logprob":-0.25,"bytes":[110,111]}]},{"token":"�","logprob":-0.125,"bytes":[169],"top_logprobs":[{"token":"no","logprob":-0.25,"bytes":[110,111]}]}],"refusal":null}
    "#);
    let mut frames = completions::Frames::new(5, extras, None);
    let pieces = happened.iter().cloned().flat_map(|e| frames.push(0, e));
    let mut told: Vec<_> = pieces.map(json).collect();
    told.push(json(completions::Completion::new(slice::from_ref(response), 5, extras, None)));
    let chosen = Extras { logprobs: Some(0), ..extras };
    told.push(json(completions::Completion::new(slice::from_ref(response), 5, chosen, None)));
    insta::assert_snapshot!(show(told), @r#"
    {"tokens":["a"],"token_logprobs":[-0.5],"top_logprobs":[{"a":-0.5,"no":-0.25}],"text_offset":[0]}
    {"tokens":["bytes:\\xc3","bytes:\\xa9"],"token_logprobs":[-1.5,-0.125],"top_logprobs":[{"bytes:\\xc3":-1.5,"no":-0.25},{"bytes:\\xa9":-0.125,"no":-0.25}],"text_offset":[1,2]}
    null
    {"tokens":["a","bytes:\\xc3","bytes:\\xa9"],"token_logprobs":[-0.5,-1.5,-0.125],"top_logprobs":[{"a":-0.5,"no":-0.25},{"bytes:\\xc3":-1.5,"no":-0.25},{"bytes:\\xa9":-0.125,"no":-0.25}],"text_offset":[0,1,2]}
    {"tokens":["a","bytes:\\xc3","bytes:\\xa9"],"token_logprobs":[-0.5,-1.5,-0.125],"top_logprobs":null,"text_offset":[0,1,2]}
    "#);
}

/// Two candidates, interleaved: their pieces by index, one id, the counts of both at the end.
#[test]
fn an_echo_comes_first() {
    let whole = completions::Completion::new(
        &[response(Status::Completed, "hi")],
        5,
        Extras::default(),
        Some("say "),
    );
    assert_eq!(json(whole)["choices"][0]["text"], "say hi");
    let mut frames = completions::Frames::new(5, Extras::default(), Some("say ".into()));
    let told = answer(Status::Completed).into_iter().flat_map(|e| frames.push(0, e)).map(json);
    let texts: Vec<_> = told.map(|it| it["choices"][0]["text"].clone()).collect();
    assert_eq!(texts, ["say ", "Hel", "lo", ""]);
}

#[test]
fn candidates_are_told_by_index() {
    let extras = Extras { n: 2, ..WITH_USAGE };
    let happened = |status| {
        answer(status).map(|event| match event {
            Event::Created(response) => {
                Event::Created(Response { id: "resp_2".into(), ..response })
            }
            other => other,
        })
    };
    let both = || {
        let (one, other) = (answer(Status::Completed), happened(Status::Incomplete));
        one.into_iter().zip(other).flat_map(|(a, b)| [(0, a), (1, b)])
    };
    let brief = |frame: serde_json::Value| {
        let (choice, usage) = (&frame["choices"][0], &frame["usage"]);
        let text = choice["delta"].get("content").or(choice.get("text"));
        let text = text.map_or("-".to_owned(), serde_json::Value::to_string);
        let (index, reason) = (&choice["index"], &choice["finish_reason"]);
        let (prompt, output) = (&usage["prompt_tokens"], &usage["completion_tokens"]);
        format!("{} {index} {text} {reason} {prompt}+{output}", frame["id"])
    };
    let mut frames = chat::Frames::new(5, extras);
    let told = both().flat_map(|(i, e)| frames.push(i, e)).map(|frame| brief(json(frame)));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    "chatcmpl-1" 0 "" null null+null
    "chatcmpl-1" 1 "" null null+null
    "chatcmpl-1" 0 "Hel" null null+null
    "chatcmpl-1" 1 "Hel" null null+null
    "chatcmpl-1" 0 "lo" null null+null
    "chatcmpl-1" 1 "lo" null null+null
    "chatcmpl-1" 0 - "stop" null+null
    "chatcmpl-1" 1 - "length" null+null
    "chatcmpl-1" null - null 120+14
    "#);
    let mut frames = completions::Frames::new(5, extras, None);
    let told = both().flat_map(|(i, e)| frames.push(i, e)).map(|frame| brief(json(frame)));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    "cmpl-1" 0 "Hel" null null+null
    "cmpl-1" 1 "Hel" null null+null
    "cmpl-1" 0 "lo" null null+null
    "cmpl-1" 1 "lo" null null+null
    "cmpl-1" 0 "" "stop" null+null
    "cmpl-1" 1 "" "length" null+null
    "cmpl-1" null - null 120+14
    "#);
    let ended = [response(Status::Completed, "one"), response(Status::Incomplete, "other")];
    let chat = json(chat::Completion::new(&ended, 5, extras));
    let text = json(completions::Completion::new(&ended, 5, extras, None));
    for (index, (want, reason)) in [("one", "stop"), ("other", "length")].into_iter().enumerate() {
        assert_eq!(chat["choices"][index]["message"]["content"], want);
        assert_eq!(text["choices"][index]["text"], want);
        for choice in [&chat["choices"][index], &text["choices"][index]] {
            assert_eq!(
                (&choice["index"], &choice["finish_reason"]),
                (&index.into(), &reason.into())
            );
        }
    }
    assert_eq!(chat["usage"]["completion_tokens"], 14);
    assert_eq!(chat["usage"], text["usage"]);
}

#[test]
fn an_error_in_a_chat_stream_is_the_usual_envelope() {
    let error = ErrorBody::new(ErrorKind::ServerError, "gone");
    insta::assert_snapshot!(lines(chat::Frames::new(5, WITH_USAGE).push(0, Event::Failed(error))), @r#"{"error":{"message":"gone","type":"server_error","param":null,"code":null}}"#);
}

/// An answer that thinks, speaks, and calls two tools.
pub(crate) fn calling() -> Vec<Event> {
    let call = |arguments: &str| Item::FunctionCall {
        call_id: "call_1".into(),
        name: "run".into(),
        namespace: None,
        arguments: arguments.into(),
    };
    let custom = |input: &str| Item::CustomToolCall {
        call_id: "call_2".into(),
        name: "apply_patch".into(),
        namespace: Some("n".into()),
        input: input.into(),
    };
    let thought = |text: &str| Item::Reasoning { text: text.into() };
    let said = |text: &str| Item::message(Role::Assistant, text);
    let created = Response { output: Vec::new(), ..response(Status::InProgress, "") };
    let output = vec![thought("hm"), said("Hi"), call(r#"{"a":1}"#), custom("x\n")];
    vec![
        Event::Created(created),
        Event::Added { index: 0, item: thought("") },
        Event::ReasoningDelta("hm".into()),
        Event::Added { index: 1, item: said("") },
        Event::TextDelta("Hi".into()),
        Event::Added { index: 2, item: call("") },
        Event::CallDelta(r#"{"a""#.into()),
        Event::CallDelta(":1}".into()),
        Event::Added { index: 3, item: custom("") },
        Event::CallDelta("x\n".into()),
        Event::Done(Response { output, ..response(Status::Completed, "") }),
    ]
}

#[test]
fn items_follow_each_other_whole() {
    let mut events = responses::Events::new(responses::Echo::default());
    let told: Vec<_> = calling().into_iter().flat_map(|event| events.push(event)).collect();
    // What is said has tests of its own.
    let told = told.iter().map(|event| serde_json::to_string(event).unwrap());
    let told = told.filter(|line| !line.contains("\"response\":") && !line.contains("msg_"));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r#"
    {"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"in_progress","summary":[],"content":[]},"sequence_number":2}
    {"type":"response.content_part.added","item_id":"rs_1","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":""},"sequence_number":3}
    {"type":"response.reasoning_text.delta","item_id":"rs_1","output_index":0,"content_index":0,"delta":"hm","sequence_number":4}
    {"type":"response.reasoning_text.done","item_id":"rs_1","output_index":0,"content_index":0,"text":"hm","sequence_number":5}
    {"type":"response.content_part.done","item_id":"rs_1","output_index":0,"content_index":0,"part":{"type":"reasoning_text","text":"hm"},"sequence_number":6}
    {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","status":"completed","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},"sequence_number":7}
    {"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","id":"fc_1_2","status":"in_progress","call_id":"call_1","name":"run","arguments":""},"sequence_number":14}
    {"type":"response.function_call_arguments.delta","item_id":"fc_1_2","output_index":2,"delta":"{\"a\"","sequence_number":15}
    {"type":"response.function_call_arguments.delta","item_id":"fc_1_2","output_index":2,"delta":":1}","sequence_number":16}
    {"type":"response.function_call_arguments.done","item_id":"fc_1_2","output_index":2,"name":"run","arguments":"{\"a\":1}","sequence_number":17}
    {"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","id":"fc_1_2","status":"completed","call_id":"call_1","name":"run","arguments":"{\"a\":1}"},"sequence_number":18}
    {"type":"response.output_item.added","output_index":3,"item":{"type":"custom_tool_call","id":"ctc_1_3","status":"in_progress","call_id":"call_2","name":"apply_patch","namespace":"n","input":""},"sequence_number":19}
    {"type":"response.custom_tool_call_input.delta","item_id":"ctc_1_3","output_index":3,"delta":"x\n","sequence_number":20}
    {"type":"response.custom_tool_call_input.done","item_id":"ctc_1_3","output_index":3,"input":"x\n","sequence_number":21}
    {"type":"response.output_item.done","output_index":3,"item":{"type":"custom_tool_call","id":"ctc_1_3","status":"completed","call_id":"call_2","name":"apply_patch","namespace":"n","input":"x\n"},"sequence_number":22}
    "#);
}

#[test]
fn chat_counts_calls_alone() {
    let mut frames = chat::Frames::new(5, Extras::default());
    let told = lines(calling().into_iter().flat_map(|event| frames.push(0, event)));
    let head = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"m","choices":[{"index":0,"#;
    insta::assert_snapshot!(told.replace(head, ""), @r#"
    "delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}
    "delta":{"reasoning_content":"hm"},"logprobs":null,"finish_reason":null}]}
    "delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}]}
    "delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"run","arguments":""}}]},"logprobs":null,"finish_reason":null}]}
    "delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]},"logprobs":null,"finish_reason":null}]}
    "delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"logprobs":null,"finish_reason":null}]}
    "delta":{"tool_calls":[{"index":1,"id":"call_2","type":"custom","custom":{"name":"apply_patch","input":""}}]},"logprobs":null,"finish_reason":null}]}
    "delta":{"tool_calls":[{"index":1,"custom":{"input":"x\n"}}]},"logprobs":null,"finish_reason":null}]}
    "delta":{},"logprobs":null,"finish_reason":"tool_calls"}]}
    "#);
    let Some(Event::Done(done)) = calling().pop() else { unreachable!() };
    let whole = serde_json::to_value(chat::Completion::new(&[done], 5, Extras::default())).unwrap();
    insta::assert_snapshot!(whole["choices"][0].to_string(), @r#"{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"annotations":[],"reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"run","arguments":"{\"a\":1}"}},{"id":"call_2","type":"custom","custom":{"name":"apply_patch","input":"x\n"}}]},"logprobs":null,"finish_reason":"tool_calls"}"#);
}

#[test]
fn models_name_their_context() {
    let info = ModelInfo { name: "m".into(), context_tokens: 4096, infill: true, extensions: true };
    let list = models::ModelList::new(vec![models::Model::new(&info, 5)]);
    insta::assert_snapshot!(lines([list]), @r#"{"object":"list","data":[{"id":"m","object":"model","created":5,"owned_by":"cerium","context_length":4096,"max_model_len":4096,"capabilities":["chat","completion","logprobs","infill"]}]}"#);
}

#[test]
fn a_redirected_response_ends_and_the_next_one_begins() {
    let ended = Response {
        incomplete_reason: Some("steered".into()),
        ..response(Status::Incomplete, "Hel")
    };
    let successor = Response { id: "resp_2".into(), ..response(Status::InProgress, "Hel") };
    let steered = Event::Steered(Box::new(Steered { ended, successor }));
    let mut events = responses::Events::new(responses::Echo::default());
    let [created, added, ..] = answer(Status::Completed);
    let happened = [created, added, Event::TextDelta("Hello".into()), steered];
    let told: Vec<_> = happened.into_iter().flat_map(|event| events.push(event)).collect();
    let told: Vec<_> = told.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    let name = |event: &serde_json::Value| {
        let number = &event["sequence_number"];
        format!("{number} {}", event["type"].as_str().unwrap().trim_start_matches("response."))
    };
    insta::assert_snapshot!(told.iter().map(name).collect::<Vec<_>>().join(", "), @"0 created, 1 in_progress, 2 output_item.added, 3 content_part.added, 4 output_text.delta, 5 output_text.done, 6 content_part.done, 7 output_item.done, 8 incomplete, 0 created, 1 in_progress, 2 output_item.added, 3 content_part.added, 4 output_text.delta");
    assert_eq!(told[8]["response"]["incomplete_details"]["reason"], "steered");
    assert_eq!((&told[9]["response"]["id"], &told[13]["delta"]), (&"resp_2".into(), &"Hel".into()));
}

#[test]
fn what_is_only_computed_has_no_output() {
    let mut events = responses::Events::new(responses::Echo::default());
    let [created, ..] = answer(Status::Completed);
    let done = Response { output: Vec::new(), ..response(Status::Completed, "") };
    let told: Vec<_> =
        [created, Event::Done(done)].into_iter().flat_map(|event| events.push(event)).collect();
    let names: Vec<_> = told.iter().map(responses::StreamEvent::name).collect();
    assert_eq!(names, ["response.created", "response.in_progress", "response.completed"]);
    let last = serde_json::to_value(&told[2]).unwrap();
    assert_eq!(last["response"]["output"], serde_json::json!([]));
}

#[test]
fn steering_is_accepted_or_given_back() {
    let previous_response_id = || "resp_1".to_owned();
    let steer =
        responses::SteerId { id: "steer_1".into(), previous_response_id: previous_response_id() };
    let refused = responses::Refused {
        previous_response_id: previous_response_id(),
        input: Input::Text("no".into()),
    };
    let error = ErrorBody::invalid("previous_response_id", "it has ended");
    let told = [
        responses::SteerEvent::Accepted { steer },
        responses::SteerEvent::Failed { steer: refused, error },
    ];
    insta::assert_snapshot!(lines(told), @r#"
    {"type":"response.steer.accepted","steer":{"id":"steer_1","previous_response_id":"resp_1"}}
    {"type":"response.steer.failed","steer":{"previous_response_id":"resp_1","input":"no"},"error":{"message":"it has ended","type":"invalid_request_error","param":"previous_response_id","code":"invalid_value"}}
    "#);
}
