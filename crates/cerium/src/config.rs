//! Settings: the person's own file, then the tree's, then flags.
//!
//! A cloned repository is not trusted. Its `cerium.toml` may choose among the known models and how
//! many threads to use; what could send data away, open a door or run something is the person's to
//! say, and a tree that tries gets an error that names the key.

mod size;
mod span;
mod upstream;

use crate::cli::{Global, Kv, Listen};
use anyhow::{Context, Result};
use serde::Deserialize;
pub(crate) use size::Size;
use span::Span;
use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};
pub(crate) use upstream::UpstreamTable;

/// Longer than any settings; a tree may hold anything under that name.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Bytes of disk for computed prompts, unless told otherwise.
pub(crate) const CACHE_BYTES: u64 = 4_000_000_000;

/// What a run was told, all sources together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Name or path; `None` for the catalogue's default.
    pub(crate) model: Option<String>,
    /// Threads that compute; `None` for one per core.
    pub(crate) threads: Option<u16>,
    /// The same without a tree's word: so many the shared engine gets.
    pub(crate) own_threads: Option<u16>,
    /// Bytes of memory that a model may take; `None` for what is free.
    pub(crate) memory: Option<u64>,
    /// Longest sequence in tokens; `None` for the model's native window.
    pub(crate) context: Option<usize>,
    /// How keys and values are stored; `None` for halves.
    pub(crate) kv: Option<Kv>,
    /// Whether computed prompts are kept on disk; `None` for yes.
    pub(crate) persist: Option<bool>,
    /// Bytes of disk for them; `None` for [`CACHE_BYTES`].
    pub(crate) cache_bytes: Option<u64>,
    /// Where `serve` listens.
    pub(crate) listen: Option<Listen>,
    /// Whether `serve` asks for keys on this machine, too.
    pub(crate) keys: bool,
    /// Sites whose pages may use `serve`, as written.
    pub(crate) cors: Vec<String>,
    /// Where `serve` sends traces.
    pub(crate) traces: Option<String>,
    /// Whether `serve` holds a model that chooses among tools to what small ones get right.
    pub(crate) guided: bool,
    /// By what certificate `serve` is known.
    pub(crate) tls: Option<TlsTable>,
    /// What holders of keys may ask for, by tier.
    pub(crate) tiers: BTreeMap<String, TierTable>,
    /// What `serve` keeps of responses.
    pub(crate) store: StoreTable,
    /// Engines elsewhere.
    pub(crate) upstreams: BTreeMap<String, UpstreamTable>,
    /// The model is loaded in the command's own process.
    pub(crate) alone: bool,
    /// How long an engine stays without work; `None` for a quarter of an hour.
    pub(crate) idle: Option<Duration>,
}

impl Settings {
    /// Bytes of disk for computed prompts, if they are kept.
    pub(crate) fn kept(&self) -> Option<u64> {
        let persist = self.persist.unwrap_or(true);
        persist.then_some(self.cache_bytes.unwrap_or(CACHE_BYTES))
    }
}

/// One file, as written.
#[derive(Debug, Default, Deserialize)]
struct ConfigFile {
    model: Option<String>,
    threads: Option<u16>,
    memory: Option<Size>,
    context: Option<usize>,
    kv: Option<Kv>,
    cache: Option<CacheTable>,
    serve: Option<ServeTable>,
    tiers: Option<BTreeMap<String, TierTable>>,
    store: Option<StoreTable>,
    upstream: Option<BTreeMap<String, UpstreamTable>>,
    engine: Option<EngineTable>,
}

#[derive(Debug, Default, Deserialize)]
struct CacheTable {
    persist: Option<bool>,
    size: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
struct ServeTable {
    listen: Option<Listen>,
    cors: Option<Vec<String>>,
    traces: Option<String>,
    keys: Option<bool>,
    guided: Option<bool>,
    tls: Option<TlsTable>,
}

/// Where the certificate of `serve` is, and its key: PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct TlsTable {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What the holder of a key may ask for; what is not said is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TierTable {
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) tokens_per_minute: Option<u32>,
    pub(crate) concurrency: Option<u32>,
    /// Turns in the queue, for one of a tier without.
    pub(crate) weight: Option<u32>,
}

impl TierTable {
    /// A limit that lets nothing through.
    fn nothing(&self) -> bool {
        let Self { requests_per_minute, tokens_per_minute, concurrency, weight } = self;
        [requests_per_minute, tokens_per_minute, concurrency, weight].contains(&&Some(0))
    }
}

/// Where and for how long responses are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct StoreTable {
    /// False: not at all.
    pub(crate) enabled: Option<bool>,
    /// A PostgreSQL database, or an SQLite file.
    pub(crate) url: Option<String>,
    /// Days since the last use.
    pub(crate) days: Option<u32>,
    /// How many.
    pub(crate) responses: Option<u64>,
    /// How many bytes.
    pub(crate) size: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
struct EngineTable {
    shared: Option<bool>,
    idle: Option<Span>,
}

/// Every key there is, and whether a tree may set it.
const KEYS: &[(&str, bool)] = &[
    ("model", true),
    ("threads", true),
    ("context", false),
    ("kv", false),
    ("memory", false),
    ("cache.persist", false),
    ("cache.size", false),
    ("serve.listen", false),
    ("serve.keys", false),
    ("serve.cors", false),
    ("serve.traces", false),
    ("serve.guided", false),
    ("serve.tls.cert", false),
    ("serve.tls.key", false),
    ("tiers", false),
    ("upstream", false),
    ("store.enabled", false),
    ("store.url", false),
    ("store.days", false),
    ("store.responses", false),
    ("store.size", false),
    ("engine.shared", false),
    ("engine.idle", false),
];

/// First words of keys that a tree may never set, even though this version reads none of them yet:
/// where requests go, what opens doors, what is run.
const NEVER_FROM_A_TREE: &[&str] = &["upstreams", "key", "keys", "command", "commands"];

/// Whose file it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Person,
    Tree,
}

/// Why a settings file was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ConfigError {
    #[error("`{0}` may not be set in a tree, only in your own config.toml")]
    NotFromATree(String),
    #[error("unknown key `{key}`")]
    UnknownKey { key: String, nearest: Option<&'static str> },
    #[error("`model` in a tree must be a model's name, not the path `{0}`")]
    PathFromATree(String),
    #[error("`threads` is {0}, wanted 1 to 1024")]
    Threads(u16),
    #[error("`context` is 0, wanted a number of tokens")]
    Context,
    #[error("`store.{0}` is 0; `store.enabled = false` keeps nothing")]
    Store(&'static str),
    #[error("a limit of `tiers.{0}` is 0; revoke its keys to let nothing through")]
    Tier(String),
    #[error("longer than {FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a regular file")]
    NotAFile,
}

impl ConfigError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotFromATree(_) | Self::PathFromATree(_) => {
                Some("a tree's cerium.toml is not trusted: it may come from anybody".into())
            }
            Self::UnknownKey { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Self::UnknownKey { nearest: None, .. } => {
                let keys = KEYS.iter().map(|(key, _)| *key).collect::<Vec<_>>().join(", ");
                Some(format!("the keys are {keys}"))
            }
            _ => None,
        }
    }
}

/// Reads the person's settings and the tree's, and lets flags win over both.
///
/// `tree` is the root of the tree worked in, for commands that work in one.
pub(crate) fn load(tree: Option<&Path>, flags: &Global) -> Result<Settings> {
    let mut settings = Settings::default();
    let files =
        [(person_path(), Owner::Person), (tree.map(|root| root.join("cerium.toml")), Owner::Tree)];
    for (path, owner) in files {
        let Some(path) = path else { continue };
        if let Some(text) = read(&path).with_context(|| in_file(&path))? {
            let file = parse(&text, owner).with_context(|| in_file(&path))?;
            settings.model = file.model.or(settings.model);
            settings.threads = file.threads.or(settings.threads);
            if owner == Owner::Person {
                settings.own_threads = file.threads;
            }
            settings.memory = file.memory.map(|Size(n)| n).or(settings.memory);
            settings.context = file.context.or(settings.context);
            settings.kv = file.kv.or(settings.kv);
            if let Some(cache) = file.cache {
                settings.persist = cache.persist.or(settings.persist);
                settings.cache_bytes = cache.size.map(|Size(n)| n).or(settings.cache_bytes);
            }
            let serve = file.serve.unwrap_or_default();
            settings.listen = serve.listen.or(settings.listen);
            settings.cors.extend(serve.cors.unwrap_or_default());
            settings.traces = serve.traces.or(settings.traces);
            settings.tls = serve.tls.or(settings.tls);
            settings.keys |= serve.keys == Some(true);
            settings.guided |= serve.guided == Some(true);
            settings.tiers.extend(file.tiers.unwrap_or_default());
            settings.upstreams.extend(file.upstream.unwrap_or_default());
            settings.store = file.store.unwrap_or(settings.store);
            let engine = file.engine.unwrap_or_default();
            settings.alone |= engine.shared == Some(false);
            settings.idle = engine.idle.map(|Span(time)| time).or(settings.idle);
        }
    }
    settings.model = flags.model.clone().or(settings.model);
    settings.threads = flags.threads.or(settings.threads);
    settings.own_threads = flags.threads.or(settings.own_threads);
    settings.alone |= flags.no_daemon;
    settings.context = flags.context.or(settings.context);
    settings.kv = flags.kv.or(settings.kv);
    settings.persist = flags.no_persist.then_some(false).or(settings.persist);
    Ok(settings)
}

fn in_file(path: &Path) -> String {
    format!("in `{}`", path.display())
}

/// `$XDG_CONFIG_HOME/cerium/config.toml`, else below `~/.config`.
fn person_path() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("cerium/config.toml"))
}

fn read(path: &Path) -> Result<Option<String>> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(ConfigError::NotAFile.into());
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong.into());
    }
    Ok(Some(text))
}

fn parse(text: &str, owner: Owner) -> Result<ConfigFile> {
    let table: Table = text.parse()?;
    check_keys(&table, "", owner)?;
    let file: ConfigFile = Value::Table(table).try_into()?;
    match (owner, &file.model) {
        (Owner::Tree, Some(model)) if cerium_hub::find(model).is_none() => {
            return Err(ConfigError::PathFromATree(model.clone()).into());
        }
        _ => {}
    }
    if let Some(store) = &file.store {
        let nothing = [("days", store.days == Some(0)), ("responses", store.responses == Some(0))];
        if let Some((key, _)) = nothing.iter().find(|(_, nothing)| *nothing) {
            return Err(ConfigError::Store(key).into());
        }
    }
    let tiers = file.tiers.iter().flatten();
    if let Some((name, _)) = tiers.into_iter().find(|(_, tier)| tier.nothing()) {
        return Err(ConfigError::Tier(name.clone()).into());
    }
    match (file.threads, file.context) {
        (Some(n), _) if !(1..=1024).contains(&n) => Err(ConfigError::Threads(n).into()),
        (_, Some(0)) => Err(ConfigError::Context.into()),
        _ => Ok(file),
    }
}

fn check_keys(table: &Table, prefix: &str, owner: Owner) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let first = key.split('.').next().unwrap_or_default();
        if owner == Owner::Tree && NEVER_FROM_A_TREE.contains(&first) {
            return Err(ConfigError::NotFromATree(key));
        }
        match KEYS.iter().find(|(known, _)| *known == key) {
            Some((_, false)) if owner == Owner::Tree => return Err(ConfigError::NotFromATree(key)),
            Some(_) => {}
            None => {
                let inside = format!("{key}.");
                let section = KEYS.iter().any(|(known, _)| known.starts_with(&inside));
                match value.as_table() {
                    Some(inner) if section => check_keys(inner, &inside, owner)?,
                    _ => return Err(unknown(key)),
                }
            }
        }
    }
    Ok(())
}

fn unknown(key: String) -> ConfigError {
    let near = |known: &str| strsim::levenshtein(&key, known) <= 1 + known.len() / 4;
    let nearest = KEYS.iter().map(|(known, _)| *known).find(|known| near(known));
    ConfigError::UnknownKey { key, nearest }
}

/// An amount as people write it, taken apart: `2 GB`, `15m`.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    (text[..end].trim(), text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str, owner: Owner) -> ConfigError {
        parse(text, owner).unwrap_err().downcast().unwrap()
    }

    #[test]
    fn a_person_may_set_everything() {
        let text = "model = '/m.gguf'\nthreads = 3\ncontext = 131072\nkv = 'q8'\n\
                    memory = '2 GB'\n[serve]\nlisten = '0.0.0.0:1'\nkeys = true\n\
                    tls = { cert = '/c.pem', key = '/k.pem' }\n\
                    [tiers.partner]\nrequests_per_minute = 60\n\
                    [upstream.big]\nurl = 'http://h/v1'\nmodels = { a = 'b/A' }\nfirst = '5m'\n\
                    [engine]\nshared = false\nidle = '2h'\n\
                    [cache]\npersist = false\nsize = '1 GB'\n\
                    [store]\nurl = 'postgres://db/cerium'\ndays = 7\nsize = '2 GB'\n";
        let file = parse(text, Owner::Person).unwrap();
        assert_eq!((file.model.as_deref(), file.threads), (Some("/m.gguf"), Some(3)));
        assert_eq!((file.context, file.kv), (Some(131_072), Some(Kv::Q8)));
        assert_eq!(file.memory, Some(Size(2_000_000_000)));
        let engine = file.engine.unwrap();
        assert_eq!((engine.shared, engine.idle.unwrap().0.as_secs()), (Some(false), 7200));
        let cache = file.cache.unwrap();
        assert_eq!((cache.persist, cache.size), (Some(false), Some(Size(1_000_000_000))));
        let serve = file.serve.unwrap();
        assert_eq!(serve.listen, Some("0.0.0.0:1".parse().unwrap()));
        assert_eq!(serve.keys, Some(true));
        assert_eq!(serve.tls.unwrap().key, Path::new("/k.pem"));
        assert_eq!(file.tiers.unwrap()["partner"].requests_per_minute, Some(60));
        let big = file.upstream.unwrap()["big"].options("big").unwrap();
        assert_eq!((big.models["a"].as_str(), big.first_max.as_secs()), ("b/A", 300));
        let store = file.store.unwrap();
        assert_eq!((store.url.as_deref(), store.days), (Some("postgres://db/cerium"), Some(7)));
        assert_eq!((store.enabled, store.size), (None, Some(Size(2_000_000_000))));
    }

    #[test]
    fn a_tree_may_choose_a_model_by_name_and_no_more() {
        assert!(parse("model = 'smollm2-135m'\nthreads = 1", Owner::Tree).is_ok());
        for (text, key) in [
            ("[upstream.evil]\nurl = 'http://x'", "upstream"),
            ("keys = ['k']", "keys"),
            ("[commands]\ntest = 'rm -rf ~'", "commands"),
            ("memory = '1 MB'", "memory"),
            ("[serve]\nlisten = '0.0.0.0:80'", "serve.listen"),
            ("context = 131072", "context"),
            ("[engine]\nidle = '1s'", "engine.idle"),
            ("engine.shared = false", "engine.shared"),
            ("kv = 'q8'", "kv"),
            ("[cache]\npersist = true", "cache.persist"),
            ("serve.listen = '0.0.0.0:80'", "serve.listen"),
            ("serve.keys = false", "serve.keys"),
            ("serve.cors = ['https://evil.example']", "serve.cors"),
            ("serve.traces = 'https://evil.example'", "serve.traces"),
            ("serve.tls.cert = 'c'", "serve.tls.cert"),
            ("tiers.partner.concurrency = 9", "tiers"),
            ("store.url = 'postgres://evil/x'", "store.url"),
        ] {
            assert_eq!(refusal(text, Owner::Tree), ConfigError::NotFromATree(key.into()), "{text}");
        }
        let path = refusal("model = './evil.gguf'", Owner::Tree);
        assert_eq!(path, ConfigError::PathFromATree("./evil.gguf".into()));
    }

    #[test]
    fn unknown_keys_are_named_with_what_was_meant() {
        for (text, key, nearest) in [
            ("modle = 'x'", "modle", Some("model")),
            ("thread = 1", "thread", Some("threads")),
            ("[serve]\nlistn = 'x'", "serve.listn", Some("serve.listen")),
            ("[upstreams.x]\nurl = 'x'", "upstreams", Some("upstream")),
            ("colour = 'red'", "colour", None),
        ] {
            let wanted = ConfigError::UnknownKey { key: key.into(), nearest };
            assert_eq!(refusal(text, Owner::Person), wanted, "{text}");
        }
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in [
            "model = 3",
            "threads = -1",
            "threads = 'all'",
            "memory = 'much'",
            "[model]\na = 1",
            "x",
            "serve = 1",
            "kv = 'q4'",
            "tiers.partner.requests = 15",
            "tiers.partner = 15",
            "tiers.partner.concurrency = -1",
            "[upstream.x]\nurl = 'http://x'",
            "[upstream.x]\nurl = 'http://x'\nmodels = []\nkey = 'sk'",
            "[upstream.x]\nurl = 'http://x'\nmodels = ['m']\ndialect = 'latin'",
            "engine.idle = 15",
            "engine.idle = '0m'",
        ] {
            assert!(parse(text, Owner::Person).is_err(), "{text}");
        }
        assert_eq!(refusal("threads = 0", Owner::Person), ConfigError::Threads(0));
        assert_eq!(refusal("context = 0", Owner::Person), ConfigError::Context);
        assert_eq!(refusal("store.days = 0", Owner::Person), ConfigError::Store("days"));
        let tier = refusal("tiers.x.concurrency = 0", Owner::Person);
        assert_eq!(tier, ConfigError::Tier("x".to_owned()));
    }
}
