// An instruction becomes a diff, which is taken or not.
import { useEffect, useRef, useState } from "preact/hooks";
import { call, type Stats } from "../api";
import { Hunks, Lines } from "../changes";
import { Composer, again } from "../composer";
import { hunks, mark, take, type Hunk, type Line } from "../diff";
import { doc, replace } from "../document";
import { Given } from "../drafted";
import { Figures, Trouble } from "../parts";
import { say } from "../say";
import { shared } from "../state";
import { useWork } from "../work";

interface Edited {
  after: string;
  diff: string;
  n_added: number;
  n_removed: number;
}

interface Proposal {
  before: string;
  after: string;
  hunks: Hunk[];
  taken: boolean[];
  stats: Stats;
}

/** What is to be done, which a plan's step may say. */
export const wish = shared<{ instruction: string; symbol?: string; go: boolean }>({ instruction: "", go: false });

const IDEAS = [
  "rename mean to average",
  "raise ValueError when values is empty",
  "add a docstring to spread",
];

export function Edit() {
  const { name, text, selected } = doc.use();
  const { instruction, symbol, go } = wish.use();
  const work = useWork();
  const [asked, setAsked] = useState("");
  const [lines, setLines] = useState<Line[]>([]);
  const [scope, setScope] = useState("");
  const [made, setMade] = useState<Proposal | null>(null);
  const [last, setLast] = useState<Stats | null>(null);
  const [since, setSince] = useState(0);
  const typing = useRef(false);
  const accept = useRef<HTMLButtonElement>(null);
  const field = useRef<HTMLTextAreaElement>(null);

  const run = async (instruction: string) => {
    if (work.running) return;
    setLines([]);
    setMade(null);
    setLast(null);
    setScope("");
    setSince(performance.now());
    setAsked(instruction);
    wish.set({ instruction: "", symbol, go: false });
    say("Writing; what you type now redirects it");
    const before = text;
    const body = { name, text, instruction, symbol: selected ? undefined : symbol, lines: selected ?? undefined };
    let proposal: Proposal | null = null;
    await work.run(async (line) => {
      let live: Line[] = [];
      const { result, stats } = await call<Edited>("/page/edit", body, line, ({ event, data }) => {
        if (event === "scope") {
          live = [];
          setScope(places(data.regions));
        } else if (event === "retry") {
          setScope(`again: ${data.reason}`);
        } else if (event === "redirect") {
          instruction = data;
          setAsked(data);
        } else if (event === "line") {
          const at = data.kind === "add" ? {} : { before: data.line };
          live = [...live, { kind: data.kind, text: data.text, ...at }];
          mark(live);
        }
        setLines(live);
      });
      const found = hunks(result.diff);
      proposal = { before, after: result.after, hunks: found, taken: found.map(() => true), stats };
      say(`Edit ready: ${count(result.n_added, "line")} added, ${result.n_removed || "none"} removed`);
    });
    const typed = wish.get().instruction;
    wish.set({ instruction: again(instruction, typed), symbol, go: false });
    // Who is still typing stays where they are.
    typing.current = typed.trim() !== "";
    setMade(proposal);
  };
  useEffect(() => {
    if (go) void run(instruction);
  }, [go]);
  useEffect(() => {
    if (!made) return;
    if (!typing.current) accept.current?.focus({ preventScroll: true });
    document.querySelector(".hunks")?.scrollIntoView({ block: "nearest" });
  }, [made === null]);

  const discard = () => {
    setMade(null);
    setLines([]);
    say("Discarded; the text is as it was");
    field.current?.focus();
  };
  const settle = () => {
    if (!made) return;
    if (doc.get().text !== made.before) {
      return say("The text changed while the edit was made: write the edit again");
    }
    replace(take(made.before, made.after, made.hunks, made.taken));
    setLast(made.stats);
    setMade(null);
    setLines([]);
    wish.set({ instruction: "", go: false });
    say("Accepted; Undo brings the text back");
    field.current?.focus();
  };
  const any = made?.taken.some(Boolean) ?? false;

  return (
    <section class="card" aria-label="Edit">
      <Composer
        id="instruction"
        label="What should change?"
        action="Write edit"
        placeholder={IDEAS[0]!}
        work={work}
        value={instruction}
        change={(instruction) => wish.set((now) => ({ instruction, symbol: work.running ? now.symbol : undefined, go: false }))}
        send={(instruction) => void run(instruction)}
        field={field}
        hint={selected ? `in lines ${selected.start} to ${selected.end}` : (symbol ? `in ${symbol}` : undefined)}
      />
      <Trouble failure={work.failure} />
      {!work.running && !made && !last && !work.failure && (
        <div class="ideas">
          <p class="hint">For example</p>
          {IDEAS.map((idea) => (
            <button key={idea} type="button" class="idea" onClick={() => { wish.set({ instruction: idea, go: false }); field.current?.focus(); }}>
              {idea}
            </button>
          ))}
        </div>
      )}
      {work.running && (
        <>
          <p class="asking">{asked}</p>
          <p class="state"><i class="pulse" aria-hidden="true" />{scope ? `Writing ${scope}` : "Reading"}</p>
          {lines.length > 0 && <div class="hunks"><div class="hunk"><Lines lines={lines} /></div></div>}
        </>
      )}
      {made && (
        <>
          <Hunks
            hunks={made.hunks}
            taken={made.taken}
            take={(i, on) => setMade({ ...made, taken: made.taken.map((was, k) => (k === i ? on : was)) })}
          />
          <div class="bar settle">
            <button type="button" class="main" ref={accept} disabled={!any} onClick={settle}>Accept</button>
            <button type="button" onClick={discard}>Discard</button>
          </div>
          <Figures stats={made.stats} />
          <Given since={since} />
        </>
      )}
      {last && <Figures stats={last} />}
    </section>
  );
}

function places(regions: Array<{ start_line: number; end_line: number }>): string {
  const spans = regions.map(({ start_line: a, end_line: b }) => (a === b ? `${a}` : `${a} to ${b}`));
  return `lines ${spans.join(", ")}`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
