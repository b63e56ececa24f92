// The text that everything on the page is about, with what it was before.
import { shared } from "./state";

export interface Lines {
  start: number;
  end: number;
}

export interface Document {
  name: string;
  text: string;
  /** Versions before this one, oldest first, and those that were undone, latest first. */
  past: string[];
  future: string[];
  /** Lines that are selected, if there are several. */
  selected: Lines | null;
}

const SAMPLE = `"""Figures of a list of numbers."""


def mean(values):
    return sum(values) / len(values)


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return mean(ordered[middle - 1 : middle + 1])


def spread(values):
    centre = mean(values)
    return mean([(value - centre) ** 2 for value in values]) ** 0.5
`;

const VERSIONS_MAX = 100;

export const doc = shared<Document>({
  name: "figures.py",
  text: SAMPLE,
  past: [],
  future: [],
  selected: null,
});

/** Another text, to which no undo goes back. */
export function open(name: string, text: string): void {
  doc.set({ name, text, past: [], future: [], selected: null });
}

/** The person types; their browser undoes that. */
export function type(text: string): void {
  doc.set((now) => ({ ...now, text, future: [] }));
}

/** An edit was accepted. */
export function replace(text: string): void {
  doc.set((now) => ({
    ...now,
    text,
    past: [...now.past, now.text].slice(-VERSIONS_MAX),
    future: [],
    selected: null,
  }));
}

export function undo(): void {
  doc.set((now) => {
    const text = now.past.at(-1);
    if (text === undefined) return now;
    const past = now.past.slice(0, -1);
    return { ...now, text, past, future: [now.text, ...now.future], selected: null };
  });
}

export function redo(): void {
  doc.set((now) => {
    const [text, ...future] = now.future;
    if (text === undefined) return now;
    return { ...now, text, past: [...now.past, now.text], future, selected: null };
  });
}
