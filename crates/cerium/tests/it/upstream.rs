//! Engines elsewhere: questions that are delegated to them, and a server in front of another.

use crate::client::{post, wait_until};
use crate::engine_script::{Act, Engine, chat, chunk};
use crate::screen::Screen;
use crate::serve::{Server, start};
use crate::world::{CALC, World};
use cerium_hub::test_model;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::SeqCst;

fn configure(world: &World, text: &str) {
    let dir = world.path("config").join("cerium");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), text).unwrap();
}

#[test]
fn a_question_is_delegated_without_a_model_of_one_s_own() {
    let world = World::new();
    let none = world.run(&["ask", "--delegate", "why?"]).exits(2);
    none.says("no upstream is configured").says("[upstream.NAME]");

    let plan = "Here is a plan:\n\n1. Rename area\n   Files: calc.py\n   Call it surface.\n";
    let engine = Engine::play(vec![
        Act::Tell(chat(&["It is width ", "times height."])),
        Act::Tell(chat(&[plan])),
    ]);
    let file = world.path("key");
    fs::write(&file, "sk-secret\n").unwrap();
    let (url, file) = (engine.url(), file.display());
    configure(
        &world,
        &format!(
            "[upstream.big]\nurl = '{url}'\nmodels = {{ large = 'theirs' }}\nkey_file = '{file}'\n"
        ),
    );
    let told = world.run(&["ask", "--delegate", "--json", "how is the area computed?"]).ok().json();
    assert_eq!((&told["tier"], &told["model"]), (&json!("upstream"), &json!("large")));
    assert_eq!(told["answer"], "It is width times height.");
    assert_eq!((&told["prompt_tokens"], &told["output_tokens"]), (&json!(7), &json!(2)));
    let asked = &engine.asked()[0];
    assert_eq!(asked.body["model"], "theirs");
    assert!(asked.head.iter().any(|line| line == "authorization: Bearer sk-secret"));
    assert!(asked.body.to_string().contains("return width * height"), "the code is shown");

    let told =
        world.run(&["plan", "--delegate=big", "--json", "rename area to surface"]).ok().json();
    assert_eq!((&told["tier"], &told["steps"].as_array().unwrap().len()), (&json!("upstream"), &1));
    assert!(told["steps"][0]["title"].as_str().unwrap().contains("Rename area"), "{told:#}");
    world.run(&["plan", "--json"]).ok();

    world.run(&["ask", "--delegate=huge", "why?"]).exits(2).says("they serve large");
    world.write("cerium.toml", format!("[upstream.evil]\nurl = '{url}'\nmodels = ['m']\n"));
    world.run(&["ask", "--delegate", "why?"]).exits(2).says("may not be set in a tree");
    assert_eq!(engine.asked().len(), 2);
}

#[test]
fn an_engine_elsewhere_works_meanwhile() {
    let world = World::new();
    let plan =
        "1. Round the area\n   file: calc.py\n   symbol: area\n   detail: Give a whole number.\n";
    let step = "Here it is:\n\n```python\ndef area(width, height):\n    return round(width * height)\n```\n";
    let engine = Engine::play(vec![
        Act::Tell(chat(&[plan])),
        Act::TellAndHang(chat(&["Well, "])[..1].to_vec()),
        Act::Tell(chat(&["It is printed ", "in main."])),
        Act::Tell(chat(&[step])),
    ]);
    configure(
        &world,
        &format!("[upstream.big]\nurl = '{}'\nmodels = {{ large = 'theirs' }}\n", engine.url()),
    );
    world.run(&["plan", "--delegate", "whole numbers"]).ok();
    let mut screen = Screen::open(&world, &world.tree());
    let model = test_model("smollm2-135m").display().to_string();
    screen.types(&format!("cerium --model {model}\r")).sees("plan 0/1");

    // It hangs; here one goes on.
    screen.says("/delegate ask why is it slow?").sees("1 away");
    screen.says("how is the area computed?").sees("TTFT").rests();
    assert!(screen.text().contains("1 away"), "{}", screen.text());
    screen.says("/delegate stop").sees("`why is it slow?`: stopped");
    engine.wait_until_left();

    screen.says("/delegate ask where is it printed?").sees("It is printed in main.");
    screen.says("/delegate 1").sees("step 1 is back from large").sees("1 back");
    assert_eq!(world.read("calc.py"), CALC.as_bytes(), "it is a proposal");
    screen.says("/delegate").sees("Enter applies it").types("\r").sees("applied as edit");
    screen.sees("plan 1/1");
    let rounded = CALC.replace("width * height\n", "round(width * height)\n");
    assert_eq!(String::from_utf8(world.read("calc.py")).unwrap(), rounded);
    let asked = engine.asked();
    assert!(asked[3].body.to_string().contains("Give a whole number"), "{:?}", asked[3]);
    screen.says("/delegate 7").sees("there is no step 7");
    screen.says("/delegate").sees("nothing has come back");
}

#[test]
fn a_server_in_front_of_another_gives_its_answers() {
    // It keeps its store there.
    let behind = World::new();
    let far = start(&behind);
    let name = far.request("GET", "/v1/models", "").1["data"][0]["id"].as_str().unwrap().to_owned();
    let world = World::new();
    let address = &far.address;
    let table = |upstream: &str, dialect: &str| {
        format!(
            "[upstream.{upstream}]\nurl = 'http://{address}/v1'\ndialect = '{dialect}'\n\
             models = {{ by-{dialect} = '{name}' }}\n"
        )
    };
    configure(&world, &(table("a", "chat") + &table("b", "responses") + &table("c", "cerium")));
    let near = start(&world);
    let body = |model: &str| json!({"model": model, "input": "Count to five.", "max_output_tokens": 12, "temperature": 0});
    let answer = |server: &Server, model: &str| {
        let (status, answer) = server.request("POST", "/v1/responses", &body(model).to_string());
        assert_eq!((status, &answer["model"]), (200, &json!(model)));
        assert_eq!(answer["usage"]["output_tokens"], 12);
        answer["output"][0]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let wanted = answer(&far, &name);
    for model in ["by-chat", "by-responses", "by-cerium"] {
        assert_eq!(answer(&near, model), wanted, "{model}");
    }
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}},
                        "required": ["n"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "name": "n", "schema": schema});
    let mut shaped = body("by-chat");
    (shaped["text"], shaped["max_output_tokens"]) = (json!({"format": format}), json!(40));
    let (_, answer) = near.request("POST", "/v1/responses", &shaped.to_string());
    let text = answer["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["n"].is_i64(), "{text}");

    drop(far);
    let (status, refused) = near.request("POST", "/v1/responses", &body("by-chat").to_string());
    assert_eq!((status, &refused["error"]["code"]), (502, &json!("upstream_unreachable")));
    let local = near.request("GET", "/v1/models", "").1["data"][0]["id"].clone();
    let (status, _) =
        near.request("POST", "/v1/responses", &body(local.as_str().unwrap()).to_string());
    assert_eq!(status, 200, "the model of this process answers all the same");
}

#[test]
fn engines_come_and_go_while_a_server_runs() {
    let world = World::new();
    let old = Engine::play(vec![Act::TellAndHang(vec![chunk("begun")])]);
    let kept = Engine::play(vec![Act::Tell(chat(&["kept"]))]);
    let new = Engine::play(vec![Act::Tell(chat(&["new"]))]);
    let table = |name: &str, engine: &Engine, model: &str| {
        let url = engine.url();
        format!("[upstream.{name}]\nurl = '{url}'\nmodels = {{ '{model}' = 'theirs' }}\n")
    };
    configure(&world, &(table("a", &old, "large") + &table("b", &kept, "huge")));
    let server = start(&world);
    let ask = |model: &str| {
        let body = json!({"model": model, "input": "a"}).to_string();
        let (status, answer) = server.request("POST", "/v1/responses", &body);
        let said = [&answer["output"][0]["content"][0]["text"], &answer["error"]["code"]];
        format!("{status} {}", said.into_iter().find_map(Value::as_str).unwrap())
    };
    let reload = |config: &str, told: &str| {
        let n_told = || server.log().matches(told).count();
        let before = n_told();
        configure(&world, config);
        server.reload();
        wait_until(told, || n_told() > before);
    };
    let get = |path: &str| {
        let end = "Connection: close\r\n\r\n";
        server.exchange(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{end}"))
    };
    assert_eq!(ask("huge"), "200 kept");
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let body = json!({"model": "large", "input": "a", "stream": true});
    stream.write_all(&post("/v1/responses", &body)).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("begun")));

    // The same name stands for another engine, and what the old one began goes on.
    let config = table("a", &new, "large") + &table("b", &kept, "huge");
    reload(&config, "settings were read anew");
    assert_eq!((ask("large"), ask("huge")), ("200 new".to_owned(), "200 kept".to_owned()));
    assert_eq!((old.asked().len(), old.left.load(SeqCst)), (1, 0));
    let page = get("/metrics");
    for (name, n) in [("a", 1), ("b", 2)] {
        let line = format!("cerium_upstream_requests_total{{upstream=\"{name}\"}} {n}");
        assert!(page.contains(&line), "{page}");
    }

    // What is wrong changes nothing, not even what is right beside it.
    let local = "SmolLM2-135M-Instruct.Q4_1";
    for (wrong, why) in [
        ("[upstream.c]\nurl = 'ftp://c'\nmodels = ['m']\n".to_owned(), "begins with http://"),
        ("[upstream".to_owned(), "config.toml"),
        (table("c", &new, local), "is served here and by an upstream"),
    ] {
        reload(&wrong, "settings stay as they were");
        assert!(server.log().contains(why), "{}", server.log());
        assert_eq!((ask("large"), ask("m")), ("200 new".into(), "404 model_not_found".into()));
    }

    // One leaves, another takes its model, and then there is none.
    reload(&table("c", &new, "huge"), "settings were read anew");
    assert_eq!((ask("huge"), ask("large")), ("200 new".into(), "404 model_not_found".into()));
    let page = get("/metrics");
    assert!(page.contains("upstream=\"c\"") && !page.contains("upstream=\"a\""), "{page}");
    wait_until("the new engine was looked at", || {
        get("/v1/models/huge").contains("\"context_length\":4096")
    });
    reload("", "settings were read anew");
    assert_eq!(ask("huge"), "404 model_not_found");
    assert!(!get("/ready").contains("upstreams"));
    assert_eq!(old.left.load(SeqCst), 0);
    drop(lines);
    old.wait_until_left();
}
