// A conversation about the text: questions, and their answers with the lines that bear them out.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { call, type Stats } from "../api";
import { Composer } from "../composer";
import { doc } from "../document";
import { showLines } from "../editor";
import { Figures, Trouble } from "../parts";
import { say } from "../say";
import { useWork } from "../work";

interface Citation {
  start_line: number;
  end_line: number;
  quote: string;
}

interface Answered {
  citations: Citation[];
  cut: keyof typeof CUT | null;
  /** What the server wants to have back with the next question. */
  talk: object;
}

interface Turn {
  question: string;
  text: string;
  citations: Citation[];
  cut: Answered["cut"];
}

const CUT = {
  stopped: "Stopped here.",
  too_long: "Cut here: it reached the limit of its length.",
  looped: "Ended here: the model began to repeat itself.",
};

export function Ask() {
  const { name, text } = doc.use();
  const work = useWork();
  const [question, setQuestion] = useState("");
  const [turns, setTurns] = useState<Turn[]>([]);
  const [talk, setTalk] = useState<object | null>(null);
  const [stats, setStats] = useState<Stats | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const run = async (question: string) => {
    let now = [...turns, fresh(question)];
    const show = (next: Turn[]) => setTurns((now = next));
    const change = (part: Partial<Turn>) => show([...now.slice(0, -1), { ...now.at(-1)!, ...part }]);
    show(now);
    setQuestion("");
    setStats(null);
    say("Answering; what you type now redirects it");
    await work.run(async (line) => {
      const { result, stats } = await call<Answered>("/page/ask", { name, text, question, talk }, line, ({ event, data }) => {
        if (event === "text") change({ text: now.at(-1)!.text + data });
        else if (event === "redirect") {
          // What was said stays said.
          if (now.at(-1)!.text.trim()) show([...now, fresh(data)]);
          else change({ question: data });
        }
      });
      change({ citations: result.citations, cut: result.cut });
      setTalk(result.talk);
      setStats(stats);
      say(result.cut === "stopped" ? "Stopped" : "The answer is complete");
    });
    const last = now.at(-1)!;
    if (last.text.trim()) return;
    show(now.slice(0, -1));
    setQuestion((typed) => typed || last.question);
  };
  const forget = () => {
    setTurns([]);
    setTalk(null);
    setStats(null);
    say("The conversation begins anew");
    field.current?.focus();
  };
  return (
    <section class="card" aria-label="Questions">
      {turns.length > 0 && <Talk turns={turns} running={work.running} />}
      {stats && <Figures stats={stats} />}
      <Composer
        id="question"
        label={turns.length > 0 ? "What else do you want to know?" : "What do you want to know?"}
        action="Ask"
        placeholder={turns.length > 0 ? "" : "what does median do with an even number of values?"}
        work={work}
        value={question}
        change={setQuestion}
        send={(question) => void run(question)}
        field={field}
      >
        {turns.length > 0 && <button type="button" class="quiet" onClick={forget}>Start over</button>}
      </Composer>
      <Trouble failure={work.failure} />
    </section>
  );
}

function fresh(question: string): Turn {
  return { question, text: "", citations: [], cut: null };
}

function Talk({ turns, running }: { turns: Turn[]; running: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  // Who has scrolled up to read is left there; a new question is always seen.
  useLayoutEffect(() => {
    if (follows.current) box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [turns]);
  useLayoutEffect(() => {
    follows.current = true;
    box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [turns.length]);
  return (
    <div
      class="talk"
      ref={box}
      role="group"
      aria-label="Conversation"
      tabIndex={0}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
        follows.current = scrollHeight - scrollTop - clientHeight < 40;
      }}
    >
      {turns.map((turn, i) => {
        const coming = running && i === turns.length - 1;
        return (
          <div key={i} class="turn">
            <h2 class="asking">{turn.question}</h2>
            {coming && !turn.text && <p class="state"><i class="pulse" aria-hidden="true" />Reading</p>}
            {turn.text && <div class="prose" aria-busy={coming}>{prose(turn.text)}</div>}
            {turn.cut && <p class="hint">{CUT[turn.cut]}</p>}
            {turn.citations.length > 0 && <Cites citations={turn.citations} />}
          </div>
        );
      })}
    </div>
  );
}

function Cites({ citations }: { citations: Citation[] }) {
  return (
    <>
      <h3 class="small">Lines that bear it out</h3>
      <ul class="cites">
        {citations.map((cite) => (
          <li key={`${cite.start_line}-${cite.end_line}`}>
            <button type="button" onClick={() => showLines({ start: cite.start_line, end: cite.end_line })}>
              <span class="where">{span(cite)}</span> <code>{cite.quote.trim()}</code>
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

function span({ start_line: a, end_line: b }: Citation): string {
  return a === b ? `line ${a}` : `lines ${a}–${b}`;
}

/** Paragraphs, fenced code and code in backticks; all else of Markdown reads well as it is. */
function prose(text: string): ComponentChildren {
  return text.split(/^```.*$/m).map((part, i) =>
    i % 2 ? (
      <pre key={i} tabIndex={0}>{part.replace(/^\n|\n$/g, "")}</pre>
    ) : (
      part.split(/\n{2,}/).filter((par) => par.trim()).map((par, k) => <p key={`${i}.${k}`}>{inline(par.trim())}</p>)
    ),
  );
}

function inline(text: string): ComponentChildren {
  return text.split(/`([^`\n]+)`/).map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part));
}
