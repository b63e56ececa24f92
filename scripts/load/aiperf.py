#!/usr/bin/env python3
"""`cerium serve` and llama.cpp's servers under an ordinary load tool: NVIDIA's AIPerf, from PyPI.

    python3 -m venv VENV && VENV/bin/pip install aiperf gguf
    VENV/bin/python scripts/load/aiperf.py --model FILE.gguf --cerium target/release/cerium \\
        --llama-server PROGRAM --llama-python PYTHON --clients 1,4,16

Each server is started in turn and asked by so many clients at a time, a few requests each; no two prompts are the
same, and every server gets the same ones. The tool measures and counts, with the tokenizer of the model's file, so
that nothing has to be fetched. Leave out a server's program to leave out the server. `cargo xtask bench load` sets up
both of llama.cpp's below target/peers.

PROGRAM is llama.cpp's own llama-server, PYTHON one that has llama-cpp-python[server].
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts/goldens"))
import tokenizer  # noqa: E402

PATIENCE = 120
CONTEXT = 2048
NAME = "model"


def prompts(options, n_clients):
    """Texts of their own, as long as is asked for: sentences of this project's pages in another order each."""
    pages = sorted((ROOT / "docs").glob("*.md"))
    sentences = [s for page in pages for s in page.read_text().split(". ") if 40 < len(s) < 400]
    count = tokenizer.ByteLevel(options.vocabulary, options.vocabulary.pre)
    for i in range(options.requests):
        order = random.Random(f"{n_clients} {i}")
        text = f"Sum up what follows ({n_clients}, {i}):"
        while len(count.plain(text)) < options.prompt:
            text += " " + order.choice(sentences) + "."
        yield text


def save_tokenizer(vocabulary, folder):
    """As `transformers` reads it."""
    folder.mkdir()
    tokenizer.ByteLevel(vocabulary, vocabulary.pre).hf.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


def servers(options, n_clients):
    """Names, what each calls the model, and command lines that lack their port."""
    threads = str(options.threads)
    if options.cerium:
        command = [options.cerium, "serve", "--no-store", "--no-persist", "--quiet", "--threads", threads]
        yield "cerium", pathlib.Path(options.model).stem, command + ["--context", str(CONTEXT), "--listen=127.0.0.1:{}"]
    if options.llama_server:
        command = [options.llama_server, "--host", "127.0.0.1", "--alias", NAME, "--flash-attn", "on"]
        command += ["--threads", threads, "--ctx-size", str(CONTEXT * n_clients), "--parallel", str(n_clients)]
        yield "llama-server", NAME, command + ["--port", "{}"]
    if options.llama_python:
        command = [options.llama_python, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--model_alias", NAME]
        command += ["--flash_attn", "True", "--interrupt_requests", "False", "--n_ctx", str(CONTEXT)]
        command += ["--n_threads", threads, "--n_threads_batch", threads]
        yield "llama-cpp-python", NAME, command + ["--port", "{}"]


@contextlib.contextmanager
def running(command, model, home):
    """Where the server is, once it says which models it has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {f"XDG_{name}_HOME": home for name in ("STATE", "CONFIG")}
    command = [word.format(port) for word in command] + ["--model", model]
    server = subprocess.Popen(
        command, env={**os.environ, **kept, "XDG_RUNTIME_DIR": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url, begun = f"http://127.0.0.1:{port}", time.monotonic()
        while True:
            # llama-server listens before it has loaded.
            with contextlib.suppress(OSError), urllib.request.urlopen(url + "/v1/models", timeout=5):
                break
            assert server.poll() is None, f"{command} ended"
            assert time.monotonic() < begun + PATIENCE, f"{command} did not answer"
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def measure(options, url, model, n_clients, folder):
    """What the tool says of its requests."""
    tool = str(pathlib.Path(sys.executable).parent / "aiperf")
    command = [tool, "profile", "--model", model, "--url", url, "--endpoint-type", "chat", "--streaming"]
    command += ["--input-file", str(folder / f"{n_clients}.jsonl"), "--custom-dataset-type", "single_turn"]
    command += ["--tokenizer", str(folder / "tokenizer"), "--concurrency", str(n_clients)]
    command += ["--request-count", str(options.requests)]
    command += ["--extra-inputs", f"max_tokens:{options.tokens}", "--extra-inputs", "temperature:0"]
    command += ["--ui", "none", "--no-gpu-telemetry", "--no-server-metrics", "--workers-max", "1"]
    command += ["--record-processor-service-count", "1", "--artifact-dir"]
    with tempfile.TemporaryDirectory(dir=folder) as artifacts:
        done = subprocess.run([*command, artifacts], capture_output=True, text=True)
        report = pathlib.Path(artifacts) / "profile_export_aiperf.json"
        if done.returncode != 0 or not report.exists():
            sys.exit(done.stdout[-4000:] + done.stderr[-4000:])
        return json.loads(report.read_text())


def row(n_clients, name, told):
    """A line of the table."""

    def of(metric, what, digits=0):
        value = told.get(metric, {}).get(what)
        return "-" if value is None else f"{value:.{digits}f}"

    first, between = "time_to_first_token", "inter_token_latency"
    cells = [f"{n_clients}, {name}", of(first, "p50"), of(first, "p95"), of(between, "p50", 1), of(between, "p95", 1)]
    cells += [of("output_token_throughput", "avg", 1), of("output_sequence_length", "avg", 1)]
    cells += [of("benchmark_duration", "avg", 1), of("request_count", "avg")]
    return "| " + " | ".join(cells + [str(sum(error["count"] for error in told["error_summary"]))]) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True, help="a GGUF file")
    parser.add_argument("--cerium", help="the program")
    parser.add_argument("--llama-server", help="the program")
    parser.add_argument("--llama-python", help="a Python with llama-cpp-python[server]")
    parser.add_argument("--clients", default="1,4,16", help="how many at a time")
    parser.add_argument("--requests", type=int, default=16, help="of all clients together")
    parser.add_argument("--prompt", type=int, default=400, help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=24, help="tokens of an answer")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each server")
    options = parser.parse_args()
    # Whoever ends this ends the server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options.model = os.path.abspath(options.model)
    options.vocabulary = tokenizer.Vocabulary(options.model)
    print("| clients, server | first token ms, p50 | p95 | between tokens ms, p50 | p95 | tokens a second "
          "| tokens an answer | all, s | answered | errors |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        save_tokenizer(options.vocabulary, folder / "tokenizer")
        for n_clients in map(int, options.clients.split(",")):
            texts = [json.dumps({"text": text}) for text in prompts(options, n_clients)]
            (folder / f"{n_clients}.jsonl").write_text("\n".join(texts) + "\n")
            for name, model, command in servers(options, n_clients):
                with tempfile.TemporaryDirectory() as home, running(command, options.model, home) as url:
                    print(row(n_clients, name, measure(options, url, model, n_clients, folder)), flush=True)


if __name__ == "__main__":
    main()
