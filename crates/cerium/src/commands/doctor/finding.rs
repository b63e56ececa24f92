//! What is wrong or would help, from what was seen: what it means, and what to do.

use super::Report;
use crate::output::bytes;
use serde::Serialize;

/// Less room than this on a disk soon is none: a computed prompt takes some megabytes, packed weights
/// hundreds.
const FREE_LEAST: u64 = 1_000_000_000;

/// One thing that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// For programs.
    pub(super) name: &'static str,
    /// Whether a command fails because of it; what does not is slow, or may fail later.
    pub(super) blocks: bool,
    /// What was seen.
    pub(super) what: String,
    /// What follows from it.
    pub(super) means: String,
    /// What to do about it.
    pub(super) remedy: String,
}

impl Finding {
    /// Something that has commands fail.
    pub(super) fn blocking(
        name: &'static str,
        what: impl Into<String>,
        means: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (what, means, remedy) = (what.into(), means.into(), remedy.into());
        Self { name, blocks: true, what, means, remedy }
    }

    /// Something that has not.
    pub(super) fn advice(
        name: &'static str,
        what: impl Into<String>,
        means: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { blocks: false, ..Self::blocking(name, what, means, remedy) }
    }
}

/// What can be said of a machine, most pressing first.
pub(super) fn of_machine(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(models(report));
    findings.extend(disks(report));
    findings.extend(memory(report));
    findings.extend(engines(report));
    findings.extend(processor(report));
    findings
}

fn models(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_here = report.models.iter().any(|model| model.name == report.model);
    if let Some(entry) = cerium_hub::find(&report.model).filter(|_| !is_here) {
        let (name, size) = (entry.name, bytes(entry.bytes));
        findings.push(Finding::advice(
            "model_absent",
            format!("the model {name} is not here yet"),
            format!("the first command that needs it asks whether to fetch it ({size}, once)"),
            format!("nothing; or `cerium pull {name}` now, while there is a network"),
        ));
        // The file, and its weights as they are used.
        let needed = entry.bytes * 9 / 4;
        if report.home_free_bytes.is_some_and(|free| free < needed) {
            findings.push(Finding::blocking(
                "no_room_for_model",
                format!("there is no room for {name} in `{}`", report.home.display()),
                format!("it takes {} of disk, with its packed weights", bytes(needed)),
                "free some space, or set CERIUM_HOME to a directory on another disk",
            ));
        }
        if !report.home_is_writable {
            findings.push(Finding::blocking(
                "home_not_writable",
                format!("`{}` cannot be written to", report.home.display()),
                "no model can be fetched",
                "make it yours, or set CERIUM_HOME to a directory you may write to",
            ));
        }
    }
    for model in report.models.iter().filter(|model| !model.verified && model.name != report.model)
    {
        findings.push(Finding::advice(
            "model_unchecked",
            format!("the file of {} was not checked since it changed", model.name),
            "it is checked when a command needs it, and not used if it is damaged",
            format!("`cerium pull {}` checks it now", model.name),
        ));
    }
    findings
}

fn disks(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    let state = report.state.as_deref().zip(report.state_free_bytes);
    for (dir, free) in report.home_free_bytes.map(|n| (&*report.home, n)).into_iter().chain(state) {
        if free < FREE_LEAST {
            findings.push(Finding::advice(
                "disk_nearly_full",
                format!("the disk of `{}` is nearly full: {} free", dir.display(), bytes(free)),
                "weights are packed anew at every start, prompts computed anew, and an edit whose \
                 journal cannot be written is not made",
                "free some space; `cerium cache clear` and `cerium rm NAME` give back what is ours",
            ));
        }
    }
    if report.state.is_none() || !report.state_is_writable {
        let dir = report
            .state
            .as_deref()
            .map_or("the state directory".into(), |dir| format!("`{}`", dir.display()));
        findings.push(Finding::blocking(
            "state_not_writable",
            format!("{dir} cannot be written to"),
            "no edit is made, because it could not be undone",
            "set HOME, or XDG_STATE_HOME, to a directory you may write to",
        ));
    }
    findings
}

fn memory(report: &Report) -> Option<Finding> {
    let model = cerium_hub::find(&report.model)?;
    // The engine has it already.
    if report.engines.iter().any(|engine| engine.model.name == report.model) {
        return None;
    }
    let needed = model.bytes / 4 * 5;
    let free = report.memory_available_bytes.filter(|&free| free < needed)?;
    Some(Finding::advice(
        "memory_short",
        format!("{} of memory are free, {} needs about {}", bytes(free), model.name, bytes(needed)),
        "it may not load, or with a short context only",
        "close what takes memory, choose a smaller model (`cerium models`), or try `--context 4096 \
         --kv q8`",
    ))
}

fn engines(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    if report.n_other_builds > 0 {
        findings.push(Finding::advice(
            "engine_of_another_build",
            format!("engines of another build of cerium that run: {}", report.n_other_builds),
            "each goes when this one needs an engine, and its computed prompts with it, but for \
             those on disk; two installations that take turns are slow for that reason",
            "nothing after an update; else see which one runs: `command -v -a cerium`",
        ));
    }
    if report.n_silent_sockets > 0 {
        findings.push(Finding::advice(
            "engine_does_not_answer",
            format!(
                "sockets on which an engine listens and does not answer: {}",
                report.n_silent_sockets
            ),
            "an engine is starting, hangs, or speaks as no version of cerium that this one knows",
            "look again in a minute, then into the engine's log; end the process if it hangs",
        ));
    }
    if report.n_stale_sockets > 0 {
        findings.push(Finding::advice(
            "stale_sockets",
            format!("sockets of engines that are gone: {}", report.n_stale_sockets),
            "an engine was killed; nothing waits for them",
            "nothing: the next engine to start removes them",
        ));
    }
    findings
}

fn processor(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    match report.path {
        "scalar" => findings.push(Finding::advice(
            "no_avx2",
            "this processor has no AVX2, or the virtual machine hides it",
            "the plain path runs: the same answers, many times slower",
            "have the virtual machine pass the host's processor through, or use another machine",
        )),
        "avx2" => findings.push(Finding::advice(
            "no_vnni",
            "this processor has AVX2 and not AVX-512 VNNI",
            "prompts are read several times slower than where it has",
            "nothing, unless you can choose the machine",
        )),
        _ => {}
    }
    if report.cores == 1 {
        findings.push(Finding::advice(
            "one_core",
            "this process may use one core",
            "a second one would nearly double the speed",
            "give the machine, the container or the service another core",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that nothing is wrong with.
    fn healthy() -> Report {
        Report {
            path: "avx512vnni",
            cores: 2,
            memory_available_bytes: Some(8 << 30),
            home_free_bytes: Some(8 << 30),
            home_is_writable: true,
            state: Some("/s".into()),
            state_is_writable: true,
            model: "qwen2.5-coder-0.5b".into(),
            models: vec![super::super::Model {
                name: "qwen2.5-coder-0.5b",
                bytes: 1,
                verified: true,
            }],
            ..Report::default()
        }
    }

    fn names(change: impl FnOnce(&mut Report)) -> Vec<(&'static str, bool)> {
        let mut report = healthy();
        change(&mut report);
        let findings = of_machine(&report);
        findings.iter().map(|finding| (finding.name, finding.blocks)).collect()
    }

    #[test]
    fn each_thing_is_found_and_nothing_else() {
        assert_eq!(names(|_| {}), []);
        assert_eq!(names(|it| it.path = "scalar"), [("no_avx2", false)]);
        assert_eq!(names(|it| it.path = "avx2"), [("no_vnni", false)]);
        assert_eq!(names(|it| it.cores = 1), [("one_core", false)]);
        assert_eq!(names(|it| it.memory_available_bytes = Some(1)), [("memory_short", false)]);
        assert_eq!(names(|it| it.memory_available_bytes = None), []);
        assert_eq!(names(|it| it.models.clear()), [("model_absent", false)]);
        assert_eq!(names(|it| it.home_is_writable = false), [], "what is here can be used");
        assert_eq!(names(|it| it.n_other_builds = 1), [("engine_of_another_build", false)]);
        assert_eq!(names(|it| it.n_silent_sockets = 1), [("engine_does_not_answer", false)]);
        assert_eq!(names(|it| it.n_stale_sockets = 1), [("stale_sockets", false)]);
        assert_eq!(names(|it| it.home_free_bytes = Some(1)), [("disk_nearly_full", false)]);
        assert_eq!(names(|it| it.state_free_bytes = Some(1)), [("disk_nearly_full", false)]);
        assert_eq!(names(|it| it.state = None), [("state_not_writable", true)]);
        assert_eq!(names(|it| it.state_is_writable = false), [("state_not_writable", true)]);
        let nothing = |it: &mut Report| {
            it.models.clear();
            it.home_free_bytes = Some(1_100_000_000);
            it.home_is_writable = false;
        };
        let wanted =
            [("model_absent", false), ("no_room_for_model", true), ("home_not_writable", true)];
        assert_eq!(names(nothing), wanted);
    }
}
