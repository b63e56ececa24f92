"""Uses a server as the official Python client does; the scripted model says "Hi there 🦀"."""

import sys

import openai

SAYS = "Hi there 🦀"
client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=20)
MODEL = "scripted"

assert [m.id for m in client.models.list()] == [MODEL]
assert client.models.retrieve(MODEL).id == MODEL

# Responses: whole, as raw events, and through the stream helper, which checks the order.
response = client.responses.create(
    model=MODEL, input="hello", instructions="be brief", metadata={"a": "b"}, max_output_tokens=99
)
assert response.output_text == SAYS, response
assert response.status == "completed"
assert response.metadata == {"a": "b"}
assert response.usage.input_tokens_details.cached_tokens == 3
assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens

events = list(client.responses.create(model=MODEL, input="hello", stream=True))
assert events[0].type == "response.created"
assert events[-1].type == "response.completed"
assert [e.sequence_number for e in events] == list(range(len(events)))
assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == SAYS

with client.responses.stream(
    model=MODEL,
    input=[
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
    ],
) as stream:
    deltas = [e.delta for e in stream if e.type == "response.output_text.delta"]
    assert "".join(deltas) == SAYS
    assert stream.get_final_response().output_text == SAYS

# What came out can go in again.
again = client.responses.create(model=MODEL, input=[*response.output, {"role": "user", "content": "and?"}])
assert again.output_text == SAYS

# Chat: whole, as chunks, through the stream helper.
messages = [{"role": "user", "content": "hello"}]
completion = client.chat.completions.create(model=MODEL, messages=messages, stop=["\n\n\n"], seed=1)
assert completion.choices[0].message.content == SAYS
assert completion.choices[0].finish_reason == "stop"
assert completion.usage.prompt_tokens_details.cached_tokens == 3

chunks = list(
    client.chat.completions.create(
        model=MODEL, messages=messages, stream=True, stream_options={"include_usage": True}
    )
)
assert chunks[0].choices[0].delta.role == "assistant"
assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == SAYS
assert chunks[-1].usage == completion.usage

with client.chat.completions.stream(model=MODEL, messages=messages) as stream:
    for _ in stream:
        pass
    assert stream.get_final_completion().choices[0].message.content == SAYS

# Completions, with a hole to fill.
completion = client.completions.create(model=MODEL, prompt="fn main() {", suffix="}", max_tokens=99)
assert completion.choices[0].text == SAYS
texts = [c.choices[0].text for c in client.completions.create(model=MODEL, prompt="a", stream=True)]
assert "".join(texts) == SAYS


def fails(kind, code, param, call):
    """Errors arrive as the client's own exceptions, with what it needs to tell them apart."""
    try:
        call()
    except kind as error:
        assert (error.code, error.param) == (code, param), error
    else:
        raise AssertionError(f"no {kind.__name__} with {code}")


fails(
    openai.NotFoundError,
    "model_not_found",
    "model",
    lambda: client.responses.create(model="gpt-9", input="hello"),
)
fails(
    openai.BadRequestError,
    "context_length_exceeded",
    "input",
    lambda: client.responses.create(model=MODEL, input="hello " * 1000, stream=True),
)
fails(
    openai.BadRequestError,
    "unsupported_parameter",
    "prompt",
    lambda: client.responses.create(model=MODEL, input="hello", prompt={"id": "pmpt_1"}),
)
fails(
    openai.NotFoundError,
    "response_not_found",
    None,
    lambda: client.responses.retrieve("resp_1"),
)
print("content")
