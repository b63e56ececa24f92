"""Cancels a response as the official Python client does; the scripted model says "Hi" and never ends."""

import sys
import time

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=20)

response = client.responses.create(model="scripted", input="hello", background=True)
while client.responses.retrieve(response.id).status == "queued":
    time.sleep(0.05)
told = []
for event in client.responses.retrieve(response.id, stream=True):
    told.append(event)
    if event.type == "response.output_text.delta" and event.delta == "i":
        cancelled = client.responses.cancel(response.id)
assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hi"), cancelled
assert told[-1].type == "response.incomplete"
assert told[-1].response == cancelled
print("content")
