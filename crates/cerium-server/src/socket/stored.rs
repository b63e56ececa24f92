//! A response on a WebSocket that is kept: it is told to its record, by a task that outlives the connection, and
//! the connection reads along.

use super::frame;
use super::kept::{How, Kept};
use super::lanes::Lane;
use super::turn::Turn;
use crate::archive::Recorded;
use crate::dialect::Narrator;
use crate::responses::{Opened, Waiting};
use crate::watched::Watched;
use axum::extract::ws::Message;
use cerium_protocol::wire::responses::{Events, Refused, ServerEvent, SteerEvent};
use cerium_protocol::{ErrorBody, Event, Status, SteerResponse};
use std::sync::Arc;

impl Turn {
    /// Tells what is recorded to its end. `None` if it fails, or nobody is there to be told.
    ///
    /// * `background`: whether it goes on without anybody
    pub(super) async fn follow(&mut self, opened: Opened, background: bool) -> Option<()> {
        let Opened { stream, record, .. } = opened;
        let live = Arc::clone(record.record.live());
        self.name(live.id());
        let _waiting = (!background).then(|| Waiting::new(&self.app, &live));
        let writing = write(stream, record, Arc::clone(&self.kept), self.lane.clone());
        let writing = tokio::spawn(writing);
        let (mut progress, mut next) = (live.progress(), 0);
        loop {
            for event in live.frames(next) {
                next += 1;
                self.out.send(said(&event, self.lane.name())?).await.ok()?;
            }
            let more = progress.wait_for(|now| now.n_frames > next || now.ended);
            tokio::select! {
                now = async { more.await.map(|now| *now) } => {
                    if now.ok().is_none_or(|now| now.ended && now.n_frames <= next) {
                        break;
                    }
                }
                Some(asked) = self.steers.recv() => self.refuse_to_steer(asked).await?,
            }
        }
        writing.await.ok()?
    }

    async fn refuse_to_steer(&self, asked: SteerResponse) -> Option<()> {
        let SteerResponse { previous_response_id, input, .. } = asked;
        let error =
            ErrorBody::not_served("input", "a response that is stored cannot be redirected");
        let error = error.with_code("steering_not_supported");
        let failed = SteerEvent::Failed { steer: Refused { previous_response_id, input }, error };
        self.out.send(frame(&ServerEvent::steer(&failed, self.lane.name()))).await.ok()
    }
}

/// Tells a response to its record. `None` if it fails.
async fn write(
    mut stream: Watched,
    mut told: Recorded<Events>,
    kept: Arc<Kept>,
    lane: Lane,
) -> Option<()> {
    let (mut lines, mut done) = (Vec::new(), None);
    while let Some((index, event)) = stream.next().await {
        if let Event::Done(response) = &event {
            // Before the client knows: it may go on at once, in any lane.
            kept.put(&lane, &response.id, stream.past(), How { is_stored: true, reading: None });
            done = (response.status != Status::Failed).then_some(());
        }
        told.tell(index, event, &mut lines);
        lines.clear();
    }
    done
}

/// An event of a record as a frame of a lane.
fn said(event: &[u8], lane: Option<&str>) -> Option<Message> {
    let (_, data) = std::str::from_utf8(event).ok()?.split_once("\ndata: ")?;
    let data = data.trim_end();
    Some(Message::text(match lane {
        None => data.to_owned(),
        // Names of lanes need no escapes.
        Some(lane) => format!("{},\"stream_id\":\"{lane}\"}}", data.strip_suffix('}')?),
    }))
}
