//! What a family asks of a file, and what is said of files that do not have it.

use crate::tiny;
use cerium_kernels::TensorType;
use cerium_model::{Config, Cpu, Model, file::ModelFile, gguf::Gguf, testing::GgufBuilder};
use std::fs;

/// Metadata of a file that says nothing wrong, but for what is changed in it.
fn config(architecture: &str, changes: &[(&str, u32)]) -> Result<Config, String> {
    let plain = [
        ("block_count", 2),
        ("embedding_length", 64),
        ("feed_forward_length", 64),
        ("context_length", 512),
        ("attention.head_count", 4),
    ];
    let plain = plain.into_iter().filter(|(key, _)| changes.iter().all(|(other, _)| key != other));
    let mut builder = GgufBuilder::new(3).kv("general.architecture", architecture);
    for (key, value) in plain.chain(changes.iter().copied()) {
        builder = builder.kv(&format!("{architecture}.{key}"), value);
    }
    let file = builder
        .kv(&format!("{architecture}.attention.layer_norm_rms_epsilon"), 1e-6f32)
        .tensor("token_embd.weight", &[64, 32], TensorType::F32, &[0; 8192])
        .build();
    Config::from_gguf(&Gguf::parse(&file).unwrap()).map_err(|e| e.to_string())
}

/// Loads a tiny model in whose file every `from` is a `to`, of the same length.
fn load(name: &str, from: &str, to: &str) -> Result<Model, String> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(tiny::path(&format!("{name}.gguf"))).unwrap();
    let places: Vec<_> = (0..bytes.len() - from.len())
        .filter(|&at| &bytes[at..at + from.len()] == from.as_bytes())
        .collect();
    assert!(!places.is_empty(), "{name} has no {from}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    let file = ModelFile::open(&path).unwrap();
    Model::load(file, Cpu::best(), 1).map_err(|e| e.to_string())
}

#[test]
fn metadata_that_no_model_has_gets_a_clear_error() {
    let error = |architecture, changes: &[_]| config(architecture, changes).unwrap_err();
    assert!(config("gemma3", &[("attention.sliding_window", 512)]).is_ok());
    assert_eq!(
        error("gemma3", &[("attention.sliding_window", 0)]),
        "`gemma3.attention.sliding_window` is 0, supported are 1 to 16777216"
    );
    assert_eq!(
        error(
            "gemma3",
            &[("attention.sliding_window", 5), ("attention.sliding_window_pattern", 0)]
        ),
        "`gemma3.attention.sliding_window_pattern` is 0, supported are 1 to 1024"
    );
    let experts = |n: u32, n_used: u32, d_ffn: u32| {
        let keys = ["expert_count", "expert_used_count", "expert_feed_forward_length"];
        config("qwen3moe", &[(keys[0], n), (keys[1], n_used), (keys[2], d_ffn)]).map(|_| ())
    };
    assert_eq!(experts(8, 8, 32), Ok(()));
    for ((n, n_used, d_ffn), message) in [
        ((0, 1, 32), "`qwen3moe.expert_count` is 0, supported are 1 to 1024"),
        ((u32::MAX, 1, 32), "`qwen3moe.expert_count` is 4294967295, supported are 1 to 1024"),
        ((8, 9, 32), "`qwen3moe.expert_used_count` is 9, supported are 1 to 8"),
        ((8, 0, 32), "`qwen3moe.expert_used_count` is 0, supported are 1 to 8"),
        ((8, 2, 40), "experts are 40 wide, supported are multiples of 16"),
    ] {
        assert_eq!(experts(n, n_used, d_ffn), Err(message.to_owned()));
    }
    assert_eq!(error("qwen3moe", &[]), "the file has no `qwen3moe.expert_feed_forward_length`");
    let unknown = error("gpt2", &[]);
    assert!(unknown.starts_with("models of architecture `gpt2` are not supported (qwen2, "));
    assert!(unknown.ends_with(" are)"), "{unknown}");
    assert_eq!(
        error("llama", &[("block_count", 0)]),
        "`llama.block_count` is 0, supported are 1 to 1024"
    );
}

#[test]
fn a_missing_tensor_is_named() {
    for (model, tensor) in [
        ("qwen3-codes", "blk.0.attn_q_norm.weight"),
        ("qwen3-codes", "blk.1.attn_k_norm.weight"),
        ("gemma3-cap", "blk.1.post_attention_norm.weight"),
        ("gemma3-cap", "blk.0.post_ffw_norm.weight"),
        ("starcoder2-float", "blk.0.attn_norm.bias"),
        ("gpt-oss-mxfp4", "blk.2.attn_sinks.weight"),
        ("gpt-oss-mxfp4", "blk.1.post_attention_norm.weight"),
        ("qwen3moe-codes", "blk.1.ffn_gate_inp.weight"),
        ("qwen3moe-codes", "blk.0.ffn_up_exps.weight"),
        ("starcoder2-float", "output_norm.bias"),
        ("llama-mha", "blk.0.ffn_gate.weight"),
        ("llama-mha", "output_norm.weight"),
    ] {
        let other = tensor.replace("weight", "weighs").replace("bias", "bies");
        let error = load(model, tensor, &other).unwrap_err();
        assert_eq!(error, format!("the file has no tensor `{tensor}`"), "{model}");
    }
}
