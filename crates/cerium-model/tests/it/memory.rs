//! What a model is said to need, before it is loaded, against what it takes.

use crate::tiny;
use cerium_model::{Budget, Config, Cpu, KvCache, KvFormat, LoadError, Model, file::ModelFile};

#[test]
fn a_budget_holds_the_weights_and_the_tokens_it_says() {
    for name in tiny::NAMES {
        let file = ModelFile::open(&tiny::path(&format!("{name}.gguf"))).unwrap();
        let config = Config::from_gguf(&file.gguf).unwrap();
        let n_tokens = |n_bytes: u64, wanted| {
            Budget::left().at_most(n_bytes).n_tokens(&file, &config, KvFormat::F16, wanted)
        };
        // What is needed for the weights alone is told by refusing everything.
        let Err(LoadError::Room { needed, available: 1, .. }) = n_tokens(1, 0) else {
            panic!("{name} fits into a byte")
        };
        let kv = |n| KvCache::n_bytes(&config, KvFormat::F16, n) as u64;
        assert!(n_tokens(needed - 1, 0).is_err(), "{name}");
        assert_eq!(n_tokens(needed, 0).unwrap(), 0, "{name}");
        assert!(n_tokens(needed, 1).is_err(), "{name}");
        assert_eq!(n_tokens(needed + kv(640), 640).unwrap(), 640, "{name}");
        assert_eq!(n_tokens(needed + kv(640) - 1, 0).unwrap(), 576, "{name}: whole pages");
        let n_bytes = Model::load(file, Cpu::best(), 1).unwrap().n_bytes() as u64;
        assert!(needed > n_bytes, "{name}: {needed} for {n_bytes} of packed weights");
    }
}
