#!/usr/bin/env python3
"""Several `cerium serve` behind a router that knows prefixes, with one PostgreSQL store.

Starts a database in a directory of its own, two servers and a router, and says where they are:

    python3 -m venv venv && venv/bin/pip install vllm-router
    scripts/scaling/cluster.py --cerium target/release/cerium --router venv/bin/vllm-router

With `--check` it sees whether what docs/scaling.md promises is so, prints the figures as one JSON object
and ends everything. Needs Python 3.9, PostgreSQL's programs and nothing else.
"""

import argparse
import concurrent.futures
import glob
import http.client
import json
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

PATIENCE = 180


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(url, body=None, headers=(), method=None):
    """Status and JSON of one request; the status is 0 where nobody answers."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    path = parts.path + ("?" + parts.query if parts.query else "")
    head = {"Content-Type": "application/json", **dict(headers)}
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method or ("GET" if body is None else "POST"), path, data, head)
        answer = connection.getresponse()
        text = answer.read()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")
    except OSError as error:
        return 0, str(error)
    finally:
        connection.close()


def wait_for(url, what, status=200):
    begun = time.monotonic()
    while ask(url)[0] != status:
        if time.monotonic() - begun > PATIENCE:
            sys.exit(f"{what} did not come up at {url}")
        time.sleep(0.1)


class Cluster:
    def __init__(self, options):
        self.options = options
        self.dir = tempfile.mkdtemp(prefix="cerium-cluster-", dir="/tmp")
        self.processes = {}

    def start(self, name, command, **more):
        log = open(os.path.join(self.dir, name + ".log"), "ab")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **more
        )
        self.processes[name] = process
        return process

    def kill(self, name, how=signal.SIGKILL):
        process = self.processes.pop(name)
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            pass
        process.wait()

    def postgres(self):
        programs = glob.glob("/usr/lib/postgresql/*/bin") + [""]
        program = lambda name: os.path.join(programs[0], name)
        data, more = os.path.join(self.dir, "data"), {}
        os.chmod(self.dir, 0o711)
        os.mkdir(data, 0o700)
        if os.geteuid() == 0:
            # The database refuses to be root.
            person = pwd.getpwnam("postgres")
            os.chown(data, person.pw_uid, person.pw_gid)
            more = {"user": "postgres"}
        initdb = [program("initdb"), "-U", "cerium", "-A", "trust", "-E", "UTF8", "-D", data]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **more)
        port = free_port()
        server = [program("postgres"), "-D", data, "-k", data, "-p", str(port)]
        self.database = lambda: self.start("postgres", server, cwd="/", **more)
        self.database()
        create = [program("createdb"), "-U", "cerium", "-h", "127.0.0.1", "-p", str(port), "cerium"]
        begun = time.monotonic()
        while subprocess.run(create, stderr=subprocess.DEVNULL).returncode:
            if time.monotonic() - begun > PATIENCE:
                sys.exit("the database did not come up")
            time.sleep(0.2)
        return f"postgres://cerium@127.0.0.1:{port}/cerium"

    def cerium(self, name, port, store):
        state = os.path.join(self.dir, name)
        os.makedirs(os.path.join(state, "run"), mode=0o700, exist_ok=True)
        environment = {
            **os.environ,
            "XDG_STATE_HOME": state,
            "XDG_RUNTIME_DIR": os.path.join(state, "run"),
            "XDG_CONFIG_HOME": os.path.join(state, "config"),
        }
        command = [self.options.cerium, "serve", "--listen", f"127.0.0.1:{port}", "--store", store]
        command += ["--model", self.options.model, "--threads", "1", "--no-persist"]
        self.start(name, command, env=environment)

    def router(self, port, workers):
        # Two requests more than the other server are too many, whatever is known there. A server that fails once
        # is left alone for some seconds: a retry goes to the other one.
        command = [self.options.router, "--host", "127.0.0.1", "--port", str(port)]
        command += ["--policy", self.options.policy, "--worker-urls", *workers]
        command += ["--balance-abs-threshold", "1", "--balance-rel-threshold", "1.0"]
        command += ["--cb-failure-threshold", "1", "--cb-timeout-duration-secs", "5"]
        command += ["--health-check-interval-secs", "2", "--health-check-endpoint", "/ready"]
        command += ["--health-failure-threshold", "1", "--health-success-threshold", "1"]
        command += ["--prometheus-port", str(free_port())]
        self.start("router", command)

    def up(self):
        store = self.postgres()
        ports = [free_port(), free_port()]
        self.workers = [f"http://127.0.0.1:{port}" for port in ports]
        for number, port in enumerate(ports, 1):
            self.cerium(f"cerium-{number}", port, store)
        for url in self.workers:
            wait_for(url + "/ready", "a server")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.router(port, self.workers)
        wait_for(self.url + "/health", "the router")
        self.store, self.ports = store, ports

    def down(self):
        for name in list(self.processes):
            self.kill(name, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        if not self.options.keep:
            shutil.rmtree(self.dir, ignore_errors=True)


def served(cluster):
    """Answers that each server has given."""
    counts = []
    for url in cluster.workers:
        page = ask(url + "/metrics")[1]
        lines = [it for it in str(page).splitlines() if it.startswith("cerium_answers_total")]
        counts.append(int(sum(float(it.rsplit(" ", 1)[1]) for it in lines)))
    return counts


def said(answer):
    parts = [part for item in answer["output"] for part in item.get("content", [])]
    return "".join(part["text"] for part in parts)


def message(role, content):
    return {"role": role, "content": content}


def check(cluster):
    model = ask(cluster.workers[0] + "/v1/models")[1]["data"][0]["id"]
    figures = {}

    # Sessions stick: conversations that begin at the same time and grow side by side.
    n_sessions, n_turns = 6, 5

    def talk(n):
        items = [message("user", f"{n * 7919} is the number of this session. " * 60)]
        turns = []
        for _ in range(n_turns):
            begun = time.monotonic()
            asked = {"model": model, "messages": items, "max_tokens": 8, "temperature": 0}
            name = {"x-session-id": f"session-{n}"}
            status, answer = ask(cluster.url + "/v1/chat/completions", asked, name)
            assert status == 200, (status, answer)
            usage = answer["usage"]
            known = usage["prompt_tokens_details"]["cached_tokens"] / usage["prompt_tokens"]
            turns.append((known, (time.monotonic() - begun) * 1e3))
            items.append(message("assistant", answer["choices"][0]["message"]["content"]))
            items.append(message("user", "Go on."))
        return turns

    with concurrent.futures.ThreadPoolExecutor(n_sessions) as pool:
        turns = list(pool.map(talk, range(1, n_sessions + 1)))
    later = [turn for session in turns for turn in session[1:]]
    figures["sessions"], figures["turns_each"] = n_sessions, n_turns
    figures["answers_per_server"] = served(cluster)
    # Servers keep prompts to themselves here: a turn that knows its beginning is where the last one was.
    figures["turns_that_stuck"] = sum(known > 0.5 for known, _ in later)
    figures["turns_that_could"] = len(later)
    figures["known_share_median"] = round(statistics.median(known for known, _ in later), 3)
    figures["first_turn_ms_median"] = round(statistics.median(it[0][1] for it in turns))
    figures["later_turn_ms_median"] = round(statistics.median(ms for _, ms in later))

    # Stored responses are found from both, and through the router.
    body = {"model": model, "input": "Say hello.", "max_output_tokens": 8, "temperature": 0}
    status, stored = ask(cluster.url + "/v1/responses", body)
    figures["responses_through_router"] = status
    if status != 200:
        status, stored = ask(cluster.workers[0] + "/v1/responses", body)
    path = "/v1/responses/" + stored["id"]
    time.sleep(1)
    found = [ask(url + path)[1] for url in cluster.workers]
    assert found[0] == found[1] == stored, found
    figures["retrieve_through_router"] = ask(cluster.url + path)[0]
    texts = set()
    for url in cluster.workers:
        more = {**body, "input": "And in French?", "previous_response_id": stored["id"]}
        status, answer = ask(url + "/v1/responses", more)
        assert status == 200, (status, answer)
        texts.add(said(answer))
    assert len(texts) == 1, texts
    figures["followed_from_both"] = "the same answer"

    # One server dies: all are answered, by the other one.
    cluster.kill("cerium-1")
    statuses, begun = [], time.monotonic()
    for n in range(12):
        asked = {"model": model, "messages": [message("user", f"Count to {n}.")], "max_tokens": 4}
        name = {"x-session-id": f"session-{n}"}
        statuses.append(ask(cluster.url + "/v1/chat/completions", asked, name)[0])
    figures["statuses_after_a_kill"] = {str(it): statuses.count(it) for it in sorted(set(statuses))}
    figures["seconds_for_12_after_a_kill"] = round(time.monotonic() - begun, 1)
    assert ask(cluster.workers[1] + path)[1] == stored
    # It comes back.
    cluster.cerium("cerium-1", cluster.ports[0], cluster.store)
    wait_for(cluster.workers[0] + "/ready", "the server that died")
    begun, back = time.monotonic(), False
    asked = {"model": model, "messages": [message("user", "Hi.")], "max_tokens": 16}
    while time.monotonic() - begun < 30 and not back:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            names = [{"x-session-id": f"new-{time.monotonic_ns()}-{n}"} for n in range(4)]
            list(pool.map(lambda name: ask(cluster.url + "/v1/chat/completions", asked, name), names))
        back = served(cluster)[0] > 0
    figures["seconds_until_it_is_asked_again"] = round(time.monotonic() - begun, 1) if back else None
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cerium", default="cerium", help="the program")
    parser.add_argument("--router", default="vllm-router", help="the router's program")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--policy", default="cache_aware", help="how the router chooses")
    parser.add_argument("--check", action="store_true", help="check it and end")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    options = parser.parse_args()
    cluster = Cluster(options)
    try:
        cluster.up()
        if options.check:
            print(json.dumps(check(cluster), indent=2))
            return
        print(f"router {cluster.url}/v1\nservers {' '.join(cluster.workers)}\nstore {cluster.store}")
        print(f"logs {cluster.dir}; Ctrl-C ends all of it", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        cluster.down()


if __name__ == "__main__":
    main()
