// A goal becomes steps; one is revised at a time, or carried out as an edit.
import { useRef, useState } from "preact/hooks";
import { call, type Stats } from "../api";
import { Composer, again } from "../composer";
import { doc } from "../document";
import { go } from "../places";
import { Figures, Trouble } from "../parts";
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

  const [asked, setAsked] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);

  /** What the field holds once it is over. */
  const make = async (path: string, asked: string, body: (asked: string) => object, end: string): Promise<string> => {
    setHeard("");
    setAsked(asked);
    setGoal("");
    say("Writing; what you type now redirects it");
    await work.run(async (line) => {
      const { result, stats } = await call<Plan>(path, { name, text, ...body(asked) }, line, ({ event, data }) => {
        if (event === "text") setHeard((now) => now + data);
        else if (event === "redirect") {
          setHeard("");
          setAsked((asked = data));
        }
      });
      plan.set({ plan: result, stats });
      setRevising(null);
      setRequest("");
      say(end);
    });
    return asked;
  };
  const write = async (goal: string) => {
    if (work.running) return;
    const asked = await make("/page/plan", goal, (goal) => ({ goal }), "The plan is written");
    setGoal((typed) => again(asked, typed));
  };
  const revise = async (number: number) => {
    if (!kept || !request.trim() || work.running) return;
    const { goal, steps } = kept.plan;
    const asked = `step ${number}: ${request}`;
    await make("/page/revise", asked, (request) => ({ goal, steps, request }), `Step ${number} is revised`);
    setGoal((typed) => again(goal, typed));
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
      <Composer
        id="goal"
        label="What is to be reached?"
        action={kept ? "Write anew" : "Write plan"}
        placeholder="handle empty lists everywhere"
        work={work}
        value={goal}
        change={setGoal}
        send={(goal) => void write(goal)}
        field={field}
      />
      <Trouble failure={work.failure} />
      {work.running && (
        <>
          <p class="asking">{asked}</p>
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
                      void revise(step.number);
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
