"""Qwen3 in plain numpy, double precision: what a checkpoint's logits are, written from the architecture's definition and not from the
engine's code. Also the writers of small checkpoints: safetensors, tokenizer.json of bytes, random weights.

Source: Qwen3ForCausalLM (pre-norm, QK-norm per head, rotary embedding of pairs (i, i + d/2), SwiGLU); YaRN: arXiv 2309.00071.
"""
import json
import math
import os
import struct

import numpy as np

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]


def to_bf16(x):
    """float32 -> uint16, round to nearest even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(x):
    return (x.astype(np.uint32) << 16).view(np.float32)


def write_safetensors(path, tensors):
    """tensors: name -> array, or (dtype, array of raw elements) for BF16."""
    header, data, at = {}, [], 0
    names = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int32): "I32"}
    for name, value in tensors.items():
        dtype, array = value if isinstance(value, tuple) else (names[value.dtype], value)
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64 + 56)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def byte_characters():
    printed = [b for b in range(256) if 0x21 <= b <= 0x7E or (0xA1 <= b and b != 0xAD)]
    others = [b for b in range(256) if b not in printed]
    return {**{b: chr(b) for b in printed}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def tokenizer_json():
    """A tokenizer of bytes with Qwen3's special tokens behind them."""
    added = [{"id": 256 + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": not text.endswith("think>")} for i, text in enumerate(SPECIALS)]
    return {"version": "1.0", "added_tokens": added,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            "model": {"type": "BPE", "vocab": {c: b for b, c in byte_characters().items()}, "merges": []}}


def config_json(hidden, layers, heads, kv_heads, d, ffn, vocabulary=272, tied=False, bias=False, context=512, dtype="float32", **more):
    return {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": vocabulary, "hidden_size": hidden,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": d,
            "intermediate_size": ffn, "rope_theta": 10000.0, "rms_norm_eps": 1e-6, "hidden_act": "silu", "attention_bias": bias,
            "tie_word_embeddings": tied, "max_position_embeddings": context, "torch_dtype": dtype, "bos_token_id": None,
            "eos_token_id": 258, **more}


def random_weights(config, seed):
    """name -> float32; scaled so that attention is neither flat nor one-hot and the logits differ by position."""
    rng = np.random.RandomState(seed)
    hidden, d, heads, kv, ffn = (config[k] for k in ("hidden_size", "head_dim", "num_attention_heads", "num_key_value_heads", "intermediate_size"))
    matrix = lambda rows, columns, gain=1.0: (rng.randn(rows, columns) * gain / math.sqrt(columns)).astype(np.float32)
    vector = lambda n, around=1.0: (around * (1 + 0.3 * rng.randn(n))).astype(np.float32)
    weights = {"model.embed_tokens.weight": rng.randn(config["vocab_size"], hidden).astype(np.float32)}
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        weights[p + "input_layernorm.weight"] = vector(hidden)
        for name, rows in (("q", heads * d), ("k", kv * d), ("v", kv * d)):
            weights[p + f"self_attn.{name}_proj.weight"] = matrix(rows, hidden)
            if config["attention_bias"]: weights[p + f"self_attn.{name}_proj.bias"] = (0.5 * rng.randn(rows)).astype(np.float32)
        weights[p + "self_attn.o_proj.weight"] = matrix(hidden, heads * d)
        if config["attention_bias"]: weights[p + "self_attn.o_proj.bias"] = (0.5 * rng.randn(hidden)).astype(np.float32)
        weights[p + "self_attn.q_norm.weight"] = vector(d, 1.5)
        weights[p + "self_attn.k_norm.weight"] = vector(d, 1.5)
        weights[p + "post_attention_layernorm.weight"] = vector(hidden)
        weights[p + "mlp.gate_proj.weight"] = matrix(ffn, hidden)
        weights[p + "mlp.up_proj.weight"] = matrix(ffn, hidden)
        weights[p + "mlp.down_proj.weight"] = matrix(hidden, ffn)
    weights["model.norm.weight"] = vector(hidden)
    if not config["tie_word_embeddings"]: weights["lm_head.weight"] = matrix(config["vocab_size"], hidden, 2.0)
    return weights


def rotary(config):
    """(angle of pair i at position 1, scale of cos and sin)."""
    d, scaling = config["head_dim"], config.get("rope_scaling") or {}
    parameters = {**scaling, **(config.get("rope_parameters") or {})}
    theta = parameters.get("rope_theta", config.get("rope_theta", 10000.0))
    plain = theta ** (-np.arange(0, d, 2) / d)
    kind, factor = parameters.get("rope_type", parameters.get("type", "default")), parameters.get("factor", 1.0)
    if kind == "default": return plain, 1.0
    if kind == "linear": return plain / factor, 1.0
    assert kind == "yarn"
    context = parameters.get("original_max_position_embeddings") or config["max_position_embeddings"]
    turns_at = lambda turns: d * math.log(context / (turns * 2 * math.pi)) / (2 * math.log(theta))
    low, high = max(math.floor(turns_at(parameters.get("beta_fast", 32))), 0), min(math.ceil(turns_at(parameters.get("beta_slow", 1))), d - 1)
    stretched = np.clip((np.arange(d // 2) - low) / max(high - low, 0.001), 0, 1)
    scale = parameters.get("attention_factor") or (0.1 * math.log(factor) + 1 if factor > 1 else 1.0)
    return plain / factor * stretched + plain * (1 - stretched), scale


def forward(config, weights, ids):
    """Logits [tokens, vocabulary] in double precision."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    d, heads, kv, eps = config["head_dim"], config["num_attention_heads"], config["num_key_value_heads"], config["rms_norm_eps"]
    norm = lambda x, weight: x / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps) * weight
    angles, scale = rotary(config)
    turn = np.arange(len(ids))[:, None] * angles[None, :]
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale

    def rope(x):
        a, b = x[..., :d // 2], x[..., d // 2:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    def linear(x, name):
        return x @ w[name + ".weight"].T + w.get(name + ".bias", 0.0)

    x = w["model.embed_tokens.weight"][ids]
    mask = np.where(np.tri(len(ids), dtype=bool), 0.0, -np.inf)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        split = lambda y, n: y.reshape(len(ids), n, d).transpose(1, 0, 2)
        h = norm(x, w[p + "input_layernorm.weight"])
        q = rope(norm(split(linear(h, p + "self_attn.q_proj"), heads), w[p + "self_attn.q_norm.weight"]))
        k = rope(norm(split(linear(h, p + "self_attn.k_proj"), kv), w[p + "self_attn.k_norm.weight"]))
        v = split(linear(h, p + "self_attn.v_proj"), kv)
        k, v = np.repeat(k, heads // kv, 0), np.repeat(v, heads // kv, 0)
        score = q @ k.transpose(0, 2, 1) / math.sqrt(d) + mask
        score = np.exp(score - score.max(-1, keepdims=True))
        attended = (score / score.sum(-1, keepdims=True)) @ v
        x = x + linear(attended.transpose(1, 0, 2).reshape(len(ids), heads * d), p + "self_attn.o_proj")
        h = norm(x, w[p + "post_attention_layernorm.weight"])
        gate = linear(h, p + "mlp.gate_proj")
        x = x + linear(gate / (1 + np.exp(-gate)) * linear(h, p + "mlp.up_proj"), p + "mlp.down_proj")
    return norm(x, w["model.norm.weight"]) @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file, separators=(",", ":"))
        file.write("\n")
