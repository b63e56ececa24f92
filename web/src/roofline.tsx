// The plot of a roofline: how fast passes over the weights are, beside how fast they could be.

export interface Figure {
  kind: "prefill" | "decode" | "copy";
  tokens: number;
  tokens_per_s: number;
  limit: number;
}

export interface Report {
  model: string;
  path: string;
  threads: number;
  limits: { read_bytes_per_s: number; int8_macs_per_s: number };
  costs: { layer_macs: number; head_macs: number; bytes: number };
  figures: Figure[];
  rounds: number;
}

const [W, H] = [560, 330];
const [LEFT, RIGHT, TOP, BOTTOM] = [54, 14, 14, 48];

export function Roofline({ report }: { report: Report }) {
  const { costs, limits, figures } = report;
  const n_max = 1024;
  const limit = (n: number) => {
    const read = costs.bytes / limits.read_bytes_per_s;
    const products = (n * costs.layer_macs + costs.head_macs) / limits.int8_macs_per_s;
    return n / Math.max(read, products);
  };
  const values = [...figures.flatMap((f) => [f.tokens_per_s, f.limit]), limit(1), limit(n_max)];
  const low = 10 ** Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(...values) * 1.6;
  const x = (n: number) => LEFT + (Math.log2(n) / Math.log2(n_max)) * (W - LEFT - RIGHT);
  const y = (rate: number) => H - BOTTOM - (Math.log(rate / low) / Math.log(high / low)) * (H - TOP - BOTTOM);
  const steps = Array.from({ length: 81 }, (_, i) => n_max ** (i / 80));
  const roof = steps.map((n, i) => `${i ? "L" : "M"}${x(n).toFixed(1)} ${y(limit(n)).toFixed(1)}`).join("");
  const decades = [1, 10, 100, 1000, 10_000, 100_000].filter((rate) => rate >= low && rate <= high);
  const prefill = figures.filter((f) => f.kind === "prefill");
  const line = prefill.map((f, i) => `${i ? "L" : "M"}${x(f.tokens).toFixed(1)} ${y(f.tokens_per_s).toFixed(1)}`).join("");
  const told = figures.map((f) => `${f.kind} at ${f.tokens.toFixed(0)} tokens: ${f.tokens_per_s.toFixed(0)} of ${f.limit.toFixed(0)} tokens a second`);
  return (
    <figure>
      <svg class="plot roofline" viewBox={`0 0 ${W} ${H}`} role="img" aria-label={`Roofline. ${told.join("; ")}`}>
        {decades.map((rate) => (
          <g key={rate}>
            <line class="axis" x1={LEFT} x2={W - RIGHT} y1={y(rate)} y2={y(rate)} />
            <text x={LEFT - 8} y={y(rate) + 4} text-anchor="end">{rate.toLocaleString("en")}</text>
          </g>
        ))}
        {[1, 4, 16, 64, 256, 1024].map((n) => (
          <text key={n} x={x(n)} y={H - BOTTOM + 17} text-anchor="middle">{n}</text>
        ))}
        <text x={(LEFT + W - RIGHT) / 2} y={H - 6} text-anchor="middle">tokens of a pass</text>
        <path class="area" d={`${roof}L${W - RIGHT} ${H - BOTTOM}L${LEFT} ${H - BOTTOM}Z`} />
        <path class="roof" d={roof} />
        <path class="line prefill" d={line} />
        {figures.map((f) => (
          <g key={`${f.kind}${f.tokens}`}>
            <line class="gap" x1={x(f.tokens)} x2={x(f.tokens)} y1={y(f.tokens_per_s)} y2={y(f.limit)} />
            <circle class={f.kind} cx={x(f.tokens)} cy={y(f.tokens_per_s)} r="5" />
          </g>
        ))}
      </svg>
      <figcaption>
        <ul class="legend">
          <li><i class="swatch roof" aria-hidden="true" />limit of memory and cores</li>
          <li><i class="swatch prefill" aria-hidden="true" />reading a prompt</li>
          <li><i class="swatch decode" aria-hidden="true" />writing</li>
          <li><i class="swatch copy" aria-hidden="true" />writing from a draft</li>
        </ul>
      </figcaption>
    </figure>
  );
}
