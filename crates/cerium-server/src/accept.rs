//! Connections: accepting them, bounding them, ending them.

use crate::activity::Ledger;
use crate::archive::Archive;
use crate::door::Door;
use crate::guests::Guests;
use crate::options::ServerOptions;
use crate::private::{self, Leaving, Private};
use crate::public::Public;
use crate::reload::Changing;
use crate::router::{App, Gate, page, router};
use crate::tls::Certificate;
use crate::unix::Socket;
use axum::Router;
use cerium_session::Service;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

/// Threads for connections. The model wants the cores, and moving bytes wants little; a second thread would be
/// woken for most tokens, to find nothing to do. What takes long is done by others.
const N_THREADS: usize = 1;

/// Threads that parse and tokenise requests; more requests than these wait for their turn.
const N_READERS: usize = 2;

/// Pause after the system refuses a connection, as it does while files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens; the service behind all doors is one.
#[derive(Debug, Default)]
pub struct Doors {
    /// For whoever reaches it.
    pub public: Option<Public>,
    /// For the same person's programs.
    pub private: Option<Private>,
}

/// Serves until SIGINT or SIGTERM, then lets answers in progress end for `options.grace`; a second
/// signal ends them at once. A server with a private door may leave by itself, too. Blocks.
///
/// # Errors
/// When the runtime, the signals or a listener cannot be set up.
pub fn run(doors: Doors, service: Service, options: ServerOptions) -> io::Result<()> {
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let (first, second) = (signals(1)?, signals(2)?);
        tokio::select! {
            done = serve(doors, service, options, first) => done,
            () = second => Ok(()),
        }
    });
    // A request that is still being tokenised is not worth waiting for.
    runtime.shutdown_background();
    done
}

/// What [`serve`] runs on.
///
/// # Errors
/// When the system has no threads left.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(N_THREADS)
        .max_blocking_threads(N_READERS)
        .thread_name("cerium-server")
        .enable_all()
        .build()
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

/// Serves until `shutdown` resolves, then lets answers in progress end for `options.grace`; or until
/// a server with a private door leaves by itself. Dropping the future ends everything at once.
///
/// # Errors
/// When a listener cannot be used, or other machines could use it without a key.
pub async fn serve(
    doors: Doors,
    service: Service,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let Doors { public, private } = doors;
    let ledger = Arc::new(Ledger::new(options.traces.as_deref()));
    let archive = match options.store.clone() {
        Some(store) => Some(Archive::open(store, Arc::clone(&ledger)).await?),
        None => None,
    };
    let guests = match options.keys.clone() {
        Some(keys) => Some(Guests::open(keys).await?),
        None => None,
    };
    let looker =
        guests.clone().map(|guests| AbortOnDrop(tokio::spawn(guests.keep()).abort_handle()));
    let keeper =
        archive.clone().map(|archive| AbortOnDrop(tokio::spawn(archive.keep()).abort_handle()));
    let app = Arc::new(App::new(service, options, ledger, archive));
    // Nobody else is to hear of this server while it serves nobody.
    let checker = public
        .is_some()
        .then(|| AbortOnDrop(tokio::spawn(Arc::clone(&app).keep_upstreams()).abort_handle()));
    let (close, closed) = watch::channel(None);
    let closed = Closed(closed);
    let leaving = private.as_ref().map(Leaving::of);
    let end = async {
        let leave = async {
            match &leaving {
                Some(leaving) => leaving.due(&app).await,
                None => std::future::pending().await,
            }
        };
        let grace = tokio::select! {
            () = shutdown => app.options.grace,
            () = leave => app.options.drain,
        };
        close.send_replace(Some(grace));
    };
    let public = async {
        let Some(public) = public else { return Ok(()) };
        let (options, address) = (&app.options, public.address()?);
        let is_far = address.is_some_and(|address| !address.ip().is_loopback());
        if is_far && guests.is_none() {
            let what = "other machines may reach this address, and no key is asked for";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        let tls = options.tls.as_ref().filter(|_| address.is_some());
        let certificate = Arc::new(Certificate::new(tls)?);
        if is_far && tls.is_none() {
            tracing::warn!("keys and all that is said here can be read on the way");
        }
        tracing::info!(at = public.name(), model = app.service.model().name, "serving");
        let door = Arc::new(Door::new(address, &options.host_names, options.cors.clone()));
        let gate = Gate { door: Arc::clone(&door), guests: guests.clone() };
        let page = page(&app);
        let router = router(Arc::clone(&app), page, Some(gate));
        let changing = Changing {
            app: Arc::clone(&app),
            door,
            guests,
            certificate: address.is_some().then(|| Arc::clone(&certificate)),
        };
        let kept = async {
            match public {
                Public::Tcp(listener) => {
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    keep(listener, &certificate, router, options, closed.clone()).await;
                }
                Public::Unix(listener, path) => {
                    let socket = Socket::new(listener, path, false)?;
                    keep(socket, &certificate, router, options, closed.clone()).await;
                }
            }
            Ok(())
        };
        let changing = async {
            match options.reload.clone() {
                Some(reload) => changing.keep(reload).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = kept => done,
            failed = changing => failed,
        }
    };
    let private = async {
        let Some(Private { listener, path, about, .. }) = private else { return Ok(()) };
        tracing::info!(path = %path.display(), model = app.service.model().name, "serving");
        let router = router(Arc::clone(&app), private::routes(about), None);
        let socket = Socket::new(listener, path, true)?;
        keep(socket, &Certificate::default(), router, &app.options, closed.clone()).await;
        Ok(())
    };
    let kept = async { tokio::try_join!(public, private).map(drop) };
    // A door that cannot be opened ends all.
    tokio::pin!(kept);
    let done = tokio::select! {
        done = &mut kept => done,
        () = end => kept.await,
    };
    drop((keeper, looker, checker));
    if let Some(archive) = &app.archive {
        archive.close().await;
    }
    let ledger = Arc::clone(&app.ledger);
    let _ = tokio::task::spawn_blocking(move || ledger.close()).await;
    done
}

/// A task that ends with whoever holds this.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection's place among those that may be open at once, for as long as it or what it became is open.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
    pub(crate) closed: Closed,
}

/// Whether the door is closed, and for how long what goes on may go on.
#[derive(Clone, Debug)]
pub(crate) struct Closed(watch::Receiver<Option<Duration>>);

impl Closed {
    /// Waits until it is, and says for how long. A server that is gone gives no time.
    pub(crate) async fn begins(&mut self) -> Duration {
        self.0.wait_for(Option::is_some).await.ok().and_then(|grace| *grace).unwrap_or_default()
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// What connections come from.
trait Listener {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    async fn next(&self) -> io::Result<Self::Stream>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Tokens are small and must not wait for company. Only a dead socket fails here.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

impl Listener for Socket {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Stream> {
        self.accept().await
    }
}

/// Keeps a door until it is `closed`, and then for as long as that says.
async fn keep<L: Listener>(
    listener: L,
    certificate: &Certificate,
    router: Router,
    options: &ServerOptions,
    closed: Closed,
) {
    let mut ending = closed.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(options.idle_max);
    let places = Arc::new(Semaphore::new(options.n_connections_max));
    let mut connections = JoinSet::new();
    let grace = loop {
        let next = async {
            let permit = Arc::clone(&places).acquire_owned().await.ok();
            (accept(&listener).await, permit)
        };
        tokio::select! {
            (stream, Some(permit)) = next => {
                let place = Place { _permit: Arc::new(permit), closed: closed.clone() };
                let (http, router) = (http.clone(), router.clone());
                match certificate.acceptor() {
                    Some(tls) => {
                        let patience = options.idle_max;
                        connections.spawn(async move {
                            // Whoever opens a connection may be silent; nobody else waits for them.
                            match tokio::time::timeout(patience, tls.accept(stream)).await {
                                Ok(Ok(stream)) => connection(http, stream, router, place).await,
                                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                                Err(_) => tracing::debug!("no TLS in time"),
                            }
                        });
                    }
                    None => drop(connections.spawn(connection(http, stream, router, place))),
                }
            }
            Some(_) = connections.join_next() => {}
            grace = ending.begins() => break grace,
        }
    };
    drop(listener);
    tracing::info!("shutting down");
    // Whatever has a place is in use.
    let n_places = u32::try_from(options.n_connections_max).unwrap_or(u32::MAX);
    let end = places.acquire_many(n_places);
    if tokio::time::timeout(grace, end).await.is_err() {
        tracing::warn!(?grace, "ending answers in progress: the time for them is over");
    }
}

async fn accept<L: Listener>(listener: &L) -> L::Stream {
    loop {
        match listener.next().await {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first byte to its last; or until it becomes something else than HTTP.
async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    http: http1::Builder,
    stream: S,
    router: Router,
    place: Place,
) {
    let mut closed = place.closed.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(place.clone());
        router.call(request)
    });
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = closed.begins() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
