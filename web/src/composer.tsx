// Where a person says what they want. While it is done, Enter has it done otherwise, and Esc stops it.
import type { ComponentChildren, RefObject } from "preact";
import { say } from "./say";
import type { Work } from "./work";

interface Given {
  id: string;
  label: string;
  /** What the button is called that begins the work. */
  action: string;
  placeholder: string;
  work: Work;
  /** The text, which the page keeps. */
  value: string;
  change: (value: string) => void;
  /** Begins the work. */
  send: (text: string) => void;
  field: RefObject<HTMLTextAreaElement | null>;
  /** More buttons, for when nothing is done. */
  children?: ComponentChildren;
  hint?: ComponentChildren;
}

export function Composer(props: Given) {
  const { id, label, action, placeholder, work, value, change, send, field, children, hint } = props;
  const submit = async () => {
    const text = value.trim();
    if (!text) return;
    if (!work.running) return send(text);
    // It is gone at once; what comes too late is there again.
    change("");
    if (await work.steer(text)) return say("It goes on with that in mind");
    change([text, field.current?.value].filter(Boolean).join("\n"));
  };
  return (
    <form
      class="ask"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target === field.current) {
          event.preventDefault();
          void submit();
        } else if (event.key === "Escape" && work.running) work.stop();
      }}
    >
      <label for={id}>{work.running ? "What should it do otherwise?" : label}</label>
      <textarea
        id={id}
        ref={field}
        rows={2}
        value={value}
        placeholder={work.running ? "" : placeholder}
        enterkeyhint="send"
        onInput={(event) => change(event.currentTarget.value)}
      />
      <div class="bar">
        {/* One button that changes its name, so that it keeps the focus. */}
        <button
          type={work.running ? "button" : "submit"}
          class="main"
          disabled={!work.running && !value.trim()}
          onClick={(event) => {
            if (!work.running) return;
            event.preventDefault();
            work.stop();
          }}
        >
          {work.running ? "Stop" : action}
        </button>
        {work.running ? <button type="submit" disabled={!value.trim()}>Redirect</button> : children}
        <span class="hint">
          {work.running ? <span class="keys">Enter redirects, Esc stops</span> : (hint ?? <span class="keys">Enter sends</span>)}
        </span>
      </div>
    </form>
  );
}

/** What is in the field once work has ended: what was asked for, so that it can be put better, and what was typed since. */
export function again(asked: string, typed: string): string {
  return typed.trim() ? `${asked}\n${typed}` : asked;
}
