//! `cerium bench serve`: what the server itself takes of a turn, over HTTP with the whole history and over a
//! WebSocket with what is new.
//!
//! A script stands in for the model ([`scripted`]): it takes every prompt, notes when it came, and writes tokens at a
//! steady pace, noting when each leaves. Everything else is what `cerium serve` runs: the model's own template and
//! tokenizer, the session, the server on a port of its own. A client in the same process notes when it sends and
//! when it receives, by the same clock. What is between the notes of the one and of the other is the server's.
//!
//! Two clients have the same conversation, turn by turn in turns: one sends all of it each time, on one
//! connection that it keeps, the other what is new.

mod bare;
mod client;
mod scripted;

use super::quantile;
use crate::cli::BenchServe;
use crate::commands::Exit;
use crate::config::Settings;
use crate::model;
use crate::output::progress::Spinner;
use crate::output::{self, Output};
use anyhow::{Context as _, Result};
use cerium_model::file::ModelFile;
use cerium_model::template::ChatTemplate;
use cerium_model::tokenizer::Tokenizer;
use cerium_server::{Doors, ServerOptions};
use cerium_session::Service;
use client::{Client, Http, Socket, Turn};
use scripted::Scripted;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest conversation, so that none of those that are asked for is refused.
const N_CONTEXT: usize = 1 << 20;

/// What each side of one transport saw, at one length of the history.
#[derive(Debug, Serialize)]
struct Row {
    history_tokens: usize,
    transport: &'static str,
    turns: usize,
    /// Time outside the engine of a whole turn, in microseconds, at the median and for nineteen in twenty.
    turn_us: [f64; 2],
    /// The same until the first token is there.
    first_token_us: [f64; 2],
    /// From where the engine hands a token out to where the client has it.
    token_us: [f64; 2],
    /// What the client sent per turn.
    sent_bytes: usize,
}

pub(crate) fn run(output: Output, settings: &Settings, args: &BenchServe) -> Result<Exit> {
    let found = model::find(output, settings)?;
    let file = ModelFile::open(&found.path)?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(&file.gguf)?);
    let template = Arc::new(ChatTemplate::from_gguf(&file.gguf, &tokenizer)?);
    let generator = Scripted::new(&tokenizer, args.tokens, Duration::from_micros(args.pace));
    let notes = generator.notes();
    let service = Service::new(found.name.clone(), tokenizer, template, N_CONTEXT, generator);
    let server = Server::start(service)?;
    let pace = Duration::from_micros(args.pace);
    let bare = bare::pass(args.turns * args.tokens, pace)?;
    let bare_us = quantiles(bare.into_iter().map(micros).collect());
    let mut rows = Vec::new();
    for &history in &args.history {
        let _spinner = Spinner::start(output, format!("{history} tokens of history"));
        let mut clients: [Box<dyn Client>; 2] = [
            Box::new(Http::open(server.address, &found.name, history)?),
            Box::new(Socket::open(server.address, &found.name, history)?),
        ];
        let mut seen: [Vec<Turn>; 2] = [Vec::new(), Vec::new()];
        // The first turn brings the history; nobody knows it yet.
        for n in 0..=args.turns {
            for (client, seen) in clients.iter_mut().zip(&mut seen) {
                let turn = client.turn(n, &notes)?;
                if n > 0 {
                    seen.push(turn);
                }
            }
        }
        let names = ["HTTP", "WebSocket"];
        rows.extend(names.into_iter().zip(&seen).map(|(name, seen)| row(name, seen)));
    }
    if output.json {
        output::object(&json!({ "bare_token_us": bare_us, "rows": rows }))?;
    } else {
        output::data(&text(&found.name, args, bare_us, &rows))?;
    }
    Ok(Exit::Done)
}

/// At the median, and for nineteen in twenty.
fn quantiles(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    [quantile(&values, 0.5), quantile(&values, 0.95)]
}

fn row(transport: &'static str, turns: &[Turn]) -> Row {
    let each = |value: fn(&Turn) -> Duration| {
        quantiles(turns.iter().map(|turn| micros(value(turn))).collect())
    };
    Row {
        history_tokens: turns.first().map_or(0, |turn| turn.n_prompt),
        transport,
        turns: turns.len(),
        turn_us: each(|turn| turn.before + turn.after),
        first_token_us: each(|turn| turn.before + turn.first),
        token_us: quantiles(
            turns.iter().flat_map(|t| t.tokens.iter().copied().map(micros)).collect(),
        ),
        sent_bytes: turns.iter().map(|turn| turn.sent_bytes).sum::<usize>() / turns.len().max(1),
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn text(model: &str, args: &BenchServe, bare_us: [f64; 2], rows: &[Row]) -> String {
    let mut text = format!(
        "{model}'s template and tokens; a script writes {} tokens a turn, one every {} us\n\
         outside of it, in us at the median (and for 19 of 20):\n\n\
         {:>9} {:>10} {:>10} {:>20} {:>20} {:>20}\n",
        args.tokens, args.pace, "history", "transport", "sent", "turn", "first token", "token",
    );
    let pair = |[median, most]: [f64; 2]| format!("{median:.0} ({most:.0})");
    for row in rows {
        let _ = writeln!(
            text,
            "{:>9} {:>10} {:>10} {:>20} {:>20} {:>20}",
            row.history_tokens,
            row.transport,
            row.sent_bytes,
            pair(row.turn_us),
            pair(row.first_token_us),
            pair(row.token_us),
        );
    }
    let _ = writeln!(
        text,
        "\na token that one bare thread passes on to a socket takes {} us here",
        pair(bare_us)
    );
    text
}

/// The server on a port of its own, until dropped.
struct Server {
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

impl Server {
    fn start(service: Service) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("finding a port")?;
        let address = listener.local_addr().context("finding the port")?;
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = cerium_server::runtime().context("starting the server")?;
        thread::spawn(move || {
            runtime.block_on(async {
                let doors = Doors { public: Some(listener.into()), private: None };
                let stopped = async { drop(stopped.await) };
                // Whatever goes wrong shows at the client.
                let _ =
                    cerium_server::serve(doors, service, ServerOptions::default(), stopped).await;
            });
        });
        Ok(Self { address, _stop: stop })
    }
}
