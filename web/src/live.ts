// What the server does, as it happens: heard for as long as somebody looks, or waits for an answer.
import { events, told, type Failure, type Stats } from "./api";
import { shared } from "./state";

export type From = "copied" | "changed" | "repeated" | "forced";

export interface Usage extends Omit<Stats, "model" | "prefill_ms" | "ttft_ms" | "decode_ms" | "total_ms"> {}

export interface Timings {
  prefill_ms: number;
  ttft_ms: number;
  decode_ms: number;
  total_ms: number;
}

export interface Token {
  /** Nothing of answers to others. */
  text: string | null;
  drafted: From | null;
}

export interface Answer {
  id: string;
  prompt_tokens: number | null;
  before: number;
  /** When it was heard of and when its first token was, in milliseconds of this page. */
  begun: number;
  first: number | null;
  last: number;
  tokens: Token[];
  n_tokens: number;
  n_drafted: number;
  readable: boolean;
  ended: { status: string; usage: Usage; timings: Timings } | "gone" | null;
}

export interface Now {
  running: number;
  waiting: number;
  answers: number;
  prompt_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  output_steps: number;
  drafted_tokens: number;
  accepted_tokens: number;
  drafts: Record<From, { drafted_tokens: number; accepted_tokens: number }>;
  jobs: Array<{ background: boolean; prompt_tokens: number; computed_tokens: number; output_tokens: number }>;
  pages: { used: number; max: number; idle: number; kept: number; page_bytes: number; page_tokens: number };
}

/** Of a page: the place of the one before it, its tokens, whether it is in use. */
export type TreePage = [number | null, number, boolean];

export interface Recent {
  id: string;
  ended: number;
  usage: Usage;
  timings: Timings;
}

export interface Live {
  connected: boolean;
  failure: Failure | null;
  model: string;
  now: Now | null;
  tree: TreePage[];
  /** Latest first. */
  answers: Answer[];
  recent: Recent[];
  /** Tokens written in each quarter of a second, the last one first begun. */
  speed: number[];
}

const ANSWERS_MAX = 12;
const TOKENS_MAX = 4000;
export const BINS = 120;
export const BIN_MS = 250;

export const live = shared<Live>({
  connected: false,
  failure: null,
  model: "",
  now: null,
  tree: [],
  answers: [],
  recent: [],
  speed: Array(BINS).fill(0),
});

let lookers = 0;
let controller: AbortController | null = null;
let opened: Promise<void> = Promise.resolve();

/** Listens until the returned function is called; resolves once something is heard, or nothing will be. */
export async function watch(): Promise<() => void> {
  lookers++;
  if (!controller) listen();
  await opened;
  let here = true;
  return () => {
    if (!here) return;
    here = false;
    lookers--;
    // The end of an answer comes a moment after the answer.
    setTimeout(() => {
      if (lookers === 0) {
        controller?.abort();
        controller = null;
      }
    }, 1500);
  };
}

function listen(): void {
  const mine = new AbortController();
  controller = mine;
  let open = () => {};
  opened = new Promise((done) => (open = done));
  const beat = setInterval(() => draw(shift), BIN_MS);
  void (async () => {
    let failure: Failure | null = null;
    try {
      for await (const { event, data } of events("/page/live", {}, mine.signal)) {
        hear(event, data);
        open();
      }
    } catch (error) {
      failure = told(error);
    }
    open();
    clearInterval(beat);
    if (controller === mine) controller = null;
    live.set((now) => ({ ...now, connected: false, failure }));
    if (failure && lookers > 0) setTimeout(() => lookers > 0 && !controller && listen(), 3000);
  })();
}

// Many things may happen between two frames; they are drawn together.
let changes: Array<(now: Live) => Live> = [];

function draw(change: (now: Live) => Live): void {
  if (changes.push(change) === 1) {
    setTimeout(() => {
      const all = changes;
      changes = [];
      live.set((now) => all.reduce((now, change) => change(now), now));
    }, 40);
  }
}

function hear(event: string, data: any): void {
  const at = performance.now();
  if (event === "hello") {
    draw((now) => ({
      ...now,
      connected: true,
      failure: null,
      model: data.model,
      recent: data.recent,
      answers: data.running.map((id: string) => fresh(id, null, at)),
    }));
  } else if (event === "now") draw((now) => ({ ...now, now: data }));
  else if (event === "tree") draw((now) => ({ ...now, tree: data }));
  else if (event === "moment") draw((now) => moment(now, data, at));
}

function fresh(id: string, prompt_tokens: number | null, at: number): Answer {
  return {
    id, prompt_tokens, before: 0, begun: at, first: null, last: at,
    tokens: [], n_tokens: 0, n_drafted: 0, readable: false, ended: null,
  };
}

function moment(now: Live, data: any, at: number): Live {
  if (data.event === "begun") {
    return { ...now, answers: [fresh(data.id, data.prompt_tokens, at), ...now.answers].slice(0, ANSWERS_MAX) };
  }
  const answers = now.answers.map((answer) => (answer.id === data.id ? step(answer, data, at) : answer));
  if (data.event === "token") {
    const speed = [...now.speed];
    speed[0] = (speed[0] ?? 0) + 1;
    return { ...now, answers, speed };
  }
  if (data.event === "ended") {
    const { id, usage, timings } = data;
    const recent = [...now.recent, { id, ended: Date.now() / 1000, usage, timings }].slice(-32);
    return { ...now, answers, recent };
  }
  return { ...now, answers };
}

function step(answer: Answer, data: any, at: number): Answer {
  switch (data.event) {
    case "queued":
      return { ...answer, before: data.n_before + 1 };
    case "token": {
      const { text, drafted } = data as Token;
      return {
        ...answer,
        before: 0,
        first: answer.first ?? at,
        last: at,
        tokens: [...answer.tokens, { text, drafted }].slice(-TOKENS_MAX),
        n_tokens: answer.n_tokens + 1,
        n_drafted: answer.n_drafted + (drafted ? 1 : 0),
        readable: answer.readable || text !== null,
      };
    }
    case "ended":
      return { ...answer, last: at, ended: { status: data.status, usage: data.usage, timings: data.timings } };
    case "gone":
      return { ...answer, last: at, ended: answer.ended ?? "gone" };
    default:
      return answer;
  }
}

function shift(now: Live): Live {
  return { ...now, speed: [0, ...now.speed.slice(0, BINS - 1)] };
}
