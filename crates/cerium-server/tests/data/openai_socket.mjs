// Talks on a WebSocket as the official Node client does; the scripted model says "Hi there 🦀".

import assert from 'node:assert';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';

const client = new OpenAI({ baseURL: process.argv[2], apiKey: 'unused', maxRetries: 0 });
const ws = new ResponsesWS(client);
const questions = ['hello', 'and?', 'so?'];
let answered = 0;
let said = '';

const ask = (more) => ws.send({ type: 'response.create', model: 'scripted', store: false, ...more });
ws.socket.on('open', () => ask({ input: 'be brief', generate: false }));
ws.on('error', (error) => {
  console.error(error);
  process.exit(1);
});
ws.on('event', (event) => {
  if (event.type === 'response.output_text.delta') said += event.delta;
  if (event.type !== 'response.completed') return;
  const { response } = event;
  if (answered === 0) {
    assert.deepEqual(response.output, []);
  } else {
    assert.equal(response.output[0].content[0].text, 'Hi there 🦀');
    assert.equal(said, 'Hi there 🦀');
  }
  said = '';
  if (answered === questions.length) return ws.close();
  ask({ input: questions[answered++], previous_response_id: response.id });
});
ws.socket.on('close', () => {
  assert.equal(answered, questions.length);
  process.exit(0);
});
setTimeout(() => process.exit(2), 60_000).unref();
