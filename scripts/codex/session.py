#!/usr/bin/env python3
"""Has Codex CLI change a file with a model on this machine, and says what each turn took.

    npm install --prefix target/codex @openai/codex@0.171.0
    scripts/codex/session.py --cerium target/release/cerium --codex target/codex/node_modules/.bin/codex

Codex and `cerium serve` are set up as docs/codex.md says, over the WebSocket, in directories of their own: a small git
repository, and a store of prompts that is empty. Then the same again with a server that was started anew, and one more
question in the same conversation. Nothing but the model decides what is called. Needs Python 3.9 and git.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

GUIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/codex.md")
FILE = "greet.py"
BEFORE = """import sys


def greet(name):
    return "Hello, " + name


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "world"
    print(greet(name))


if __name__ == "__main__":
    main()
"""
TASK = "apply_patch: In greet.py, the greeting must be Good morning instead of Hello."
MORE = "apply_patch: In greet.py, the greeting must end with an exclamation mark."
PATIENCE = 400


class World:
    """Directories that nothing else uses."""

    def __init__(self, options):
        self.options = options
        self.dir = options.keep or tempfile.mkdtemp(prefix="cerium-codex-")
        self.home = os.path.join(self.dir, "codex")
        real = os.environ.get("CERIUM_HOME") or os.path.expanduser("~/.local/share/cerium")
        own = self.make("cerium-home")
        if not os.path.isdir(os.path.join(real, "models")):
            sys.exit("no models: set CERIUM_HOME, or run `cerium pull` first")
        for name in ("models", "packed"):
            if os.path.isdir(os.path.join(real, name)) and not os.path.lexists(os.path.join(own, name)):
                os.symlink(os.path.join(real, name), os.path.join(own, name))
        self.make("codex")
        self.make("config/cerium")
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": self.dir,
            "CERIUM_HOME": own,
            "CODEX_HOME": self.home,
            "XDG_CONFIG_HOME": self.path("config"),
            "XDG_RUNTIME_DIR": self.make("run"),
            "XDG_STATE_HOME": self.make("state"),
        }
        self.write("config/cerium/config.toml", "[serve]\nguided = true\n")

    def path(self, name):
        return os.path.join(self.dir, name)

    def make(self, name):
        os.makedirs(self.path(name), mode=0o700, exist_ok=True)
        return self.path(name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def tree(self, name):
        """A git repository with one file."""
        tree = self.make(name)
        self.write(os.path.join(name, FILE), BEFORE)
        for command in (
            ["init", "-q"],
            ["add", "."],
            ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "A greeting"],
        ):
            subprocess.run(["git", *command], cwd=tree, env=self.environment, check=True)
        return tree

    def set_up(self, address):
        """The files that the guide shows, for a server at this address."""
        with open(GUIDE) as file:
            guide = file.read()
        block = lambda kind: re.search(f"```{kind}\\n(.*?)```", guide, re.DOTALL).group(1)
        model = self.options.model
        config = block("toml").replace("/path/to", self.home).replace("127.0.0.1:8383", address)
        self.write("codex/config.toml", config.replace("qwen2.5-coder-1.5b", model))
        catalog = json.loads(block("json"))
        catalog["models"][0].update(slug=model, base_instructions=block("text"))
        self.write("codex/catalog.json", json.dumps(catalog))


class Server:
    """`cerium serve`, and the lines of its log that say how answers went."""

    def __init__(self, world, name):
        self.log = world.path(name + ".log")
        command = [world.options.cerium, "serve", "--listen", "127.0.0.1:0", "--json"]
        command += ["--log-format", "json", "--no-daemon", "--model", world.options.model]
        self.process = subprocess.Popen(
            command, env=world.environment, stdout=subprocess.PIPE, stderr=open(self.log, "w"), text=True
        )
        text = ""
        while True:
            text += self.process.stdout.readline()
            try:
                self.address = json.loads(text)["address"]
                return
            except ValueError:
                if self.process.poll() is not None:
                    sys.exit(open(self.log).read())

    def turns(self):
        turns = []
        with open(self.log) as file:
            for line in file:
                # What is said before the log begins is no JSON.
                fields = json.loads(line) if line.startswith("{") else {}
                if fields.get("message") == "answer":
                    turns.append(fields)
        return turns

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def run(world, tree, args):
    """`codex exec` to its end, telling what it does; how many seconds it took."""
    command = [world.options.codex, "exec", *args, "--json", "--skip-git-repo-check"]
    command += ["--dangerously-bypass-approvals-and-sandbox"]
    begun = time.monotonic()
    with open(world.path("codex.log"), "a") as log:
        ran = subprocess.Popen(
            command,
            cwd=tree,
            env=world.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    # It is a program that starts another one.
    late = threading.Timer(PATIENCE, lambda: os.killpg(ran.pid, signal.SIGKILL))
    late.start()
    for line in ran.stdout:
        event = json.loads(line)
        if event["type"] == "item.completed":
            tell(event["item"])
        elif event["type"] in ("error", "turn.failed"):
            print(line.rstrip(), flush=True)
    ran.wait()
    late.cancel()
    return time.monotonic() - begun


def tell(item):
    kind = item["type"]
    if kind == "command_execution":
        print(f"$ {item['command']}\n{item['aggregated_output'].rstrip()}")
    elif kind == "file_change":
        names = ", ".join(os.path.basename(change["path"]) for change in item["changes"])
        print(f"apply_patch of {names}: {item['status']}")
    elif kind == "agent_message":
        print("says:", item["text"])
    else:
        print(json.dumps(item))
    sys.stdout.flush()


def session(world, server, tree, name, args):
    """One run, and a table of its turns."""
    print(f"\n== {name}: {args[-1]}", flush=True)
    n_before = len(server.turns())
    seconds = run(world, tree, args)
    print(subprocess.run(["git", "diff", "-U0"], cwd=tree, capture_output=True, text=True).stdout.rstrip())
    print(f"\n{'turn':>4} {'prompt':>7} {'cached':>7} {'written':>8} {'first token':>12} {'in all':>8}")
    for i, turn in enumerate(server.turns()[n_before:], 1):
        print(
            f"{i:4} {turn['prompt_tokens']:7} {turn['cached_tokens']:7} {turn['output_tokens']:8} "
            f"{turn['ttft_ms'] / 1e3:10.2f} s {turn['total_ms'] / 1e3:6.2f} s"
        )
    print(f"{seconds:.1f} s in all", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cerium", default="cerium", help="the program")
    parser.add_argument("--codex", default="codex", help="Codex CLI")
    parser.add_argument("--model", default="qwen2.5-coder-1.5b")
    parser.add_argument("--task", default=TASK)
    parser.add_argument("--more", default=MORE, help="asked after a restart, in the same conversation")
    parser.add_argument("--keep", metavar="DIR", help="use this directory and leave it there")
    options = parser.parse_args()
    options.cerium = shutil.which(options.cerium) or options.cerium
    world = World(options)
    try:
        changed = []
        for name in ("first", "second"):
            server = Server(world, name)
            try:
                world.set_up(server.address)
                tree = world.tree(name)
                session(world, server, tree, name + " start", [options.task])
                with open(os.path.join(tree, FILE)) as file:
                    changed.append(file.read() != BEFORE)
                if name == "second":
                    session(world, server, tree, "one more", ["resume", "--last", options.more])
            finally:
                server.stop()
    finally:
        if not options.keep:
            shutil.rmtree(world.dir)
    sys.exit(0 if all(changed) else 1)


if __name__ == "__main__":
    main()
