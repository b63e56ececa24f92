#!/usr/bin/env python3
"""Asks a real engine through `cerium serve`, and directly, and compares.

    python -m llama_cpp.server --model FILE.gguf --port 8710 --model_alias big
    scripts/upstream/check.py --cerium target/release/cerium --url http://127.0.0.1:8710/v1 --model big

Prints one JSON object; exits 1 where an answer is not the one that the engine gives. Needs Python 3.9 alone.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

PATIENCE = 120
QUESTION = [{"role": "user", "content": "Count from one to twelve in words."}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE), parts.path


def post(url, body):
    connection, path = connect(url)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text.decode(errors="replace")


def stream(url, body):
    """Text, seconds to the first of it, seconds in all."""
    connection, path = connect(url)
    begun = time.monotonic()
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer, text, first = connection.getresponse(), "", None
    assert answer.status == 200, answer.read()
    for line in answer:
        if not line.startswith(b"data: ") or b"[DONE]" in line:
            continue
        event = json.loads(line[6:])
        delta = event.get("delta") if "type" in event else None
        for choice in event.get("choices", []):
            delta = choice["delta"].get("content")
        if isinstance(delta, str) and delta:
            first = first or time.monotonic() - begun
            text += delta
    connection.close()
    return text, first, time.monotonic() - begun


def leave(url, body):
    """Goes after the first words of a long answer."""
    connection, path = connect(url)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    connection.getresponse().read(200)
    connection.close()


def serve(options, config):
    directory = os.path.join(config, "cerium")
    os.makedirs(directory)
    os.makedirs(os.path.join(config, "run"), mode=0o700)
    with open(os.path.join(directory, "config.toml"), "w") as file:
        file.write(f'[upstream.real]\nurl = "{options.url}"\nmodels = ["{options.model}"]\n')
    environment = {**os.environ, "XDG_CONFIG_HOME": config, "XDG_RUNTIME_DIR": os.path.join(config, "run")}
    command = [options.cerium, "serve", "--listen", "127.0.0.1:0", "--no-store", "--json"]
    command += ["--model", options.local]
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    text = ""
    while True:
        text += server.stdout.readline()
        try:
            return server, "http://" + json.loads(text)["address"] + "/v1"
        except ValueError:
            assert server.poll() is None, text


def check(options, near):
    far, figures, failed = options.url, {}, []

    def same(what, ok, seen):
        figures[what] = seen
        if not ok:
            failed.append(what)

    chat = {"model": options.model, "messages": QUESTION, "max_tokens": 48, "temperature": 0}
    # Some engines answer a prompt otherwise when they know it already.
    stream(far + "/chat/completions", {**chat, "stream": True})
    direct = stream(far + "/chat/completions", {**chat, "stream": True})
    through = stream(near + "/chat/completions", {**chat, "stream": True})
    same("chat_stream", direct[0] == through[0] and through[0], through[0])
    status, whole = post(near + "/chat/completions", chat)
    text = whole["choices"][0]["message"]["content"] if status == 200 else whole
    same("chat_whole", text == direct[0], "the same" if text == direct[0] else text)
    figures["usage"] = whole.get("usage") if status == 200 else None
    asked = {"model": options.model, "input": QUESTION, "max_output_tokens": 48, "temperature": 0}
    told = stream(near + "/responses", {**asked, "stream": True})
    same("responses_stream", told[0] == direct[0], "the same" if told[0] == direct[0] else told[0])

    tools = {**chat, "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
    choice = {"type": "function", "function": {"name": "get_weather"}}
    tools = {**tools, "tools": [TOOL], "tool_choice": choice, "max_tokens": 64}
    status, called = post(near + "/chat/completions", tools)
    calls = called["choices"][0]["message"].get("tool_calls") if status == 200 else called
    is_call = status == 200 and calls and calls[0]["function"]["name"] == "get_weather"
    same("tool_call", is_call, calls[0]["function"] if is_call else calls)

    wrong = {**chat, "messages": [{"role": "user", "content": "word " * 200_000}]}
    (far_status, _), (status, refused) = [post(it + "/chat/completions", wrong) for it in (far, near)]
    words = refused.get("error", {}).get("message", "")[:160] if isinstance(refused, dict) else ""
    # An engine that is asked for a stream may say nothing of what is wrong.
    same("refused", status >= 400, [far_status, status, words])
    leave(near + "/chat/completions", {**chat, "stream": True, "max_tokens": 2000})
    begun = time.monotonic()
    again = stream(near + "/chat/completions", {**chat, "stream": True})
    same("after_a_client_left", again[0] == direct[0], f"{time.monotonic() - begun:.1f} s")

    first = {"direct": [], "through": []}
    for _ in range(options.runs):
        first["direct"].append(stream(far + "/chat/completions", {**chat, "stream": True})[1] * 1e3)
        first["through"].append(stream(near + "/chat/completions", {**chat, "stream": True})[1] * 1e3)
    for way, times in first.items():
        figures[f"first_token_ms_{way}_median"] = round(statistics.median(times), 1)
    figures["failed"] = failed
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cerium", default="cerium", help="the program")
    parser.add_argument("--url", required=True, help="where the engine's paths begin")
    parser.add_argument("--model", required=True, help="its name for the model")
    parser.add_argument("--local", default="smollm2-135m", help="the model of the server itself")
    parser.add_argument("--runs", type=int, default=10, help="how often first tokens are timed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as config:
        server, near = serve(options, config)
        try:
            figures = check(options, near)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    print(json.dumps(figures, indent=2))
    sys.exit(1 if figures["failed"] else 0)


if __name__ == "__main__":
    main()
