// What the served model does of what this machine could do, measured on request.
import { useState } from "preact/hooks";
import { call } from "../api";
import { Roofline, type Figure, type Report } from "../roofline";
import { Figure as Shown, Trouble } from "../parts";
import { say } from "../say";
import { shared } from "../state";
import { useWork } from "../work";

const N_STEPS = 4 * 6;

const NAMES = { prefill: "Reading a prompt", decode: "Writing, no drafts", copy: "Writing from a draft" } as const;

const reports = shared<Report[]>([]);

export function BenchPage() {
  const runs = reports.use();
  const work = useWork();
  const [told, setTold] = useState<Figure[]>([]);
  const last = runs.at(-1);
  const run = () => {
    setTold([]);
    void work.run(async (line) => {
      const { result } = await call<Report>("/page/bench", {}, line, ({ event, data }) => {
        if (event === "figure") setTold((now) => [...now, data[1]]);
      });
      reports.set((now) => [...now, result].slice(-8));
      say("Measured");
    });
  };
  return (
    <div class="live">
      <section class="card" aria-label="Measurement">
        <h2>Against the limits of this machine</h2>
        <p class="lead">
          A pass over the weights cannot be faster than memory gives them, nor than the cores multiply. This measures both
          limits and the served model in one run, at the engine that serves, behind whatever people ask it.
        </p>
        <div class="bar">
          {work.running ? (
            <button type="button" class="main" onClick={work.stop}>Stop</button>
          ) : (
            <button type="button" class="main" onClick={run}>{last ? "Measure again" : "Measure"}</button>
          )}
          {work.running && (
            <progress aria-label="Measured so far" max={N_STEPS} value={Math.min(told.length, N_STEPS)} />
          )}
          {last && !work.running && <button type="button" onClick={() => save(last)}>Save as JSON</button>}
        </div>
        <Trouble failure={work.failure} />
      </section>
      {last && <Drawn report={last} />}
    </div>
  );
}

function Drawn({ report }: { report: Report }) {
  const { model, path, threads, limits, figures, rounds } = report;
  return (
    <>
      <dl class="card tiles" aria-label="Limits">
        <Shown name="Model" value={<span class="long">{model}</span>} />
        <Shown name="Cores" value={<span class="long">{threads} × {path}</span>} />
        <Shown name="Memory read" value={`${(limits.read_bytes_per_s / 1e9).toFixed(1)} GB/s`} />
        <Shown name="8-bit products" value={`${Math.round(limits.int8_macs_per_s / 1e9)} G/s`} />
      </dl>
      <div class="two">
        <section class="card" aria-label="Roofline">
          <h2>Tokens a second, by tokens of a pass</h2>
          <Roofline report={report} />
        </section>
        <section class="card" aria-label="Figures">
          <h2>Of the limit</h2>
          <ul class="bars">
            {figures.map((figure) => {
              const share = figure.tokens_per_s / figure.limit;
              return (
                <li key={`${figure.kind}${figure.tokens}`}>
                  <p class="bar">
                    <span>{name(figure)}</span>
                    <span class="hint">{round(figure.tokens_per_s)} of {round(figure.limit)} tok/s</span>
                    <strong>{Math.round(share * 100)}%</strong>
                  </p>
                  <div class="meter" aria-hidden="true"><i class={figure.kind} style={{ width: `${Math.min(share, 1) * 100}%` }} /></div>
                </li>
              );
            })}
          </ul>
          <p class="hint">Medians of {rounds} rounds. The limit counts the weights and their products, attention not.</p>
        </section>
      </div>
    </>
  );
}

function name({ kind, tokens }: Figure): string {
  return kind === "prefill" ? `${NAMES.prefill} of ${tokens}` : NAMES[kind];
}

function round(n: number): string {
  return n < 10 ? n.toFixed(1) : Math.round(n).toLocaleString("en");
}

function save(report: Report): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(report, null, 2)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "cerium-bench.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
