//! Frames to the peer: one write each, several in one only when it reads slower than they come.

use axum::extract::ws::Message;
use futures_util::{Sink, SinkExt};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long the peer is waited for when all is said.
const FAREWELL: Duration = Duration::from_secs(1);

/// Writes what is queued until nothing more can come, or the peer is gone or has not read for so long.
pub(super) async fn write<S: Sink<Message> + Unpin>(
    mut peer: S,
    mut queue: mpsc::Receiver<Message>,
    unread_max: Duration,
) {
    while let Some(first) = queue.recv().await {
        let written = async {
            peer.feed(first).await?;
            // What came while the last write waited goes along.
            while let Ok(next) = queue.try_recv() {
                peer.feed(next).await?;
            }
            peer.flush().await
        };
        if !matches!(timeout(unread_max, written).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = timeout(FAREWELL, peer.close()).await;
}
