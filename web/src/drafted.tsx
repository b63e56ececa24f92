// What a model wrote, coloured by the drafts that said it beforehand.
import { live, type From, type Token } from "./live";

export const FROM: Record<From, string> = {
  copied: "copied from the old text",
  changed: "old text, changed as before",
  repeated: "stood there before",
  forced: "the only way on",
};

export function Legend() {
  return (
    <ul class="legend" aria-label="Colours of drafted text">
      {(Object.keys(FROM) as From[]).map((from) => (
        <li key={from}><i class={`swatch ${from}`} aria-hidden="true" />{FROM[from]}</li>
      ))}
    </ul>
  );
}

export function Drafted({ tokens }: { tokens: Token[] }) {
  const runs: Array<{ text: string; from: From | null }> = [];
  for (const { text, drafted } of tokens) {
    const run = runs.at(-1);
    if (run && run.from === drafted) run.text += text ?? "";
    else runs.push({ text: text ?? "", from: drafted });
  }
  return (
    <pre class="drafted" tabIndex={0} aria-label="What the model wrote">
      {runs.map((run, i) => run.from ? <span key={i} class={run.from} title={FROM[run.from]}>{run.text}</span> : run.text)}
    </pre>
  );
}

/** The answers that this tab was given since a moment, the first one first. */
export function Given({ since }: { since: number }) {
  const { answers } = live.use();
  const given = answers.filter((answer) => answer.readable && answer.begun >= since).reverse();
  if (given.length === 0) return null;
  return (
    <details class="given">
      <summary>Token by token, drafts coloured</summary>
      <Legend />
      {given.map((answer) => <Drafted key={answer.id} tokens={answer.tokens} />)}
    </details>
  );
}
