"""Talks on a WebSocket as the official Python client does; the scripted model says "Hi there 🦀"."""

import sys

import openai

SAYS = "Hi there 🦀"
client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=20)


def finish(connection):
    deltas = ""
    for event in connection:
        if event.type == "response.output_text.delta":
            deltas += event.delta
        if event.type == "response.completed":
            return event.response, deltas
        assert event.type != "error", event


with client.responses.connect() as connection:
    connection.response.create(model="scripted", input="be brief", generate=False)
    warm, deltas = finish(connection)
    assert warm.output == [] and deltas == "", warm
    previous = warm.id
    for question in ["hello", "and?", "so?"]:
        connection.response.create(
            model="scripted", input=question, previous_response_id=previous, store=False
        )
        response, deltas = finish(connection)
        assert deltas == response.output_text == SAYS, response
        previous = response.id

    connection.response.create(model="scripted", input="x", previous_response_id="resp_unknown", store=False)
    for event in connection:
        assert event.type == "error", event
        assert event.status == 400, event
        assert event.error.code == "previous_response_not_found", event
        break
    # The connection goes on.
    connection.response.create(model="scripted", input="again", store=False)
    assert finish(connection)[0].output_text == SAYS
