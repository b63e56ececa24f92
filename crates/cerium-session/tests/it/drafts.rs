//! Real models: an answer is the same, whatever it is drafted from and whatever was predicted.

use cerium_engine::{Engine, EngineOptions};
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_model::{Cpu, Model};
use cerium_protocol::{
    CreateResponse, DraftSource, DraftUsage, Event, Extensions, Input, Response,
};
use cerium_session::Service;
use std::sync::Arc;

pub(crate) fn service(name: &str) -> Service {
    let file = ModelFile::open(&cerium_hub::test_model(name)).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf).unwrap());
    let template = Arc::new(ChatTemplate::from_gguf(&file.gguf, &tokenizer).unwrap());
    let engine =
        Engine::start(Model::load(file, Cpu::best(), 2).unwrap(), EngineOptions::default());
    Service::new(name.into(), tokenizer, template, engine.n_context(), engine)
}

const CODE: &str = "\
def area(width, height):
    size = width * height
    if size < 0:
        raise ValueError('size')
    return size


def volume(width, height, depth):
    size = width * height * depth
    if size < 0:
        raise ValueError('size')
    return size";

fn ask(instruction: &str, drafts: Option<Vec<DraftSource>>, prediction: &str) -> CreateResponse {
    let block = format!("```python\n{CODE}\n```");
    let text = format!("{block}\n\n{instruction} Reply with the whole changed code.");
    CreateResponse {
        max_output_tokens: Some(140),
        cerium: Extensions {
            prefix: "```python\n".into(),
            stop: vec!["\n```".into()],
            prediction: Some(prediction.into()),
            drafts,
            ..Extensions::default()
        },
        ..CreateResponse::new(String::new(), Input::Text(text))
    }
}

fn answer(service: &Service, request: &CreateResponse) -> Response {
    let mut stream = service.respond(request).unwrap();
    loop {
        match stream.next().unwrap() {
            Event::Done(response) => return response,
            Event::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

/// Every kind of draft against none, for one request. Returns what was drafted, by kind.
fn check(
    service: &Service,
    make: impl Fn(Option<Vec<DraftSource>>, &str) -> CreateResponse,
) -> DraftUsage {
    use DraftSource::{Changes, Prediction, Repeats};
    let plain = answer(service, &make(Some(Vec::new()), CODE));
    assert_eq!((plain.usage.drafted_tokens, plain.usage.drafts), (0, DraftUsage::default()));
    let whole = format!("{CODE}\n```");
    // Wrong at every third line, and about something else.
    let stale: Vec<&str> =
        CODE.lines().enumerate().filter(|(i, _)| i % 3 > 0).map(|l| l.1).collect();
    let other = "fn main() {\n    println!(\"{size} {width} {height}\");\n}\n".repeat(5);
    let mut sum = cerium_protocol::Usage::default();
    for (drafts, prediction) in [
        (Some(vec![Prediction]), whole.as_str()),
        (Some(vec![Changes]), &whole),
        (Some(vec![Repeats]), &whole),
        (None, &whole),
        (None, &stale.join("\n")),
        (None, &other),
        (None, &plain.text()),
    ] {
        let got = answer(service, &make(drafts.clone(), prediction));
        assert_eq!(got.text(), plain.text(), "{drafts:?} {prediction}");
        assert_eq!(got.status, plain.status, "{drafts:?} {prediction}");
        assert!(got.usage.accepted_tokens <= got.usage.drafted_tokens);
        sum += got.usage;
    }
    sum.drafts
}

#[test]
fn answers_are_those_of_plain_decoding() {
    let service = service("smollm2-135m");
    let mut accepted = [0; 3];
    for instruction in ["Rename size to result.", "Add a docstring to area.", "Write a poem."] {
        for (temperature, penalty) in [(None, None), (Some(0.8), None), (Some(0.4), Some(1.1))] {
            let drafts = check(&service, |drafts, prediction| {
                let mut request = ask(instruction, drafts, prediction);
                request.temperature = temperature;
                request.cerium.seed = Some(7);
                request.cerium.repetition_penalty = penalty;
                request
            });
            let kinds = [drafts.copied, drafts.changed, drafts.repeated];
            for (sum, kind) in accepted.iter_mut().zip(kinds) {
                *sum += kind.accepted_tokens;
            }
        }
    }
    assert!(accepted[0] > 100 && accepted[2] > 50, "{accepted:?}");
}

#[test]
fn the_larger_model_answers_the_same_in_few_steps() {
    let service = service("qwen2.5-coder-0.5b");
    let instruction = "Rename the variable `size` to `result` everywhere.";
    let make = |drafts, prediction: &str| ask(instruction, drafts, prediction);
    let drafts = check(&service, make);
    assert!(drafts.changed.accepted_tokens > 0, "{drafts:?}");
    let plain = answer(&service, &make(Some(Vec::new()), CODE)).usage;
    assert_eq!(plain.output_steps, plain.output_tokens);
    let drafted = answer(&service, &make(None, &format!("{CODE}\n```"))).usage;
    assert!(drafted.output_steps * 3 < plain.output_steps, "{drafted:?}");
}
