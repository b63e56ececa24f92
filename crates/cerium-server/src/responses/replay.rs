//! The events of a response once more, byte for byte, also while they come.

use crate::answer::{Frame, event_stream};
use crate::archive::{Archive, Kept, Live, POLL, is_end};
use crate::options::ServerOptions;
use axum::body::Bytes;
use axum::response::Response;
use cerium_protocol::ErrorBody;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The events of a response from number `from` on.
pub(crate) fn replay(
    archive: Arc<Archive>,
    id: String,
    kept: Kept,
    from: u64,
    options: &ServerOptions,
) -> Response {
    let (sender, response) = event_stream();
    let options = options.clone();
    tokio::spawn(async move {
        let teller = Teller { sender, options };
        let told = match kept {
            Kept::Here(live) => here(&teller, &live, from).await,
            Kept::Stored { .. } => stored(&teller, &archive, &id, from).await,
        };
        // Otherwise the body must not look whole.
        if told.is_ok() {
            let _ = teller.sender.send(Frame::Last(Bytes::new())).await;
        }
    });
    response
}

/// Whom it is told to.
struct Teller {
    sender: mpsc::Sender<Frame>,
    options: ServerOptions,
}

/// The client went away, or there is no more to be had.
struct Gone;

impl Teller {
    async fn tell(&self, frame: Bytes) -> Result<(), Gone> {
        let frame = Frame::Part(frame);
        self.sender.send_timeout(frame, self.options.unread_max).await.map_err(|_| Gone)
    }

    /// Waits for something, and says now and then that it does.
    async fn wait<T>(&self, for_this: impl Future<Output = T>) -> Result<T, Gone> {
        tokio::pin!(for_this);
        loop {
            tokio::select! {
                done = &mut for_this => return Ok(done),
                () = self.sender.closed() => return Err(Gone),
                () = tokio::time::sleep(self.options.keepalive) => {
                    let _ = self.sender.try_send(Frame::KEEPALIVE);
                }
            }
        }
    }
}

async fn here(teller: &Teller, live: &Live, from: u64) -> Result<(), Gone> {
    let mut next = usize::try_from(from).unwrap_or(usize::MAX);
    let mut progress = live.progress();
    loop {
        for frame in live.frames(next) {
            next += 1;
            teller.tell(frame).await?;
        }
        let now = teller.wait(progress.wait_for(|now| now.n_frames > next || now.ended)).await?;
        let now = now.map(|now| *now).map_err(|_| Gone)?;
        if now.ended && now.n_frames <= next {
            return Ok(());
        }
    }
}

async fn stored(teller: &Teller, archive: &Archive, id: &str, from: u64) -> Result<(), Gone> {
    let given_up = |error: ErrorBody| {
        tracing::warn!(id, message = %error.message, "a replay broke off");
        Gone
    };
    let mut next = from;
    loop {
        // Looked at before the events, so that none is missed that came with the end.
        let running = archive.any(id).await.map_err(given_up)?.is_running();
        let mut ended = false;
        for (first, text) in archive.events(id, next).await.map_err(given_up)? {
            for (number, frame) in (first..).zip(text.split_inclusive("\n\n")) {
                ended |= is_end(frame.as_bytes());
                if number >= next {
                    next = number + 1;
                    teller.tell(Bytes::copy_from_slice(frame.as_bytes())).await?;
                }
            }
        }
        if ended || !running {
            return Ok(());
        }
        teller.wait(tokio::time::sleep(POLL)).await?;
    }
}
