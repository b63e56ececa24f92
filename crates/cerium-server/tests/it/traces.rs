//! What a collector of traces is sent.

use crate::client::{Answer, post, scripted_with};
use crate::script::Act;
use cerium_engine::FinishReason;
use cerium_server::ServerOptions;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

/// The first message that comes to a collector.
fn collect(listener: &TcpListener) -> (String, Value) {
    let (stream, _) = listener.accept().unwrap();
    let mut stream = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line == "\r\n" {
            break;
        }
        lines.push(line.to_ascii_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    (lines.swap_remove(0), serde_json::from_slice(&body).unwrap())
}

#[test]
fn an_answer_is_a_span_below_that_of_its_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ServerOptions {
        traces: Some(format!("http://{}/", listener.local_addr().unwrap())),
        grace: Duration::from_millis(50),
        ..Default::default()
    };
    let (server, _) = scripted_with(Act::Say("Hi", FinishReason::Stop), options);
    let request = post("/v1/responses", &json!({"model": "scripted", "input": "secret"}));
    let request = String::from_utf8(request).unwrap().replacen(
        "\r\n",
        "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        1,
    );
    let answer: Answer = server.send(request.as_bytes());
    assert_eq!(answer.status, 200);
    let (asked, sent) = collect(&listener);
    assert_eq!(asked, "post /v1/traces http/1.1\r\n");
    assert!(!sent.to_string().contains("secret"), "{sent:#}");
    let resource = &sent["resourceSpans"][0];
    assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "cerium");
    let spans = resource["scopeSpans"][0]["spans"].as_array().unwrap();
    let whole = &spans[0];
    assert_eq!(whole["name"], "chat scripted");
    assert_eq!(whole["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(whole["parentSpanId"], "b7ad6b7169203331");
    let told = whole["attributes"].as_array().unwrap();
    let value = |name: &str| &told.iter().find(|it| it["key"] == name).unwrap()["value"];
    assert_eq!(value("gen_ai.response.id")["stringValue"], answer.json()["id"]);
    let n_input = answer.json()["usage"]["input_tokens"].to_string();
    assert_eq!(value("gen_ai.usage.input_tokens")["intValue"], n_input);
    for part in &spans[1..] {
        assert_eq!(part["parentSpanId"], whole["spanId"], "{part:#}");
    }
}
