//! Packed weights kept on disk: the same bits as packed ones, never trusted unchecked, never in the way.

use crate::tiny;
use cerium_model::{Cpu, KvCache, Model, Packing, Segment, Wanted, file::ModelFile};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const HASH: &str = "00000000000000000000000000000000000000000000000000000000c0ffee00";

type Lie = fn(&mut serde_json::Value);

/// A directory with a model and a place for its packed weights.
struct World {
    dir: TempDir,
}

impl World {
    fn with(model: &str) -> Self {
        let world = Self { dir: TempDir::new().unwrap() };
        fs::copy(tiny::path(&format!("{model}.gguf")), world.model()).unwrap();
        world
    }

    fn model(&self) -> PathBuf {
        self.dir.path().join("model.gguf")
    }

    fn shelf(&self) -> PathBuf {
        self.dir.path().join("packed")
    }

    /// What lies on the shelf, by name.
    fn kept(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.shelf()).unwrap().map(|entry| entry.unwrap().path());
        let mut kept: Vec<_> = entries.filter(|path| !path.ends_with(".lock")).collect();
        kept.sort();
        kept
    }

    /// The one file on the shelf.
    fn file(&self) -> PathBuf {
        let kept = self.kept();
        assert_eq!(kept.len(), 1, "{kept:?}");
        kept[0].clone()
    }

    fn load(&self, sha256: Option<&str>) -> Model {
        let file = ModelFile::open(&self.model()).unwrap().keep_packed(&self.shelf(), sha256);
        Model::load(file, Cpu::best(), 2).unwrap()
    }

    /// Loads, and demands that the weights come from where they should and give these logits.
    #[track_caller]
    fn expect(&self, origin: &str, want: &[f32]) {
        let mut model = self.load(None);
        assert_eq!(format!("{:?}", model.packing()), origin);
        assert!(logits(&mut model) == want);
    }
}

fn logits(model: &mut Model) -> Vec<f32> {
    let mut kv = KvCache::new(model.config());
    let tokens: Vec<u32> = (1..40).map(|i| i * 7 % model.config().n_vocab as u32).collect();
    let segment = Segment { kv: &mut kv, tokens: &tokens, wanted: Wanted::Logits(tokens.len()) };
    model.forward(&mut [segment], &AtomicBool::new(false)).unwrap().logits.to_vec()
}

fn logits_of(path: &Path) -> Vec<f32> {
    logits(&mut Model::load(ModelFile::open(path).unwrap(), Cpu::best(), 2).unwrap())
}

#[test]
fn mapped_weights_give_the_bits_of_packed_ones() {
    for model in tiny::NAMES {
        let world = World::with(model);
        let want = logits_of(&world.model());
        world.expect("Kept", &want);
        world.expect("Mapped", &want);
        world.file();
    }
}

#[test]
fn a_mapped_start_reads_no_matrix_of_the_model() {
    let world = World::with("qwen2-k");
    let want = logits(&mut world.load(Some(HASH)));
    let mut bytes = fs::read(world.model()).unwrap();
    let gguf = ModelFile::open(&world.model()).unwrap().gguf;
    for tensor in gguf.tensors().iter().filter(|tensor| tensor.name.contains("ffn_down")) {
        bytes[tensor.range.clone()].fill(0);
    }
    fs::write(world.model(), bytes).unwrap();
    assert!(logits_of(&world.model()) != want);
    let mut model = world.load(Some(HASH));
    assert!(matches!(model.packing(), Packing::Mapped));
    assert!(logits(&mut model) == want);
}

#[test]
fn damaged_and_foreign_files_are_replaced() {
    let world = World::with("llama-float");
    let want = logits_of(&world.model());
    world.expect("Kept", &want);
    let (path, whole) = (world.file(), fs::read(world.file()).unwrap());
    let n = whole.len();
    // In the magic, the head's length, its sum, the head, the data, the last sum.
    for at in [0, 7, 8, 15, 16, 40, 2 << 20, (2 << 20) + 99_999, n - 5, n - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        world.expect("Kept", &want);
        assert!(fs::read(&path).unwrap() == whole, "flipped at {at}");
    }
    for len in [0, 7, 19, 100, 2 << 20, n - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        world.expect("Kept", &want);
        assert!(fs::read(&path).unwrap() == whole, "cut at {len}");
    }
    for foreign in [&b"GGUF"[..], &[whole.as_slice(), &[0]].concat(), &vec![0xff; 5000]] {
        fs::write(&path, foreign).unwrap();
        world.expect("Kept", &want);
    }
    // Another model's weights under this one's name.
    let other = World::with("qwen2-k");
    other.load(None);
    fs::copy(other.file(), &path).unwrap();
    world.expect("Kept", &want);
    world.expect("Mapped", &want);
}

#[test]
fn a_head_that_lies_is_not_believed() {
    let world = World::with("qwen2-legacy");
    let want = logits_of(&world.model());
    world.expect("Kept", &want);
    let (path, whole) = (world.file(), fs::read(world.file()).unwrap());
    let n_head = u64::from_le_bytes(whole[8..16].try_into().unwrap()) as usize;
    let head: serde_json::Value = serde_json::from_slice(&whole[20..20 + n_head]).unwrap();
    let lies: [Lie; 8] = [
        |head| head["matrices"][3]["offset"] = u64::MAX.into(),
        |head| head["matrices"][3]["offset"] = head["n_bytes"].clone(),
        |head| head["matrices"][3]["n_rows"] = (1u64 << 40).into(),
        |head| head["matrices"][3]["kind"] = "Q8_0".into(),
        |head| head["matrices"][3]["name"] = "nothing".into(),
        |head| head["n_bytes"] = u64::MAX.into(),
        |head| head["label"]["layout"] = "00000000".into(),
        |head| *head = vec![0; 1000].into(),
    ];
    for (i, lie) in lies.into_iter().enumerate() {
        let mut head = head.clone();
        lie(&mut head);
        let head = serde_json::to_vec(&head).unwrap();
        let mut bytes = whole[..8].to_vec();
        bytes.extend((head.len() as u64).to_le_bytes());
        bytes.extend(crc32c::crc32c(&head).to_le_bytes());
        bytes.extend(head);
        bytes.resize(2 << 20, 0);
        bytes.extend(&whole[2 << 20..]);
        fs::write(&path, bytes).unwrap();
        world.expect("Kept", &want);
        assert!(fs::read(&path).unwrap() == whole, "lie {i}");
    }
}

#[test]
fn loads_at_the_same_time_leave_one_whole_file() {
    let world = World::with("qwen2-k");
    let want = logits_of(&world.model());
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert!(logits(&mut world.load(None)) == want));
        }
    });
    world.file();
    world.expect("Mapped", &want);
}

#[test]
fn a_model_that_was_replaced_is_packed_anew() {
    let world = World::with("qwen2-k");
    world.load(None);
    let (old, time) = (world.file(), fs::metadata(world.model()).unwrap().modified().unwrap());
    let old_logits = logits_of(&world.model());

    // Same place, same length, same header, same time of modification; and other weights.
    let mut bytes = fs::read(world.model()).unwrap();
    let gguf = ModelFile::open(&world.model()).unwrap().gguf;
    let norm = gguf.tensor("blk.0.attn_q.weight").unwrap();
    let half = norm.range.len() / 2;
    bytes[norm.range.clone()].rotate_left(half);
    fs::write(world.model(), bytes).unwrap();
    File::options().write(true).open(world.model()).unwrap().set_modified(time).unwrap();

    let want = logits_of(&world.model());
    assert!(want != old_logits);
    world.expect("Kept", &want);
    world.expect("Mapped", &want);
    assert_ne!(world.file(), old, "the old weights are gone");
}

#[test]
fn what_nobody_will_use_goes_and_the_rest_stays() {
    let world = World::with("qwen2-k");
    world.load(Some(HASH));
    let mine = world.file();
    let beside = |name: &str| {
        let path = world.shelf().join(name);
        fs::write(&path, "x").unwrap();
        path
    };
    let other_layout = beside(&format!("{HASH}-12345678.packed"));
    let _broken_off = beside(&format!("{}-12345678.partial", HASH.replace('0', "1")));
    let unused = beside(&format!("{}-12345678.packed", HASH.replace('0', "2")));
    let used = beside(&format!("{}-12345678.packed", HASH.replace('0', "3")));
    let not_ours = beside("notes.txt");
    let long_ago = SystemTime::now() - Duration::from_hours(31 * 24);
    for old in [&unused, &not_ours, &mine] {
        File::options().write(true).open(old).unwrap().set_modified(long_ago).unwrap();
    }
    world.load(Some(HASH));
    assert_eq!(world.kept().len(), 6, "a mapped start removes nothing");

    // Another model is packed: what is used, if only mapped, stays.
    world.load(None);
    let kept = world.kept();
    assert_eq!(kept.len(), 5, "{kept:?}");
    for path in [&mine, &other_layout, &used, &not_ours] {
        assert!(kept.contains(path), "{kept:?}");
    }

    fs::remove_file(&mine).unwrap();
    world.load(Some(HASH));
    let kept = world.kept();
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(kept.contains(&mine) && !kept.contains(&other_layout), "{kept:?}");
}

#[test]
fn a_place_that_takes_nothing_is_no_obstacle() {
    let world = World::with("qwen2-k");
    let want = logits_of(&world.model());
    fs::write(world.shelf(), "a file where the directory should be").unwrap();
    let mut model = world.load(None);
    let Packing::NotKept { dir, .. } = model.packing() else { panic!("{:?}", model.packing()) };
    assert_eq!(*dir, world.shelf());
    assert!(logits(&mut model) == want);
}
