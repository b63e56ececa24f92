// What the page says to everybody, once: read aloud by screen readers and shown for a moment.
import { useEffect } from "preact/hooks";
import { shared } from "./state";

const said = shared<{ text: string }>({ text: "" });

export function say(text: string): void {
  said.set({ text });
}

export function Said() {
  const now = said.use();
  useEffect(() => {
    const timer = setTimeout(() => now.text && said.set({ text: "" }), 6000);
    return () => clearTimeout(timer);
  }, [now]);
  return (
    <p class={now.text ? "said" : "said none"} role="status">
      {now.text}
    </p>
  );
}
