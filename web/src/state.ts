// Values that several parts of the page share.
import { useEffect, useState } from "preact/hooks";

export interface Shared<T> {
  get(): T;
  set(next: T | ((now: T) => T)): void;
  use(): T;
}

export function shared<T>(initial: T): Shared<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      value = typeof next === "function" ? (next as (now: T) => T)(value) : next;
      for (const tell of listeners) tell();
    },
    use() {
      const [, redraw] = useState({});
      useEffect(() => {
        const tell = () => redraw({});
        listeners.add(tell);
        return () => void listeners.delete(tell);
      }, []);
      return value;
    },
  };
}
