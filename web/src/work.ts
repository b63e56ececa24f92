// One call at a time: how it stands, how it is redirected, and how it is stopped.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, Line, told } from "./api";
import { watch } from "./live";

export interface Work {
  running: boolean;
  failure: Failure | null;
  run(work: (line: Line) => Promise<void>): Promise<void>;
  /** Says what it should do otherwise; whether it was not too late. */
  steer(text: string): Promise<boolean>;
  stop(): void;
}

export function useWork(): Work {
  const [running, setRunning] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const current = useRef<Line | null>(null);
  useEffect(() => () => current.current?.leave(), []);
  return {
    running,
    failure,
    async run(work) {
      current.current?.leave();
      const line = new Line();
      current.current = line;
      setRunning(true);
      setFailure(null);
      let failed: Failure | null = null;
      const unwatch = await watch();
      try {
        await work(line);
      } catch (error) {
        failed = line.stopped ? null : told(error);
      }
      line.end();
      unwatch();
      if (current.current === line) {
        current.current = null;
        setRunning(false);
        setFailure(failed);
      }
    },
    steer: async (text) => (await current.current?.steer(text)) ?? false,
    stop: () => current.current?.stop(),
  };
}
