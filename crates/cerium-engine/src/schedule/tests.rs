//! Who is given what, step by step, on a tiny model whose results nobody looks at.

use super::*;
use crate::engine::Place;
use crate::running::Told;
use crate::{Class, Drafts, FinishReason, Job, Owner, Step};
use cerium_model::file::ModelFile;
use cerium_model::{Cpu, KvCache, Model, Segment, Wanted};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::mpsc;

/// An engine without a thread: a step is taken when a test says so.
struct World {
    model: Model,
    schedule: Schedule,
    tempo: Tempo,
    /// What each job was told, by its id.
    readers: Vec<mpsc::Receiver<Step>>,
}

/// What one step gave: a job and its rows.
type Given = Vec<(u64, usize)>;

impl World {
    fn new(n_running_max: usize) -> Self {
        let tiny = "../cerium-model/tests/data/tiny/qwen2-legacy.gguf";
        let file = ModelFile::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(tiny)).unwrap();
        let model = Model::load(file, Cpu::best(), 1).unwrap();
        let (schedule, tempo) = (Schedule::new(n_running_max), Tempo::default());
        Self { model, schedule, tempo, readers: Vec::new() }
    }

    /// Hands in a job with a prompt of its own.
    fn submit(&mut self, class: Class, n_prompt: usize, max_tokens: usize) -> u64 {
        let first = self.readers.len() * 31;
        let prompt = (0..n_prompt).map(|i| (first + i) as u32 % 97).collect();
        self.submit_prompt(class, prompt, max_tokens)
    }

    fn submit_prompt(&mut self, class: Class, prompt: Vec<u32>, max_tokens: usize) -> u64 {
        self.submit_job(Job { prompt, max_tokens, class, ..Job::default() })
    }

    fn submit_job(&mut self, job: Job) -> u64 {
        let id = self.readers.len() as u64;
        let (sender, reader) = mpsc::channel(8);
        self.readers.push(reader);
        let job = Job { drafts: Drafts::none(), ..job };
        let place = Place::take(&Arc::default(), 1).unwrap();
        self.schedule.enqueue(Running::new(id, job, place, sender));
        id
    }

    fn read(&mut self, id: u64) -> Vec<Step> {
        let reader = &mut self.readers[id as usize];
        std::iter::from_fn(|| reader.try_recv().ok()).collect()
    }

    fn cancel(&mut self, id: u64) {
        self.schedule.find(id).unwrap().finish(FinishReason::Cancelled);
        self.schedule.retire(|_| {});
    }

    /// One turn of the engine's loop.
    fn step(&mut self) -> Given {
        let mut open = |_: &Running, _: &[Running]| Some(KvCache::new(self.model.config()));
        while self.schedule.admit(&mut open) {}
        self.schedule.tell_positions();
        let mut given = Vec::new();
        for Turn { job, n_rows, .. } in self.schedule.step(&self.tempo) {
            given.push((job.id, n_rows));
            let tokens = job.tokens[job.n_computed()..][..n_rows].to_vec();
            let kv = job.kv.as_mut().unwrap();
            let mut segments = [Segment { kv, tokens: &tokens, wanted: Wanted::Likeliest(0) }];
            self.model.forward(&mut segments, &AtomicBool::new(false)).unwrap();
            if job.n_left() == 0 && job.only_prefills() {
                job.prefilled();
            } else if job.n_left() == 0 {
                job.take(&[Told::Likeliest(1)], None, usize::MAX, Instant::now());
            }
        }
        self.schedule.retire(|_| {});
        given
    }
}

fn ids(given: &Given) -> Vec<u64> {
    given.iter().map(|&(id, _)| id).collect()
}

#[test]
fn background_work_runs_while_nothing_interactive_can() {
    let mut world = World::new(4);
    let warm = world.submit(Class::Background, 900, 0);
    assert_eq!(world.step(), [(warm, CHUNK_MAX)], "nobody else wants the time");
    let asked = world.submit(Class::Interactive, 40, 100);
    // Prompt and tokens, until nobody has read eight steps.
    for _ in 0..8 {
        assert_eq!(ids(&world.step()), [asked]);
    }
    // The reader is slow: that is no reason to wait.
    assert_eq!(ids(&world.step()), [warm]);
    assert_eq!(world.read(asked).len(), 8);
    world.schedule.retire(|_| {});
    assert_eq!(ids(&world.step()), [asked]);
    let n_computed = world.schedule.find(warm).unwrap().n_computed();
    assert_eq!(n_computed, 2 * CHUNK_MAX, "nothing of it was lost");
    world.cancel(asked);
    let rest: usize = (0..4).flat_map(|_| world.step()).map(|(_, n_rows)| n_rows).sum();
    assert_eq!(rest, 900 - n_computed);
    let ends = |step: &Step| matches!(step, Step::Done(end) if end.reason == FinishReason::Length);
    assert!(world.read(warm).iter().any(ends));
}

#[test]
fn a_step_is_short_when_somebody_else_decodes_or_waits() {
    let mut world = World::new(4);
    let writer = world.submit(Class::Interactive, 10, 100);
    world.step();
    let long = world.submit(Class::Interactive, 900, 1);
    let given = world.step();
    let n_rows = given[1].1;
    assert_eq!(given, [(writer, 1), (long, n_rows)]);
    let time = |n| world.tempo.time(Work::rows(10, 1, 1) + Work::rows(0, n, 0));
    assert!(time(n_rows) <= SHARED && time(n_rows + CHUNK_UNIT) > SHARED, "{n_rows}");
    // A machine on which that cannot be has the least that is worth while.
    for _ in 0..3 {
        world.tempo.saw(Work::rows(0, 64, 0), Duration::from_secs(2));
    }
    assert_eq!(world.step(), [(writer, 1), (long, CHUNK_UNIT)]);
}

#[test]
fn the_shortest_prompt_is_first_and_the_longest_does_not_starve() {
    let mut world = World::new(4);
    let long = world.submit(Class::Interactive, 600, 1);
    let short = world.submit(Class::Interactive, 64, 1);
    assert_eq!(ids(&world.step())[0], short);
    // Short ones keep coming: two are there at any time.
    let (mut n_given, mut n_others) = (0, 0);
    while n_given < 600 {
        assert!(n_others < 1500, "{n_given} rows were given beside {n_others}");
        while world.schedule.running.len() + world.schedule.queue.len() < 3 {
            world.submit(Class::Interactive, 64, 1);
        }
        for (id, n_rows) in world.step() {
            *(if id == long { &mut n_given } else { &mut n_others }) += n_rows;
        }
    }
    assert!(n_others > 400, "the short ones went on: {n_others}");
}

#[test]
fn short_prompts_share_a_step() {
    let mut world = World::new(4);
    for _ in 0..3 {
        world.submit(Class::Interactive, 5, 1);
    }
    assert_eq!(world.step(), [(0, 5), (1, 5), (2, 5)]);
}

#[test]
fn a_prompt_waits_for_another_that_computes_its_beginning() {
    let mut world = World::new(4);
    let prompt = |n: u32, last: u32| (0..n).chain([last]).collect::<Vec<u32>>();
    let first = world.submit_prompt(Class::Interactive, prompt(20, 50), 1);
    let second = world.submit_prompt(Class::Interactive, prompt(20, 51), 1);
    let third = world.submit_prompt(Class::Interactive, vec![7; 5], 1);
    assert_eq!(world.step(), [(third, 5), (first, 21 / CHUNK_UNIT * CHUNK_UNIT)]);
    assert!(!ids(&world.step()).contains(&second), "it still is in what both begin with");
    assert_eq!(ids(&world.step()), [second]);
}

#[test]
fn the_queue_is_in_order_and_says_so() {
    let mut world = World::new(1);
    let running = world.submit(Class::Interactive, 5, 100);
    let warm = world.submit(Class::Background, 5, 0);
    let next = world.submit(Class::Interactive, 5, 1);
    world.step();
    assert_eq!(world.read(next), [Step::Queued { n_before: 0, wait: None }]);
    assert_eq!(world.read(warm), [Step::Queued { n_before: 1, wait: None }]);
    world.step();
    assert_eq!(world.read(next), [], "told once");
    world.cancel(running);
    assert_eq!(ids(&world.step()), [next]);
    assert!(matches!(world.read(warm)[..], [Step::Queued { n_before: 0, wait: Some(_) }]));
    assert_eq!(ids(&world.step()), [warm]);
    assert_eq!(world.read(warm)[0], Step::Prefilled { n_prompt: 5, n_cached: 0 });
}

#[test]
fn owners_take_turns_and_some_get_more_of_them() {
    let mut world = World::new(1);
    let ask = |world: &mut World, id: u64, weight: u32| {
        let owner = Owner { id, weight };
        world.submit_job(Job { prompt: vec![1, 2], max_tokens: 9, owner, ..Job::default() })
    };
    assert_eq!(ask(&mut world, 1, 1), 0);
    world.step();
    for (id, weight) in [(1, 1), (1, 1), (1, 1), (2, 1), (2, 1), (3, 2), (3, 2), (3, 2)] {
        ask(&mut world, id, weight);
    }
    let order =
        |world: &World| -> Vec<u64> { world.schedule.queue.iter().map(|job| job.id).collect() };
    assert_eq!(order(&world), [6, 1, 4, 7, 8, 2, 5, 3]);
    // Who comes later has no more turns to make up for than the others have had.
    for id in [0, 6, 1] {
        world.cancel(id);
        world.step();
    }
    assert_eq!(ask(&mut world, 4, 1), 9);
    assert_eq!(order(&world), [7, 8, 2, 5, 9, 3]);
    // What is told of the time goes by those that have ended.
    for step in world.read(3) {
        assert!(matches!(step, Step::Queued { wait: Some(_), .. }), "{step:?}");
    }
}
