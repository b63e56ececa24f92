#!/usr/bin/env python3
"""Structured answers of a running server, checked by other people's validators.

    cerium serve --model qwen2.5-coder-0.5b &
    python3 scripts/eval/constrained.py --requests 300

Asks for JSON of 50 schemas and for patches of Codex's grammar of `apply_patch`. JSON is checked by `jsonschema`,
patches by `lark` (both from PyPI; nothing of this project). With `--rate N` it alternates N constrained answers with
free ones of the same prompts, and compares how fast they are written: tokens a second, and steps a second, for
what the shape leaves no choice about comes several tokens a step.

Needs: jsonschema, lark.
"""

import argparse
import json
import statistics
import sys
import urllib.error
import urllib.request

import jsonschema
import lark

PATCH = r"""start: begin_patch hunk+ end_patch
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
"""

# What schemas are made of: leaves, and what holds them.
TEXT = {"type": "string", "maxLength": 40}
LEAVES = [
    TEXT,
    {"type": "integer", "minimum": 0, "maximum": 100},
    {"type": "integer", "exclusiveMinimum": -5, "exclusiveMaximum": 5},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "boolean"},
    {"enum": ["low", "medium", "high"]},
    {"enum": [1, "two", None, True]},
    {"const": "cerium"},
    {"type": ["string", "null"], "maxLength": 20},
    {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,15}$"},
    {"type": "string", "pattern": "^v[0-9]+\\.[0-9]+\\.[0-9]+$", "maxLength": 16},
    {"type": "string", "format": "date"},
    {"type": "string", "minLength": 3, "maxLength": 12},
    {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "string", "maxLength": 8}]},
    {"type": "null"},
]
NAMES = ["name", "title", "count", "ratio", "level", "kind", "path", "line", "done", "since", "note", "owner"]


def record(leaves, optional=0):
    """An object whose fields are these, the last `optional` of which need not be there."""
    names = NAMES[: len(leaves)]
    return {
        "type": "object",
        "properties": dict(zip(names, leaves)),
        "required": names[: len(names) - optional],
        "additionalProperties": False,
    }


def schemas():
    """50 of them, from flat records to trees."""
    found = []
    for i in range(15):
        found.append(record([LEAVES[i], LEAVES[(i + 4) % 15], LEAVES[(i + 9) % 15]]))
    for i in range(8):
        found.append(record([LEAVES[(2 * i + k) % 15] for k in range(6)], optional=i % 4))
    for i in range(8):
        items = [LEAVES[i], record([LEAVES[i + 3], LEAVES[i + 5]])][i % 2]
        found.append(record([TEXT, {"type": "array", "items": items, "minItems": 1, "maxItems": 4}]))
    for i in range(6):
        inner = record([LEAVES[i], record([LEAVES[i + 4], record([LEAVES[i + 8]])])])
        found.append(record([inner, LEAVES[i + 2]]))
    for i in range(5):
        kinds = [
            {
                "type": "object",
                "properties": {"kind": {"const": kind}, "value": LEAVES[(i + k) % 15]},
                "required": ["kind", "value"],
                "additionalProperties": False,
            }
            for k, kind in enumerate(["read", "write", "run"])
        ]
        found.append(record([{"anyOf": kinds}, TEXT]))
    for i in range(4):
        found.append({
            "type": "object",
            "properties": {"value": {"$ref": "#/$defs/leaf"}, "more": {"$ref": "#/$defs/list"}},
            "required": ["value", "more"],
            "additionalProperties": False,
            "$defs": {
                "leaf": LEAVES[i],
                "list": {"type": "array", "items": {"$ref": "#/$defs/leaf"}, "maxItems": 3},
            },
        })
    for i in range(2):
        found.append({
            "type": "array",
            "prefixItems": [LEAVES[i], LEAVES[i + 5], TEXT],
            "items": False,
            "minItems": 3,
            "maxItems": 3,
        })
    found.append(record([{"type": "object", "additionalProperties": LEAVES[1], "maxProperties": 3}, TEXT]))
    found.append(record([{"allOf": [{"type": "integer", "minimum": 1}, {"type": "integer", "maximum": 7}]}]))
    assert len(found) == 50, len(found)
    return found


SUBJECTS = ["a parser", "a bug report", "a release", "a test run", "a build step", "a pull request"]
EDITS = [
    "Rename the function add in a.py to plus.",
    "Add a file hello.txt that says hello.",
    "Delete the file old.py.",
    "In main.rs, print 'bye' in place of 'hi'.",
    "Add a comment to the top of lib.c.",
]


class Server:
    def __init__(self, url, model):
        self.url, self.model = url, model

    def ask(self, prompt, **settings):
        body = {"model": self.model, "input": prompt, "max_output_tokens": 400, **settings}
        request = urllib.request.Request(
            self.url + "/v1/responses", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{error.code}: {error.read().decode()}")


def shape(schema):
    return {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}


def said(response):
    return "".join(p["text"] for i in response["output"] if i["type"] == "message" for p in i["content"])


def check_json(server, schema, subject):
    prompt = f"Describe {subject} as JSON of this schema:\n{json.dumps(schema)}"
    response = server.ask(prompt, text=shape(schema))
    if response["status"] != "completed":
        return f"{response['status']}: {said(response)!r}"
    try:
        jsonschema.Draft202012Validator(schema).validate(json.loads(said(response)))
    except (ValueError, jsonschema.ValidationError) as error:
        return f"{said(response)!r}: {error}"
    return None


PATCH_TOOL = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files. Its input is a patch.",
    "format": {"type": "grammar", "syntax": "lark", "definition": PATCH},
}


def check_patch(server, parser, edit):
    response = server.ask(edit, tools=[PATCH_TOOL], tool_choice={"type": "custom", "name": "apply_patch"},
                          parallel_tool_calls=False)
    calls = [item for item in response["output"] if item["type"] == "custom_tool_call"]
    if response["status"] != "completed" or len(calls) != 1:
        return f"{response['status']}: {response['output']}"
    try:
        parser.parse(calls[0]["input"])
    except lark.exceptions.LarkError as error:
        return f"{calls[0]['input']!r}: {error}"
    return None


def validity(server, n):
    # The same language: this library has no terminals that may be empty.
    parser = lark.Lark(PATCH.replace("/(.*)/", "/(.+)/?"))
    bad, kinds = [], {"json": 0, "patch": 0}
    every = schemas()
    for i in range(n):
        # One in six is a patch.
        if i % 6 == 5:
            kinds["patch"] += 1
            problem = check_patch(server, parser, EDITS[i // 6 % len(EDITS)] + f" It is step {i}.")
        else:
            kinds["json"] += 1
            k = i - i // 6
            problem = check_json(server, every[k % 50], SUBJECTS[k // 50 % len(SUBJECTS)])
        if problem:
            bad.append(problem)
            print(f"{i}: {problem}", file=sys.stderr)
        if i % 50 == 49:
            print(f"{i + 1} asked, {len(bad)} not valid", file=sys.stderr)
    print(f"{n - len(bad)} of {n} valid ({kinds['json']} of 50 schemas, {kinds['patch']} patches)")
    return not bad


def rate(server, n):
    """Pairs of answers to the same prompts, constrained and free."""
    every = schemas()
    rates = {"constrained": [], "free": []}
    counts = {"constrained": [0, 0, 0.0], "free": [0, 0, 0.0]}
    for i in range(n):
        schema = every[(7 * i) % 50]
        prompt = f"Describe {SUBJECTS[i % 6]} as JSON of this schema:\n{json.dumps(schema)}"
        limit = 64
        for how, settings in (("constrained", {"text": shape(schema)}), ("free", {})):
            # Nothing else is drafted: what is compared is the shape's own cost and gain.
            response = server.ask(prompt, max_output_tokens=limit, cerium={"drafts": []}, **settings)
            told = response["cerium"]
            steps, tokens, ms = told["output_steps"] - 1, told["output_tokens"] - 1, told["decode_ms"]
            limit = max(told["output_tokens"], 8)
            if ms > 0 and i > 0:
                rates[how].append(tokens / ms * 1e3)
                for k, count in enumerate((tokens, steps, ms / 1e3)):
                    counts[how][k] += count
    for how, (tokens, steps, seconds) in counts.items():
        median = statistics.median(rates[how])
        print(f"{how}: {tokens / seconds:.1f} tokens/s (median {median:.1f}), {steps / seconds:.1f} steps/s, "
              f"{tokens} tokens in {steps} steps")
    whole = {how: tokens / seconds for how, (tokens, _, seconds) in counts.items()}
    print(f"constrained over free: {whole['constrained'] / whole['free']:.3f}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--url", default="http://127.0.0.1:8383")
    arguments.add_argument("--model", default="qwen2.5-coder-0.5b")
    arguments.add_argument("--requests", type=int, default=300)
    arguments.add_argument("--rate", type=int, default=0, metavar="N")
    options = arguments.parse_args()
    server = Server(options.url, options.model)
    if options.rate:
        rate(server, options.rate)
    elif not validity(server, options.requests):
        sys.exit(1)


if __name__ == "__main__":
    main()
