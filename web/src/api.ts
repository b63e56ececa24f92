// What the page asks of the server: JSON there, a stream of events back.
import { shared } from "./state";

/** What an answer took, as the command line tells it with --json. */
export interface Stats {
  model: string | null;
  prompt_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  output_steps: number;
  drafted_tokens: number;
  accepted_tokens: number;
  prefill_ms: number;
  ttft_ms: number;
  decode_ms: number;
  total_ms: number;
}

export class Failure extends Error {
  constructor(
    message: string,
    readonly hint?: string,
    readonly reply?: string,
  ) {
    super(message);
  }
}

const KEY = "cerium-key";

/** Says which calls are this tab's, so that it may see what is answered to them. */
const TAB = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Whether a key has to be entered, and why the last one was none. */
export const keyWanted = shared<{ why: string } | null>(null);

let entered: Array<() => void> = [];

export function enterKey(key: string): void {
  sessionStorage.setItem(KEY, key);
  keyWanted.set(null);
  for (const go of entered) go();
  entered = [];
}

/** A request that waits for the key where one is asked for. */
export async function request(path: string, init: RequestInit): Promise<Response> {
  for (;;) {
    const headers = new Headers(init.headers);
    const key = sessionStorage.getItem(KEY);
    headers.set("x-cerium-tab", TAB);
    if (key) headers.set("authorization", `Bearer ${key}`);
    const response = await fetch(path, { ...init, headers, cache: "no-store" });
    if (response.status !== 401) {
      if (!response.ok) throw await refusal(response);
      return response;
    }
    const why = (await refusal(response)).message;
    const again = new Promise<void>((go) => entered.push(go));
    keyWanted.set({ why: key ? why : "" });
    await Promise.race([again, aborted(init.signal)]);
  }
}

function aborted(signal: AbortSignal | null | undefined): Promise<never> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

async function refusal(response: Response): Promise<Failure> {
  const body: unknown = await response.json().catch(() => null);
  const message = (body as { error?: { message?: string } } | null)?.error?.message;
  return new Failure(message ?? `the server answered with status ${response.status}`);
}

export interface Heard {
  event: string;
  data: any;
}

/** Tells the events of a call until its end. Leaving early ends the work at the server. */
export async function* events(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<Heard> {
  const response = await request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const parts = text.split("\n\n");
      text = parts.pop()!;
      for (const part of parts) {
        const heard = parse(part);
        if (heard) yield heard;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(part: string): Heard | null {
  let event = "message";
  let data = "";
  for (const line of part.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data ? { event, data: JSON.parse(data) } : null;
}

/** How long a call may take to stop by itself, in milliseconds. */
const STOP_MAX = 2000;

/** The way to a call in progress. */
export class Line {
  private readonly controller = new AbortController();
  readonly signal = this.controller.signal;
  /** Its number, once it has begun. */
  call: number | null = null;
  stopped = false;
  private timer = 0;

  /** Says what it should do otherwise; whether it was not too late. */
  async steer(text: string): Promise<boolean> {
    return !this.stopped && this.say({ text });
  }

  /** Has it end with what there is; at once where that cannot be said, or was said before. */
  stop(): void {
    if (this.stopped) return this.leave();
    this.stopped = true;
    this.timer = setTimeout(() => this.leave(), STOP_MAX);
    void this.say({}).then((heard) => heard || this.leave());
  }

  leave(): void {
    this.stopped = true;
    this.controller.abort();
  }

  /** It is over. */
  end(): void {
    clearTimeout(this.timer);
  }

  private async say(what: { text?: string }): Promise<boolean> {
    if (this.call === null) return false;
    const body = JSON.stringify({ call: this.call, ...what });
    const headers = { "content-type": "application/json" };
    return request("/page/steer", { method: "POST", headers, body, signal: this.signal }).then(() => true, () => false);
  }
}

/** Runs a call to its result. */
export async function call<T>(
  path: string,
  body: unknown,
  line: Line,
  hear: (heard: Heard) => void,
): Promise<{ result: T; stats: Stats }> {
  for await (const heard of events(path, body, line.signal)) {
    if (heard.event === "begun") {
      line.call = heard.data;
      continue;
    }
    if (heard.event === "done") return heard.data;
    if (heard.event === "failed") {
      throw new Failure(heard.data.message, heard.data.hint, heard.data.reply);
    }
    hear(heard);
  }
  throw new Failure("the server broke off");
}

/** What is said of an error; nothing of one that the person caused by stopping. */
export function told(error: unknown): Failure | null {
  if (error instanceof DOMException && error.name === "AbortError") return null;
  if (error instanceof Failure) return error;
  if (error instanceof TypeError) return new Failure("the server cannot be reached", "is it still running?");
  return new Failure(String(error));
}
