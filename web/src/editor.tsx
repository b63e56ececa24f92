// The text: pasted, opened or typed, with line numbers, and what was done to it.
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { doc, open, redo, type, undo, type Lines } from "./document";
import { say } from "./say";

/** Larger files are refused by the server, too. */
const BYTES_MAX = 8 << 20;

export function Editor() {
  const { name, text, past, future, selected } = doc.use();
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const n_lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
  const scroll = () => {
    if (area.current && gutter.current) gutter.current.scrollTop = area.current.scrollTop;
  };
  useLayoutEffect(scroll, [text]);
  useEffect(() => {
    const jump = (event: Event) => show(area.current, (event as CustomEvent<Lines>).detail);
    addEventListener("show-lines", jump);
    return () => removeEventListener("show-lines", jump);
  }, []);
  const select = () => {
    const lines = area.current && selection(area.current);
    const before = doc.get().selected;
    if (lines?.start !== before?.start || lines?.end !== before?.end) {
      doc.set((now) => ({ ...now, selected: lines }));
    }
  };
  const read = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > BYTES_MAX) return say(`${file.name} is larger than 8 MiB and stays closed`);
    const content = await file.text();
    if (content.includes("\0")) return say(`${file.name} is no text and stays closed`);
    open(file.name, content);
    say(`Opened ${file.name}`);
  };
  return (
    <section
      class="card editor"
      aria-label="Text"
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        void read(event.dataTransfer?.files[0]);
      }}
    >
      <div class="bar">
        <input
          class="name"
          aria-label="File name, which tells the language"
          value={name}
          spellcheck={false}
          onInput={(event) => doc.set((now) => ({ ...now, name: event.currentTarget.value }))}
        />
        <span class="spring" />
        <button type="button" class="quiet" disabled={past.length === 0} onClick={() => { undo(); say("Undone"); }}>
          Undo
        </button>
        <button type="button" class="quiet" disabled={future.length === 0} onClick={() => { redo(); say("Done again"); }}>
          Redo
        </button>
        <button type="button" class="quiet" onClick={() => input.current?.click()}>Open…</button>
        <button type="button" class="quiet" onClick={() => copy(text)}>Copy</button>
        <input
          ref={input}
          type="file"
          hidden
          onChange={(event) => {
            void read(event.currentTarget.files?.[0]);
            event.currentTarget.value = "";
          }}
        />
      </div>
      <div class="code">
        <div class="gutter" ref={gutter} aria-hidden="true">
          {Array.from({ length: Math.max(n_lines, 1) }, (_, i) => (
            <span key={i} class={selected && i + 1 >= selected.start && i + 1 <= selected.end ? "on" : undefined}>
              {i + 1}
            </span>
          ))}
        </div>
        <textarea
          ref={area}
          aria-label="The text to work on"
          value={text}
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
          wrap="off"
          onInput={(event) => type(event.currentTarget.value)}
          onScroll={scroll}
          onSelect={select}
        />
      </div>
      <p class="hint">
        Paste, type, drop or open a file. It stays on this machine; the page changes no file of yours.
      </p>
    </section>
  );
}

/** Whole lines of a selection that spans several. */
function selection(area: HTMLTextAreaElement): Lines | null {
  const { value, selectionStart: from, selectionEnd: to } = area;
  const start = value.slice(0, from).split("\n").length;
  const inside = value.slice(from, to).replace(/\n$/, "");
  const end = start + inside.split("\n").length - 1;
  return end > start ? { start, end } : null;
}

/** Selects lines and scrolls to them. */
function show(area: HTMLTextAreaElement | null, { start, end }: Lines): void {
  if (!area) return;
  const lines = area.value.split("\n");
  const at = (line: number) => lines.slice(0, line).join("\n").length + (line > 0 ? 1 : 0);
  area.focus();
  area.setSelectionRange(at(start - 1), Math.max(at(end) - 1, 0));
  const height = area.scrollHeight / Math.max(lines.length, 1);
  area.scrollTop = Math.max((start - 4) * height, 0);
}

export function showLines(lines: Lines): void {
  dispatchEvent(new CustomEvent("show-lines", { detail: lines }));
}

async function copy(text: string): Promise<void> {
  // Only pages of this machine, or with TLS, have a clipboard.
  const copied = navigator.clipboard?.writeText(text) ?? Promise.reject();
  await copied.then(
    () => say("Copied"),
    () => say("The browser does not let the page copy"),
  );
}
