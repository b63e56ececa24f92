// What the engine does at this moment: answers, speed, drafts, and what it keeps.
import { useEffect } from "preact/hooks";
import { Drafted, Legend } from "../drafted";
import { BIN_MS, live, watch, type Answer, type Live, type TreePage } from "../live";
import { Figure, Trouble, seconds } from "../parts";

const STATES: Record<string, string> = { cancelled: "ended early", incomplete: "cut off" };

export function LivePage() {
  const now = live.use();
  useEffect(() => {
    let unwatch: (() => void) | null = null;
    let here = true;
    const look = async () => {
      const stop = await watch();
      if (here && !document.hidden) unwatch = stop;
      else stop();
    };
    // Nobody looks at a tab in the background.
    const turn = () => {
      if (document.hidden) {
        unwatch?.();
        unwatch = null;
      } else if (!unwatch) void look();
    };
    turn();
    document.addEventListener("visibilitychange", turn);
    return () => {
      here = false;
      unwatch?.();
      document.removeEventListener("visibilitychange", turn);
    };
  }, []);
  return (
    <div class="live">
      <h2 class="unseen">Live view</h2>
      <Trouble failure={now.failure} />
      <Tiles now={now} />
      <div class="two">
        <section class="card" aria-label="Answers">
          <h2>Answers</h2>
          <Legend />
          {now.answers.length === 0 && (
            <p class="hint">Nothing is asked at the moment. Write an edit, or let a client ask at <code>/v1</code>.</p>
          )}
          {now.answers.map((answer) => <Asked key={answer.id} answer={answer} />)}
        </section>
        <div class="stack">
          <Speed speed={now.speed} />
          <Kept now={now} />
          <Recent now={now} />
        </div>
      </div>
    </div>
  );
}

function Tiles({ now: { now, recent } }: { now: Live }) {
  const last = recent.findLast(({ usage }) => usage.output_tokens > 0);
  const share = (part: number, whole: number) => (whole ? `${Math.round((part / whole) * 100)}%` : "–");
  return (
    <dl class="card tiles" aria-label="In short">
      <Figure name="Being answered" value={now ? `${now.running}` : "–"} />
      <Figure name="Waiting" value={now ? `${now.waiting}` : "–"} />
      <Figure name="Last first token" value={last ? seconds(last.timings.ttft_ms) : "–"} />
      <Figure name="Drafts accepted" value={now ? share(now.accepted_tokens, now.drafted_tokens) : "–"} />
      <Figure name="Tokens a step" value={now?.output_steps ? (now.output_tokens / now.output_steps).toFixed(1) : "–"} />
      <Figure name="Prompts known" value={now ? share(now.cached_tokens, now.prompt_tokens) : "–"} />
    </dl>
  );
}

function Asked({ answer }: { answer: Answer }) {
  const { id, ended, n_tokens, n_drafted, first, last, before } = answer;
  const took = ended && ended !== "gone" ? ended : null;
  const n = took?.usage.output_tokens ?? n_tokens;
  const ms = took?.timings.decode_ms ?? (first === null ? 0 : last - first);
  const state = ended === "gone" ? "left" : took ? STATES[took.status] ?? took.status : before ? `waiting, ${before - 1} before it` : first === null ? "reading" : "writing";
  return (
    <article class="asked" aria-label={`Answer, ${state}`}>
      <p class="bar">
        <span class={ended ? "chip" : "chip on"}>{state}</span>
        <span class="hint mono">{id.slice(-8)}</span>
        <span class="spring" />
        <span class="hint">
          {took && `first token ${seconds(took.timings.ttft_ms)} · `}
          {n > 1 && ms > 0 && `${Math.round(((n - 1) / ms) * 1000)} tok/s · `}
          {n > 0 && `${n} tok`}{n_drafted > 0 && `, ${took?.usage.accepted_tokens ?? n_drafted} drafted`}
        </span>
      </p>
      {answer.readable ? (
        <Drafted tokens={answer.tokens} />
      ) : (
        n_tokens > 0 && <p class="hint">What it says is seen by whoever asked.</p>
      )}
    </article>
  );
}

function Speed({ speed }: { speed: number[] }) {
  const n_bins = 1000 / BIN_MS;
  // Of the last second at each time; the bin that is being filled would seem slow.
  const done = speed.slice(1);
  const rates = done.map((_, i) => done.slice(i, i + n_bins).reduce((sum, n) => sum + n, 0)).reverse();
  const top = Math.max(40, ...rates);
  const [w, h] = [480, 96];
  const x = (i: number) => (i / Math.max(rates.length - 1, 1)) * w;
  const y = (rate: number) => h - (rate / top) * (h - 6);
  const line = rates.map((rate, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(rate).toFixed(1)}`).join("");
  return (
    <section class="card" aria-label="Speed">
      <h2>Tokens a second</h2>
      <svg class="plot" viewBox={`0 0 ${w} ${h + 16}`} role="img" aria-label={`Tokens a second over the last half minute, at most ${Math.round(Math.max(0, ...rates))}`}>
        <path class="area" d={`${line}L${w} ${h}L0 ${h}Z`} />
        <path class="line" d={line} />
        <line class="axis" x1="0" x2={w} y1={h} y2={h} />
        <text x="0" y={h + 13}>30 s ago</text>
        <text x={w} y={h + 13} text-anchor="end">now</text>
        <text x={w} y="10" text-anchor="end">{Math.round(top)}</text>
      </svg>
    </section>
  );
}

function Kept({ now: { now, tree } }: { now: Live }) {
  if (!now) return null;
  const { used, max, idle, kept, page_bytes, page_tokens } = now.pages;
  const mib = (pages: number) => `${Math.round((pages * page_bytes) / (1 << 20))} MiB`;
  return (
    <section class="card" aria-label="Computed prompts">
      <h2>Computed prompts</h2>
      <div class="meter" role="img" aria-label={`${mib(used)} of ${mib(max)} used, ${mib(used - idle)} by answers in progress`}>
        <i class="busy" style={{ width: `${(100 * (used - idle)) / Math.max(max, 1)}%` }} />
        <i class="idle" style={{ width: `${(100 * idle) / Math.max(max, 1)}%` }} />
      </div>
      <p class="hint">
        {mib(used)} of {mib(max)}: {used - idle} pages in use, {idle} kept for prompts to come, {page_tokens} tokens each.
      </p>
      {tree.length > 0 && <Tree pages={tree} n_kept={kept} page_tokens={page_tokens} />}
    </section>
  );
}

/** Each row a branch, each cell a page, from left to right as prompts are read. */
function Tree({ pages, n_kept, page_tokens }: { pages: TreePage[]; n_kept: number; page_tokens: number }) {
  const children: number[][] = pages.map(() => []);
  const roots: number[] = [];
  pages.forEach(([parent], i) => (parent === null ? roots : children[parent]!).push(i));
  const cells: Array<{ i: number; x: number; y: number }> = [];
  const joins: Array<{ x: number; from: number; to: number }> = [];
  let rows = 0;
  let deepest = 0;
  const walk = (i: number, depth: number, row: number) => {
    cells.push({ i, x: depth, y: row });
    deepest = Math.max(deepest, depth + 1);
    children[i]!.forEach((child, k) => {
      const to = k === 0 ? row : rows++;
      if (k > 0) joins.push({ x: depth + 1, from: row, to });
      walk(child, depth + 1, to);
    });
  };
  for (const root of roots) walk(root, 0, rows++);
  const [cw, ch] = [15, 12];
  return (
    <figure>
      <div class="scroll" tabIndex={0} role="group" aria-label="Tree of computed prompts">
        <svg class="tree" width={deepest * cw + 6} height={rows * ch + 4} role="img" aria-label={`${n_kept} pages in ${rows} branches, the longest of ${deepest} pages`}>
          {joins.map(({ x, from, to }, k) => (
            <path key={k} class="join" d={`M${x * cw + 1.5} ${from * ch + ch - 1}V${to * ch + ch / 2 + 2}h3`} />
          ))}
          {cells.map(({ i, x, y }) => {
            const [, n_tokens, in_use] = pages[i]!;
            return (
              <rect key={i} class={in_use ? "busy" : "idle"} x={x * cw + 3} y={y * ch + 3} rx="2"
                width={Math.max(((cw - 3) * n_tokens) / page_tokens, 2)} height={ch - 4} />
            );
          })}
        </svg>
      </div>
      <figcaption class="hint">
        {n_kept} pages in {rows} {rows === 1 ? "branch" : "branches"}; prompts that begin alike share them.
      </figcaption>
    </figure>
  );
}

function Recent({ now: { recent } }: { now: Live }) {
  if (recent.length === 0) return null;
  return (
    <section class="card" aria-label="Last answers">
      <h2>Last answers</h2>
      <div class="scroll" tabIndex={0} role="group" aria-label="Table of the last answers">
        <table>
          <thead>
            <tr><th>First token</th><th>tok/s</th><th>Prompt</th><th>Known</th><th>Written</th><th>Drafted</th></tr>
          </thead>
          <tbody>
            {recent.slice(-8).reverse().map(({ id, usage, timings }) => (
              <tr key={id}>
                <td>{usage.output_tokens > 0 ? seconds(timings.ttft_ms) : "–"}</td>
                <td>{usage.output_tokens > 1 ? Math.round(((usage.output_tokens - 1) / Math.max(timings.decode_ms, 1)) * 1000) : "–"}</td>
                <td>{usage.prompt_tokens}</td>
                <td>{usage.cached_tokens}</td>
                <td>{usage.output_tokens}</td>
                <td>{usage.accepted_tokens}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
