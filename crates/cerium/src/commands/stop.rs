//! `cerium stop`: the engine leaves.

use super::{Context, Exit};
use crate::engine::{self, Stopped};
use crate::output;
use anyhow::Result;
use serde_json::json;

pub(crate) fn run(context: &Context) -> Result<Exit> {
    let stopped = engine::stop(|_| true)?;
    if context.output.json {
        let stopped = stopped.iter().map(|(hello, stopped)| {
            json!({
                "model": hello.model.name,
                "pid": hello.about.pid,
                "state": match stopped {
                    Stopped::Gone => "gone",
                    Stopped::Answering => "answering",
                    Stopped::Serves => "serves",
                },
            })
        });
        output::object(&json!({ "engines": stopped.collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    for (hello, stopped) in &stopped {
        let (name, pid) = (&hello.model.name, hello.about.pid);
        context.output.note(match stopped {
            Stopped::Gone => format!("the engine with {name} has left"),
            Stopped::Answering => format!("the engine with {name} leaves after its last answer"),
            Stopped::Serves => {
                format!("`cerium serve` with {name} stays: end process {pid} with Ctrl-C")
            }
        });
    }
    if stopped.is_empty() {
        context.output.note("no engine runs");
    }
    Ok(Exit::Done)
}
