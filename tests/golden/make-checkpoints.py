#!/usr/bin/env python3
"""Makes tests/data/qwen3: tiny random Qwen3 checkpoints with their logits, from the numpy reference of this folder in double precision.

    tests/golden/make-checkpoints.py FOLDER            makes them (run by hand: the files are committed)
    tests/golden/make-checkpoints.py --check FOLDER    compares the logits with those of Hugging Face transformers, where that is

Each checkpoint is a Hugging Face folder; expected.safetensors holds ids, the rows whose logits are kept, and the logits.
"""
import json
import os
import sys

import numpy as np

import qwen3_reference as qwen

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
CHECKPOINTS = {
    # name: (dtype, number of shards, tokens, config)
    "tied-bf16": ("BF16", 1, 64, qwen.config_json(32, 2, 4, 4, 16, 48, tied=True, dtype="bfloat16")),
    "untied-f32-gqa8": ("F32", 1, 64, qwen.config_json(48, 1, 8, 1, 16, 64)),
    "bias-f16-gqa2": ("F16", 1, 64, qwen.config_json(32, 2, 4, 2, 16, 48, tied=True, bias=True, dtype="float16")),
    "sharded-bf16-gqa4": ("BF16", 3, 64, qwen.config_json(32, 3, 4, 1, 32, 48, dtype="bfloat16")),
    "yarn-f32": ("F32", 1, 120, qwen.config_json(32, 2, 4, 2, 16, 48, tied=True, context=128, rope_scaling=YARN)),
    "yarn-factor-bf16-d128": ("BF16", 1, 120, qwen.config_json(32, 1, 2, 1, 128, 48, tied=True, context=128, dtype="bfloat16", rope_theta=None,
                              rope_parameters={**YARN, "rope_theta": 1000000.0, "attention_factor": 0.9, "beta_fast": 16.0, "beta_slow": 2.0})),
    "linear-f32": ("F32", 1, 64, qwen.config_json(32, 1, 2, 1, 32, 48, tied=True, rope_scaling={"type": "linear", "factor": 2.5})),
}


def store(weights, dtype):
    """(what is written, what it means in float32)."""
    if dtype == "F32": return weights, weights
    if dtype == "F16":
        halves = {n: w.astype(np.float16) for n, w in weights.items()}
        return halves, {n: w.astype(np.float32) for n, w in halves.items()}
    bits = {n: qwen.to_bf16(w) for n, w in weights.items()}
    return {n: ("BF16", b) for n, b in bits.items()}, {n: qwen.from_bf16(b) for n, b in bits.items()}


def write_weights(folder, tensors, shards):
    if shards == 1:
        qwen.write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
        return
    index = {"metadata": {}, "weight_map": {}}
    names = list(tensors)
    for s in range(shards):
        file = f"model-{s + 1:05}-of-{shards:05}.safetensors"
        part = names[s::shards]
        qwen.write_safetensors(os.path.join(folder, file), {n: tensors[n] for n in part})
        index["weight_map"].update({n: file for n in part})
    qwen.write_json(folder, "model.safetensors.index.json", index)


def read_safetensors(path):
    data = open(path, "rb").read()
    n = int.from_bytes(data[:8], "little")
    types = {"F32": np.float32, "I32": np.int32}
    return {name: np.frombuffer(data[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]], types[e["dtype"]]).reshape(e["shape"])
            for name, e in json.loads(data[8:8 + n]).items()}


def make(target):
    for seed, (name, (dtype, shards, n, config)) in enumerate(CHECKPOINTS.items()):
        folder = os.path.join(target, name)
        os.makedirs(folder, exist_ok=True)
        config = {k: v for k, v in config.items() if v is not None}
        tensors, meant = store(qwen.random_weights(config, 100 + seed), dtype)
        write_weights(folder, tensors, shards)
        qwen.write_json(folder, "config.json", config)
        qwen.write_json(folder, "tokenizer.json", qwen.tokenizer_json())
        if shards > 1: qwen.write_json(folder, "generation_config.json", {"eos_token_id": [258, 65], "temperature": 0.6, "top_p": 0.95, "top_k": 20})
        ids = np.random.RandomState(seed).randint(0, 256, n)
        rows = np.unique(np.concatenate([np.arange(0, n, 8), np.arange(n - 4, n)]))
        logits = qwen.forward(config, meant, ids)
        qwen.write_safetensors(os.path.join(folder, "expected.safetensors"),
                               {"ids": ids.astype(np.int32), "rows": rows.astype(np.int32), "logits": logits[rows].astype(np.float32)})


def check(target):
    import torch
    import transformers
    for name in CHECKPOINTS:
        folder = os.path.join(target, name)
        expected = read_safetensors(os.path.join(folder, "expected.safetensors"))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        with torch.no_grad():
            logits = model(torch.tensor(expected["ids"], dtype=torch.long)[None]).logits[0].float().numpy()[expected["rows"]]
        difference = np.abs(expected["logits"] - logits).max() / np.abs(logits).max()
        print(f"{name}: logits up to {np.abs(logits).max():.2f}; expected.safetensors differs by {difference:.2e} of that")
        assert difference < 2e-5
    print("transformers", transformers.__version__, "torch", torch.__version__)


if __name__ == "__main__":
    check(sys.argv[2]) if sys.argv[1] == "--check" else make(sys.argv[1])
