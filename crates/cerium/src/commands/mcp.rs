//! `cerium mcp`: the harness as tools of other agents, on standard input and output.
//!
//! The protocol is the Model Context Protocol in the words of its official SDK. What a tool does is what the command
//! of its name does; here calls come in, one is worked on at a time, and answers, progress and cancellations go
//! back and forth.

mod tools;
mod work;

use super::{Context, Exit, Tree};
use crate::output::Output;
use anyhow::{Context as _, Result};
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer, serve_server};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc};
use work::Worker;

/// Calls that wait for their turn; what comes beyond them is refused.
const N_WAITING_MAX: usize = 16;

/// How long work may take to notice that nobody is there any more.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// Words on how far a call is that wait to be told; what comes beyond them is left out.
const N_SAID: usize = 8;

/// Least time between two words on how far a call is.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(context: &Context) -> Result<Exit> {
    // Standard output is the protocol's, and nobody reads what is redrawn on the other one.
    let output = Output { json: true, quiet: true };
    let tree = Tree::here()?;
    let worker = Worker::new(Context { output, flags: context.flags.clone() }, tree);
    // A model of this process has a runtime of its own, which must not end within another one: the last hold on it is
    // let go at the end of this function.
    let worker = Arc::new(Mutex::new(worker));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let served = runtime.block_on(async {
        let door =
            Door { worker: Arc::clone(&worker), room: Arc::new(Semaphore::new(N_WAITING_MAX)) };
        let serving = serve_server(door, (tokio::io::stdin(), tokio::io::stdout())).await?;
        serving.waiting().await?;
        anyhow::Ok(())
    });
    runtime.shutdown_timeout(LEAVE_MAX);
    served.context("serving the protocol")?;
    Ok(Exit::Done)
}

/// What the client talks to.
struct Door {
    worker: Arc<Mutex<Worker>>,
    room: Arc<Semaphore>,
}

impl ServerHandler for Door {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("cerium", env!("CARGO_PKG_VERSION")))
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools::all()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = tools::Call::read(&request.name, request.arguments.unwrap_or_default())?;
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            let what = format!("{N_WAITING_MAX} calls wait already: try again shortly");
            return Err(ErrorData::internal_error(what, None));
        };
        let worker = Arc::clone(&self.worker);
        let (said, mut heard) = mpsc::channel(N_SAID);
        let stopped = context.ct.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
            let mut pace = Pace { said, last: None };
            worker.work(call, &|| stopped.is_cancelled(), &mut |what| pace.tell(what))
        });
        // Until the work is done and lets go of its end.
        let mut n = 0;
        while let Some(what) = heard.recv().await {
            n += 1;
            tell(&context, n, what).await;
        }
        let result = done.await.map_err(|error| {
            ErrorData::internal_error(format!("the work ended early: {error}"), None)
        })?;
        Ok(result.into())
    }
}

/// Tells a client that asked for it how far its call is.
async fn tell(context: &RequestContext<RoleServer>, n: u32, what: String) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let progress = ProgressNotificationParam::new(token, f64::from(n)).with_message(what);
    // A client that is gone is noticed elsewhere.
    let _ = context.peer.notify_progress(progress).await;
}

/// Says how far a call is, now and then, and never waits for whoever listens.
struct Pace {
    said: mpsc::Sender<String>,
    last: Option<Instant>,
}

impl Pace {
    fn tell(&mut self, what: &str) {
        if self.last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            self.last = Some(Instant::now());
            let _ = self.said.try_send(what.to_owned());
        }
    }
}
