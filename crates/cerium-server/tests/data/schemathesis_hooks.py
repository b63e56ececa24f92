"""Requests that a small model can answer within a test: its own name in most of them, and a few tokens."""

import schemathesis

MODEL = "smollm2-135m"
LIMITS = {"input": "max_output_tokens", "messages": "max_tokens", "prompt": "max_tokens", "input_prefix": "n_predict"}


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        if isinstance(body.get("model"), str) and len(body["model"]) % 4:
            body["model"] = MODEL
        for field, limit in LIMITS.items():
            if field in body and (limit not in body or isinstance(body[limit], int)):
                body[limit] = 3
    return body
