// A diff, line by line.
import type { ComponentChildren } from "preact";
import type { Hunk, Line } from "./diff";

const SIGN = { keep: " ", remove: "−", add: "+" } as const;

export function Lines({ lines }: { lines: Line[] }) {
  return (
    <div class="lines" tabIndex={0} role="group" aria-label="Changed lines">
      {lines.map((line, i) => (
        <Row key={i} line={line} />
      ))}
    </div>
  );
}

function Row({ line }: { line: Line }) {
  const text = marked(line);
  return (
    <div class={`row ${line.kind}`}>
      <span class="no" aria-hidden="true">{line.kind === "add" ? line.after ?? "" : line.before ?? ""}</span>
      <span class="sign" aria-hidden="true">{SIGN[line.kind]}</span>
      {line.kind === "keep" && <span class="text">{text}</span>}
      {line.kind === "remove" && <del class="text">{text}</del>}
      {line.kind === "add" && <ins class="text">{text}</ins>}
    </div>
  );
}

function marked({ text, mark }: Line): ComponentChildren {
  if (!mark || mark[0] === mark[1]) return text || " ";
  const [from, to] = mark;
  return [text.slice(0, from), <b key="b">{text.slice(from, to)}</b>, text.slice(to)];
}

export function Hunks(props: { hunks: Hunk[]; taken: boolean[]; take: (i: number, on: boolean) => void }) {
  const { hunks, taken, take } = props;
  return (
    <div class="hunks">
      {hunks.map((hunk, i) => (
        <div key={i} class={taken[i] ? "hunk" : "hunk off"}>
          {hunks.length > 1 && (
            <label class="take">
              <input type="checkbox" checked={taken[i]} onChange={(event) => take(i, event.currentTarget.checked)} />
              Take change {i + 1} of {hunks.length}
            </label>
          )}
          <Lines lines={hunk.lines} />
        </div>
      ))}
    </div>
  );
}
