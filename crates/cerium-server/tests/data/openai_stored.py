"""Uses a server's memory as the official Python client does; the scripted model says "Hi there 🦀"."""

import sys
import time

import openai

SAYS = "Hi there 🦀"
client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=20)
MODEL = "scripted"


def fails(kind, code, call):
    try:
        call()
    except kind as error:
        assert error.code == code, error
    else:
        raise AssertionError(f"no {kind.__name__} with {code}")


def texts(items):
    return [item.content[0].text for item in items]


# A response, found again; what it was asked; one that follows it.
first = client.responses.create(model=MODEL, input="hello", metadata={"a": "b"})
assert first.store is True
assert client.responses.retrieve(first.id) == first
assert texts(client.responses.input_items.list(first.id)) == ["hello"]
second = client.responses.create(model=MODEL, input="and?", previous_response_id=first.id)
assert second.previous_response_id == first.id
assert texts(client.responses.input_items.list(second.id, order="asc")) == ["hello", SAYS, "and?"]
# The client turns pages by itself.
assert texts(client.responses.input_items.list(second.id, limit=1)) == ["and?", SAYS, "hello"]

# Its events once more: all, and from some point on; through the helper as well.
told = list(client.responses.create(model=MODEL, input="hello", stream=True))
id = told[0].response.id
assert list(client.responses.retrieve(id, stream=True)) == told
assert list(client.responses.retrieve(id, stream=True, starting_after=4)) == told[5:]
with client.responses.stream(response_id=id) as stream:
    for _ in stream:
        pass
    assert stream.get_final_response().output_text == SAYS
with client.responses.stream(response_id=id, starting_after=4) as stream:
    assert [event.sequence_number for event in stream] == list(range(5, len(told)))

# In the background.
response = client.responses.create(model=MODEL, input="hello", background=True)
assert response.status == "queued" and response.background is True
while response.status in ("queued", "in_progress"):
    time.sleep(0.05)
    response = client.responses.retrieve(response.id)
assert (response.status, response.output_text) == ("completed", SAYS)
assert client.responses.cancel(response.id) == response
events = list(client.responses.create(model=MODEL, input="a", background=True, stream=True))
assert [event.type for event in events[:3]] == [
    "response.created",
    "response.queued",
    "response.in_progress",
]
assert events[-1].type == "response.completed"

# Counted, and made shorter.
count = client.responses.input_tokens.count(model=MODEL, input="more", previous_response_id=second.id)
assert count.object == "response.input_tokens"
third = client.responses.create(model=MODEL, input="more", previous_response_id=second.id)
assert count.input_tokens == third.usage.input_tokens
compacted = client.responses.compact(model=MODEL, previous_response_id=second.id)
assert compacted.object == "response.compaction"
assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
assert compacted.usage.total_tokens > 0
window = [item.to_dict() for item in compacted.output]
again = client.responses.create(model=MODEL, input=[*window, {"role": "user", "content": "go on"}])
assert again.output_text == SAYS

# Made shorter before it is gone on with.
long = [
    {"role": "user", "content": "x" * 200},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "y" * 140},
]
management = [{"type": "compaction", "compact_threshold": 1000}]
with client.responses.stream(model=MODEL, input=long, context_management=management) as stream:
    shorter = stream.get_final_response()
assert [item.type for item in shorter.output] == ["compaction", "message"]
assert shorter.output_text == SAYS
items = [*long, *shorter.output, {"role": "user", "content": "go on"}]
assert client.responses.create(model=MODEL, input=items).output_text == SAYS

# A conversation.
conversation = client.conversations.create(
    metadata={"topic": "x"}, items=[{"role": "user", "content": "one"}]
)
assert client.conversations.retrieve(conversation.id) == conversation
response = client.responses.create(model=MODEL, input="two", conversation=conversation.id)
assert response.conversation.id == conversation.id
items = list(client.conversations.items.list(conversation.id, order="asc"))
assert texts(items) == ["one", "two", SAYS]
assert client.conversations.items.retrieve(items[1].id, conversation_id=conversation.id) == items[1]
assert client.conversations.items.delete(items[1].id, conversation_id=conversation.id) == conversation
added = client.conversations.items.create(
    conversation.id, items=[{"role": "assistant", "content": "three"}]
)
assert texts(added.data) == ["three"]
assert texts(client.conversations.items.list(conversation.id)) == ["three", SAYS, "one"]
changed = client.conversations.update(conversation.id, metadata={"topic": "y"})
assert changed.metadata == {"topic": "y"}
assert client.conversations.delete(conversation.id).deleted is True
fails(
    openai.NotFoundError,
    "conversation_not_found",
    lambda: client.conversations.retrieve(conversation.id),
)

# Gone.
client.responses.delete(first.id)
fails(openai.NotFoundError, "response_not_found", lambda: client.responses.retrieve(first.id))
fails(
    openai.BadRequestError,
    "previous_response_not_found",
    lambda: client.responses.create(model=MODEL, input="a", previous_response_id=first.id),
)
print("content")
