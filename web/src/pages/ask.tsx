// A question about the text, and its answer with the lines that bear it out.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { call, type Stats } from "../api";
import { doc } from "../document";
import { showLines } from "../editor";
import { Figures, Trouble, isSend } from "../parts";
import { say } from "../say";
import { useWork } from "../work";

interface Citation {
  start_line: number;
  end_line: number;
  quote: string;
}

interface Answered {
  text: string;
  citations: Citation[];
}

export function Ask() {
  const { name, text } = doc.use();
  const work = useWork();
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const [done, setDone] = useState<{ result: Answered; stats: Stats } | null>(null);
  const run = () => {
    if (!question.trim() || work.running) return;
    setAnswer("");
    setDone(null);
    void work.run(async (signal) => {
      const done = await call<Answered>("/page/ask", { name, text, question }, signal, ({ event, data }) => {
        if (event === "text") setAnswer((now) => now + data);
      });
      setDone(done);
      say("The answer is complete");
    });
  };
  return (
    <section class="card" aria-label="Question">
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          run();
        }}
        onKeyDown={(event) => {
          if (isSend(event)) {
            event.preventDefault();
            run();
          } else if (event.key === "Escape") work.stop();
        }}
      >
        <label for="question">What do you want to know?</label>
        <textarea
          id="question"
          rows={2}
          value={question}
          placeholder="what does median do with an even number of values?"
          onInput={(event) => setQuestion(event.currentTarget.value)}
        />
        <div class="bar">
          {work.running ? (
            <button type="button" class="main" onClick={work.stop}>Stop</button>
          ) : (
            <button type="submit" class="main" disabled={!question.trim()}>Ask</button>
          )}
          <span class="hint keys">Ctrl Enter</span>
        </div>
      </form>
      <Trouble failure={work.failure} />
      {work.running && !answer && <p class="state"><i class="pulse" aria-hidden="true" />Reading</p>}
      {answer && <div class="prose" aria-busy={work.running}>{prose(done?.result.text ?? answer)}</div>}
      {done && (
        <>
          {done.result.citations.length > 0 && (
            <>
              <h2 class="small">Lines that bear it out</h2>
              <ul class="cites">
                {done.result.citations.map((cite) => (
                  <li key={`${cite.start_line}-${cite.end_line}`}>
                    <button type="button" onClick={() => showLines({ start: cite.start_line, end: cite.end_line })}>
                      <span class="where">{span(cite)}</span> <code>{cite.quote.trim()}</code>
                    </button>
                  </li>
                ))}
              </ul>
            </>
          )}
          <Figures stats={done.stats} />
        </>
      )}
    </section>
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
