//! Connections: accepting them, bounding them, ending them.

use crate::options::ServerOptions;
use crate::router::router;
use axum::Router;
use cerium_session::Service;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Threads for connections. The model wants the cores; moving bytes wants little.
const N_THREADS: usize = 2;

/// Threads that parse and tokenise requests; more requests than these wait for their turn.
const N_READERS: usize = 2;

/// Pause after the system refuses a connection, as it does while files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until SIGINT or SIGTERM, then lets answers in progress end for `options.grace`; a second
/// signal ends them at once. Blocks.
///
/// # Errors
/// When the runtime, the signals or the listener cannot be set up.
pub fn run(
    listener: std::net::TcpListener,
    service: Service,
    options: ServerOptions,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(N_THREADS)
        .max_blocking_threads(N_READERS)
        .thread_name("cerium-server")
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (first, second) = (signals(1)?, signals(2)?);
        tokio::select! {
            done = serve(listener, service, options, first) => done,
            () = second => Ok(()),
        }
    });
    // A request that is still being tokenised is not worth waiting for.
    runtime.shutdown_background();
    done
}

/// Resolves at the `n`-th signal to stop.
fn signals(n: usize) -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        for _ in 0..n {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
    })
}

/// Serves until `shutdown` resolves, then lets answers in progress end for `options.grace`.
/// Dropping the future ends everything at once.
///
/// # Errors
/// When the listener has no address.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "other machines may reach this server, and it asks for no key");
    }
    tracing::info!(%address, model = service.model().name, "serving");
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(options.idle_max);
    let places = Arc::new(Semaphore::new(options.n_connections_max));
    let grace = options.grace;
    let router = router(service, options, address);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener).await, place)
        };
        tokio::select! {
            (stream, place) = next => {
                let connection = connection(&http, stream, router.clone(), &graceful);
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    drop(listener);
    tracing::info!("shutting down");
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(?grace, "ending answers in progress: the time for them is over");
    }
    Ok(())
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first byte to its last.
fn connection(
    http: &http1::Builder,
    stream: TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    // Tokens are small and must not wait for company. Only a dead socket fails here.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
    async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    }
}
