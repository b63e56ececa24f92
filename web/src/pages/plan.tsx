// A goal becomes steps; one is revised at a time, or carried out as an edit.
import { useState } from "preact/hooks";
import { call, type Stats } from "../api";
import { doc } from "../document";
import { go } from "../places";
import { Figures, Trouble, isSend } from "../parts";
import { say } from "../say";
import { shared } from "../state";
import { useWork } from "../work";
import { wish } from "./edit";

interface Step {
  number: number;
  title: string;
  files: Array<{ path: string; new: boolean }>;
  symbol?: string;
  detail: string;
}

interface Plan {
  goal: string;
  steps: Step[];
  revised: number | null;
}

// It outlives a look at another page.
const plan = shared<{ plan: Plan; stats: Stats } | null>(null);

export function PlanPage() {
  const { name, text } = doc.use();
  const kept = plan.use();
  const work = useWork();
  const [goal, setGoal] = useState(kept?.plan.goal ?? "");
  const [heard, setHeard] = useState("");
  const [revising, setRevising] = useState<number | null>(null);
  const [request, setRequest] = useState("");

  const make = (path: string, body: object, end: string) => {
    setHeard("");
    void work.run(async (signal) => {
      const { result, stats } = await call<Plan>(path, { name, text, ...body }, signal, ({ event, data }) => {
        if (event === "text") setHeard((now) => now + data);
      });
      plan.set({ plan: result, stats });
      setRevising(null);
      setRequest("");
      say(end);
    });
  };
  const write = () => {
    if (goal.trim() && !work.running) make("/page/plan", { goal }, "The plan is written");
  };
  const revise = (number: number) => {
    if (!kept || !request.trim() || work.running) return;
    const { goal, steps } = kept.plan;
    make("/page/revise", { goal, steps, request: `step ${number}: ${request}` }, `Step ${number} is revised`);
  };
  const carryOut = (step: Step) => {
    const title = step.title.replace(/\.$/, "");
    const instruction = step.detail ? `${title}. ${step.detail}` : title;
    wish.set({ instruction, symbol: step.symbol, go: true });
    doc.set((now) => ({ ...now, selected: null }));
    go("edit");
  };

  return (
    <section class="card" aria-label="Plan">
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          write();
        }}
        onKeyDown={(event) => {
          if (isSend(event)) {
            event.preventDefault();
            write();
          } else if (event.key === "Escape") work.stop();
        }}
      >
        <label for="goal">What is to be reached?</label>
        <textarea
          id="goal"
          rows={2}
          value={goal}
          placeholder="handle empty lists everywhere"
          onInput={(event) => setGoal(event.currentTarget.value)}
        />
        <div class="bar">
          {work.running ? (
            <button type="button" class="main" onClick={work.stop}>Stop</button>
          ) : (
            <button type="submit" class="main" disabled={!goal.trim()}>{kept ? "Write anew" : "Write plan"}</button>
          )}
          <span class="hint keys">Ctrl Enter</span>
        </div>
      </form>
      <Trouble failure={work.failure} />
      {work.running && (
        <>
          <p class="state"><i class="pulse" aria-hidden="true" />{heard ? "Writing" : "Reading"}</p>
          {heard && <pre class="reply">{heard}</pre>}
        </>
      )}
      {kept && !work.running && (
        <>
          <ol class="steps">
            {kept.plan.steps.map((step) => (
              <li key={step.number} class={kept.plan.revised === step.number ? "fresh" : undefined}>
                <h2>{step.title}</h2>
                {step.symbol && <p class="where"><code>{step.symbol}</code></p>}
                {step.detail && <p>{step.detail}</p>}
                <div class="bar">
                  <button type="button" onClick={() => carryOut(step)}>
                    Carry out<span class="unseen"> step {step.number}</span>
                  </button>
                  <button
                    type="button"
                    class="quiet"
                    aria-expanded={revising === step.number}
                    onClick={() => setRevising(revising === step.number ? null : step.number)}
                  >
                    Revise<span class="unseen"> step {step.number}</span>
                  </button>
                </div>
                {revising === step.number && (
                  <form
                    class="ask"
                    onSubmit={(event) => {
                      event.preventDefault();
                      revise(step.number);
                    }}
                  >
                    <label for="request">How should step {step.number} be?</label>
                    <input id="request" value={request} onInput={(event) => setRequest(event.currentTarget.value)} />
                    <div class="bar"><button type="submit" class="main" disabled={!request.trim()}>Revise step</button></div>
                  </form>
                )}
              </li>
            ))}
          </ol>
          <Figures stats={kept.stats} />
        </>
      )}
    </section>
  );
}
