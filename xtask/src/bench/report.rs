//! From rounds to figures: tokens a second, fractions of the machine's limits, times as fast.

use super::limits::Limits;
use crate::table::{Table, median};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// All engines on one model, cerium first.
#[derive(Serialize)]
pub(super) struct Compared {
    pub(super) model: String,
    pub(super) sha256: String,
    pub(super) file_bytes: u64,
    pub(super) n_prompt: u32,
    /// Tokens after the first.
    pub(super) n_decode: u32,
    pub(super) costs: Costs,
    /// By round.
    pub(super) limits: Vec<Limits>,
    pub(super) engines: Vec<Measured>,
}

/// What a token costs: the matrices only, as the file holds them.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Costs {
    layer_macs: f64,
    head_macs: f64,
    layer_bytes: f64,
    head_bytes: f64,
}

/// One engine.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) engine: String,
    pub(super) cpu: String,
    pub(super) peak_mib: Option<f64>,
    /// The first ones, if it was too slow for all.
    pub(super) rounds: Vec<Round>,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Round {
    pub(super) prefill_ms: f64,
    pub(super) ttft_ms: f64,
    pub(super) decode_ms: f64,
    /// Leading tokens that are the same as cerium's.
    pub(super) n_same: usize,
}

impl Measured {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>())
    }

    /// How much of a limit was used; of the same round, that is.
    fn share(
        &self,
        limits: &[Limits],
        used_per_s: impl Fn(&Round) -> f64,
        limit: impl Fn(&Limits) -> f64,
    ) -> String {
        let both = self.rounds.iter().zip(limits);
        let shares: Vec<f64> = both.map(|(round, all)| used_per_s(round) / limit(all)).collect();
        let share = median(&shares);
        // The scalar path has no limit.
        if share.is_finite() { format!("{:.1}%", share * 100.0) } else { String::new() }
    }
}

impl Compared {
    /// Tokens per second.
    fn prefill(&self, round: &Round) -> f64 {
        f64::from(self.n_prompt) / round.prefill_ms * 1e3
    }

    /// Tokens per second.
    fn decode(&self, round: &Round) -> f64 {
        f64::from(self.n_decode) / round.decode_ms * 1e3
    }

    /// Multiply-accumulates of a prompt's token; the last alone needs the head.
    fn prefill_macs(&self) -> f64 {
        self.costs.layer_macs + self.costs.head_macs / f64::from(self.n_prompt)
    }

    fn decode_bytes(&self) -> f64 {
        self.costs.layer_bytes + self.costs.head_bytes
    }

    fn n_rounds(&self) -> usize {
        self.limits.len()
    }

    fn limit(&self, of: impl Fn(&Limits) -> f64) -> f64 {
        median(&self.limits.iter().map(of).collect::<Vec<_>>())
    }

    /// Of the paths whose limits are known.
    fn paths(&self) -> Vec<&str> {
        let first = self.limits.first();
        first.map_or_else(Vec::new, |all| all.int8.iter().map(|peak| &*peak.path).collect())
    }

    fn head(&self) -> String {
        let peak = |(i, path): (usize, &str)| {
            let macs = self.limit(|all| all.int8[i].macs_per_s);
            format!("{:.0} ({path})", macs / 1e9)
        };
        let peaks: Vec<String> = self.paths().into_iter().enumerate().map(peak).collect();
        format!(
            "{}: {:.0} MiB; {} tokens of prompt, {} after the first; medians of {} rounds\n\
             limits: int8 {} GMAC/s, reads {:.1} GB/s\n",
            self.model,
            mib(self.file_bytes),
            self.n_prompt,
            self.n_decode,
            self.n_rounds(),
            peaks.join(", "),
            self.limit(|all| all.read_bytes_per_s) / 1e9,
        )
    }

    fn table(&self) -> Table {
        let names = ["engine", "prefill tok/s", "decode tok/s", "first token ms"];
        let mut head = names.map(str::to_owned).to_vec();
        head.extend(["cerium prefill", "cerium decode"].map(str::to_owned));
        head.extend(self.paths().into_iter().map(|path| format!("of {path}")));
        head.extend(["of reads", "peak MiB", "of file"].map(str::to_owned));
        let mut table = Table::new(head);
        for engine in &self.engines {
            table.row(self.row(engine));
        }
        table
    }

    fn row(&self, engine: &Measured) -> Vec<String> {
        let ours = &self.engines[0];
        let [prefill, decode] = [Self::prefill, Self::decode]
            .map(|rate| [ours, engine].map(|engine| engine.median(|round| rate(self, round))));
        let times = |[ours, theirs]: [f64; 2]| format!("{:.2}x", ours / theirs);
        let mut row = vec![
            engine.engine.clone(),
            format!("{:.1}", prefill[1]),
            format!("{:.1}", decode[1]),
            format!("{:.0}", engine.median(|round| round.ttft_ms)),
            times(prefill),
            times(decode),
        ];
        let macs = |round: &Round| self.prefill(round) * self.prefill_macs();
        let of_peak = |i: usize| engine.share(&self.limits, macs, |all| all.int8[i].macs_per_s);
        row.extend((0..self.paths().len()).map(of_peak));
        let bytes = |round: &Round| self.decode(round) * self.decode_bytes();
        row.push(engine.share(&self.limits, bytes, |all| all.read_bytes_per_s));
        let peak = |cell: &dyn Fn(f64) -> String| engine.peak_mib.map_or_else(String::new, cell);
        row.push(peak(&|peak| format!("{peak:.0}")));
        row.push(peak(&|peak| format!("{:.2}x", peak / mib(self.file_bytes))));
        row
    }

    /// Engines whose figures are no medians of all rounds.
    fn exceptions(&self) -> String {
        let mut text = String::new();
        for Measured { engine, rounds, .. } in &self.engines {
            if rounds.len() < self.n_rounds() {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{engine}: {} of {} rounds, for it is slow",
                    rounds.len(),
                    self.n_rounds()
                );
            }
        }
        text
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What people read.
pub(super) fn text(results: &[Compared]) -> String {
    let sections = results.iter().map(|compared| {
        format!("{}\n{}{}\n", compared.head(), compared.table(), compared.exceptions())
    });
    sections.collect::<String>()
        + "cerium prefill, cerium decode: times as fast as that engine. of a path: multiply-accumulates of the\n\
           matrices in prefill, over the int8 peak of that path. of reads: bytes that the file has of the\n\
           matrices in decode, over the memory's. Limits are those of the same round. of file: peak memory\n\
           over the file's size.\n"
}

/// A line per round.
pub(super) fn csv(results: &[Compared]) -> String {
    let mut csv =
        "model,sha256,engine,round,n_prompt,prefill_ms,ttft_ms,n_decode,decode_ms\n".to_owned();
    for Compared { model, sha256, n_prompt, n_decode, engines, .. } in results {
        for Measured { engine, rounds, .. } in engines {
            for (i, Round { prefill_ms, ttft_ms, decode_ms, .. }) in rounds.iter().enumerate() {
                // Writing to a string cannot fail.
                let _ = writeln!(
                    csv,
                    "{model},{sha256},{engine},{i},{n_prompt},{prefill_ms:.3},{ttft_ms:.3},{n_decode},{decode_ms:.3}"
                );
            }
        }
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::super::limits::Peak;
    use super::*;

    fn engine(name: &str, peak_mib: f64, ms: &[(f64, f64)]) -> Measured {
        let round = |&(prefill_ms, decode_ms): &(f64, f64)| Round {
            prefill_ms,
            ttft_ms: prefill_ms,
            decode_ms,
            n_same: 51,
        };
        Measured {
            engine: name.to_owned(),
            cpu: String::new(),
            peak_mib: Some(peak_mib),
            rounds: ms.iter().map(round).collect(),
        }
    }

    /// After the first round the machine is half as fast: who was asked in that one only had its
    /// limits, not the medians.
    #[test]
    fn fractions_are_of_the_same_round() {
        let limits = |speed: f64| Limits {
            read_bytes_per_s: speed * 20e9,
            int8: vec![
                Peak { path: "avx512-vnni".into(), macs_per_s: speed * 800e9 },
                Peak { path: "amx-int8".into(), macs_per_s: speed * 8e12 },
            ],
        };
        let compared = Compared {
            model: "small".into(),
            sha256: String::new(),
            file_bytes: 400 << 20,
            n_prompt: 500,
            n_decode: 50,
            costs: Costs {
                layer_macs: 0.3e9,
                head_macs: 50e9,
                layer_bytes: 0.3e9,
                head_bytes: 0.1e9,
            },
            limits: vec![limits(1.0), limits(0.5), limits(0.5)],
            engines: vec![
                engine("cerium", 500.0, &[(500.0, 1250.0), (1000.0, 2500.0), (1000.0, 2500.0)]),
                engine("slow", 800.0, &[(50_000.0, 5000.0)]),
            ],
        };
        let text = text(&[compared]);
        let rows = "\
small: 400 MiB; 500 tokens of prompt, 50 after the first; medians of 3 rounds
limits: int8 400 (avx512-vnni), 4000 (amx-int8) GMAC/s, reads 10.0 GB/s

| engine | prefill tok/s | decode tok/s | first token ms | cerium prefill | cerium decode | of avx512-vnni | of amx-int8 | of reads | peak MiB | of file |
|--------|--------------:|-------------:|---------------:|---------------:|--------------:|---------------:|------------:|---------:|---------:|--------:|
| cerium |         500.0 |         20.0 |           1000 |          1.00x |         1.00x |          50.0% |        5.0% |    80.0% |      500 |   1.25x |
| slow   |          10.0 |         10.0 |          50000 |         50.00x |         2.00x |           0.5% |        0.1% |    20.0% |      800 |   2.00x |
slow: 1 of 3 rounds, for it is slow
";
        assert!(text.starts_with(rows), "{text}");
    }
}
