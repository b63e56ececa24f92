// The page: where one is, and what is there.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { enterKey, keyWanted, request } from "./api";
import { Editor } from "./editor";
import { Ask } from "./pages/ask";
import { BenchPage } from "./pages/bench";
import { Edit } from "./pages/edit";
import { LivePage } from "./pages/live";
import { PlanPage } from "./pages/plan";
import { PLACES, place, type Place } from "./places";
import { Said } from "./say";
import "./style.css";
import { show, theme, turn } from "./theme";

function Page() {
  const here = place.use();
  const look = theme.use();
  useEffect(() => {
    document.title = `${PLACES[here]} – cerium`;
  }, [here]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>
        To the content
      </a>
      <header>
        <h1><img src="/assets/icon.svg" alt="" width="26" height="26" />cerium</h1>
        <nav aria-label="Pages">
          {(Object.keys(PLACES) as Place[]).map((to) => (
            <a key={to} href={`#/${to}`} aria-current={to === here ? "page" : undefined}>{PLACES[to]}</a>
          ))}
        </nav>
        <span class="spring" />
        <ModelName />
        <button type="button" class="quiet theme" onClick={turn} aria-label={`Theme: ${look}`} title={`Theme: ${look}`}>
          <span aria-hidden="true">{{ system: "◐", light: "○", dark: "●" }[look]}</span>
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        {/* What is begun goes on while one looks at another page. */}
        <div class="two" hidden={here === "live" || here === "bench"}>
          <Editor />
          <div>
            <div hidden={here !== "edit"}><Edit /></div>
            <div hidden={here !== "ask"}><Ask /></div>
            <div hidden={here !== "plan"}><PlanPage /></div>
          </div>
        </div>
        {here === "live" && <LivePage />}
        <div hidden={here !== "bench"}><BenchPage /></div>
      </main>
      <Said />
      <KeyDialog />
    </>
  );
}

function ModelName() {
  const [name, setName] = useState("");
  useEffect(() => {
    request("/v1/models", {})
      .then((response) => response.json())
      .then((list) => setName(list.data[0].id))
      .catch(() => setName("not connected"));
  }, []);
  return <span class="model" title="The model that answers">{name}</span>;
}

function KeyDialog() {
  const wanted = keyWanted.use();
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  useEffect(() => {
    if (wanted && !dialog.current?.open) dialog.current?.showModal();
    if (!wanted) dialog.current?.close();
  }, [wanted]);
  return (
    <dialog ref={dialog} aria-labelledby="key-title">
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          enterKey(key.trim());
          setKey("");
        }}
      >
        <h2 id="key-title">This server asks for a key</h2>
        <p class="hint">
          Whoever runs it makes one with <code>cerium keys create NAME</code>. It is kept until this tab is closed.
        </p>
        {wanted?.why && <p class="trouble" role="alert">{wanted.why}</p>}
        <label for="key">Key</label>
        <input id="key" type="password" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        <div class="bar"><button type="submit" class="main" disabled={!key.trim()}>Enter</button></div>
      </form>
    </dialog>
  );
}

show();
render(<Page />, document.getElementById("app")!);
