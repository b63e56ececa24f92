//! How an engine stands at one moment, for people who look.

/// Pages that are told of the tree of what is kept; there may be more.
pub const TREE_PAGES_MAX: usize = 512;

/// What an engine does and holds, between two steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Jobs that share steps.
    pub running: Vec<JobGlance>,
    /// Jobs that wait for their turn.
    pub n_waiting: usize,
    /// Keys and values, in pages.
    pub pages: Pages,
    /// What is kept for prompts to come, roots first; each parent before its children.
    pub tree: Vec<TreePage>,
}

/// One job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobGlance {
    /// Whether nobody waits for it yet.
    pub is_background: bool,
    /// Tokens of its prompt.
    pub n_prompt: usize,
    /// Tokens, of prompt and output, whose keys and values are there.
    pub n_computed: usize,
    /// Tokens of its output.
    pub n_output: usize,
}

/// Keys and values of an engine, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Held by sequences that run, or kept.
    pub n_used: usize,
    /// May be held.
    pub n_max: usize,
    /// Kept, by nobody else held.
    pub n_idle: usize,
    /// Pages of the tree, told or not.
    pub n_kept: usize,
    /// Bytes of one.
    pub bytes: usize,
    /// Tokens of one.
    pub n_tokens: usize,
}

/// A page of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreePage {
    /// The page before it, by its place in the list.
    pub parent: Option<usize>,
    /// Tokens in it.
    pub n_tokens: usize,
    /// Whether a sequence that runs holds it.
    pub in_use: bool,
}
