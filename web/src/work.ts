// One call at a time: how it stands, and how it is stopped.
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, told } from "./api";
import { watch } from "./live";

export interface Work {
  running: boolean;
  failure: Failure | null;
  run(work: (signal: AbortSignal) => Promise<void>): Promise<void>;
  stop(): void;
}

export function useWork(): Work {
  const [running, setRunning] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const current = useRef<AbortController | null>(null);
  useEffect(() => () => current.current?.abort(), []);
  return {
    running,
    failure,
    async run(work) {
      current.current?.abort();
      const controller = new AbortController();
      current.current = controller;
      setRunning(true);
      setFailure(null);
      let failed: Failure | null = null;
      const unwatch = await watch();
      try {
        await work(controller.signal);
      } catch (error) {
        failed = told(error);
      }
      unwatch();
      if (current.current === controller) {
        current.current = null;
        setRunning(false);
        setFailure(failed);
      }
    },
    stop: () => current.current?.abort(),
  };
}
