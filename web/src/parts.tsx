// Small parts that several pages use.
import type { ComponentChildren } from "preact";
import type { Failure, Stats } from "./api";

export function Trouble({ failure }: { failure: Failure | null }) {
  return (
    <div role="alert">
      {failure && (
        <div class="trouble">
          <p>
            <strong>{capital(failure.message)}.</strong> {failure.hint && `${capital(failure.hint)}.`}
          </p>
          {failure.reply && (
            <details>
              <summary>What the model wrote</summary>
              <pre class="reply" tabIndex={0}>{failure.reply}</pre>
            </details>
          )}
        </div>
      )}
    </div>
  );
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1).replace(/[.\s]+$/, "");
}

export function rate(stats: Stats): number {
  return Math.max(stats.output_tokens - 1, 0) / Math.max(stats.decode_ms, 1) * 1000;
}

export function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

export function Figures({ stats }: { stats: Stats }) {
  if (!stats.model) {
    return <p class="figures-note">Carried out by code, without the model.</p>;
  }
  const drafted = stats.accepted_tokens;
  return (
    <dl class="figures" aria-label="What it took">
      <Figure name="First token" value={seconds(stats.ttft_ms)} />
      <Figure name="Speed" value={`${rate(stats).toFixed(0)} tok/s`} />
      <Figure name="Written" value={`${stats.output_tokens} tok`} />
      <Figure name="From drafts" value={`${drafted} of ${stats.drafted_tokens}`} />
      <Figure name="Prompt known" value={`${stats.cached_tokens} of ${stats.prompt_tokens}`} />
      <Figure name="In all" value={seconds(stats.total_ms)} />
    </dl>
  );
}

export function Figure({ name, value }: { name: string; value: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
