#!/usr/bin/env python3
"""Makes tests/data/qwen3/mixed.gguf, mixed-expected.safetensors and blocks.safetensors: a tiny random Qwen3 checkpoint whose matrices are
stored in every block type that is supported, with the logits of the dequantised values; and some blocks of each type with their values.
Also types-expected.safetensors: logits of whole checkpoints in one type each (and in the K_M mixes), whose blocks are random bytes from a
generator that tests/unit/test-gguf-types.c repeats, so that the checkpoints themselves need not be kept.

    tests/golden/make-gguf.py FOLDER       (run by hand: the files are committed)

Quantising and dequantising are written here with numpy from the description of the formats (ggml-common.h), bit field by bit field, and
share nothing with the engine's code. Quantising is simple (nearest in range): any blocks would do.
"""
import os
import struct
import sys

import numpy as np

import qwen3_reference as qwen

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "BF16": 30}


def half(x):
    return np.float32(np.float16(x))


def bits(n, width):
    return [(n >> i) & 1 for i in range(width)]


def number(b):
    return sum(int(v) << i for i, v in enumerate(b))


# One function a type: a block of values -> (bytes, the values that these bytes mean).
def q8_0(x):
    d = half(np.abs(x).max() / 127)
    q = np.clip(np.rint(x / d if d else x * 0), -127, 127).astype(np.int8)
    return struct.pack("<e", d) + q.tobytes(), d * q.astype(np.float32)


def q4_0(x):
    d = half(x[np.abs(x).argmax()] / -8)  # the sign of the scale is that of the largest value, turned
    q = np.clip(np.rint(x / d if d else x * 0) + 8, 0, 15).astype(np.uint8)
    return struct.pack("<e", d) + bytes(int(q[j]) | int(q[j + 16]) << 4 for j in range(16)), d * (q.astype(np.float32) - 8)


def k_scales(scales, minima):
    """The 12 bytes of eight 6-bit scales and minima, from where each bit goes."""
    out = np.zeros((12, 8), int)
    for p in range(8):
        s, m = bits(scales[p], 6), bits(minima[p], 6)
        if p < 4:
            out[p, :6], out[p + 4, :6] = s, m
        else:
            out[p + 4, :4], out[p + 4, 4:] = s[:4], m[:4]
            out[p - 4, 6:], out[p, 6:] = s[4:], m[4:]
    return bytes(number(row) for row in out)


def q_k(x, top):
    """Q4_K (top = 15) and Q5_K (top = 31)."""
    parts = x.reshape(8, 32)
    low = np.maximum(-parts.min(1), 0)
    span = np.maximum(parts.max(1) + low, 1e-9) / top
    d, d_min = half(span.max() / 63), half(max(low.max(), 1e-9) / 63)
    scales = np.clip(np.rint(span / d), 1, 63).astype(int)
    minima = np.clip(np.rint(low / d_min), 0, 63).astype(int)
    step, floor = (d * scales.astype(np.float32))[:, None], (d_min * minima.astype(np.float32))[:, None]
    q = np.clip(np.rint((parts + floor) / step), 0, top).astype(int)
    qs = bytes(int(q[2 * (b // 32)][b % 32] & 15) | int(q[2 * (b // 32) + 1][b % 32] & 15) << 4 for b in range(128))
    qh = bytes(number([q[p][i] >> 4 for p in range(8)]) for i in range(32)) if top == 31 else b""
    return struct.pack("<ee", d, d_min) + k_scales(scales, minima) + qh + qs, (step * q.astype(np.float32) - floor).reshape(-1).astype(np.float32)


def q6_k(x):
    parts = x.reshape(16, 16)
    largest = np.take_along_axis(parts, np.abs(parts).argmax(1)[:, None], 1)[:, 0] / -32  # scales have signs
    d = half(np.abs(largest).max() / 127)
    scales = np.clip(np.rint(largest / d), -127, 127).astype(np.int8)
    step = (d * scales.astype(np.float32))[:, None]
    q = np.clip(np.rint(np.divide(parts, step, out=np.zeros_like(parts), where=step != 0)) + 32, 0, 63).astype(int)
    flat = q.reshape(-1)
    ql, qh = [0] * 128, [0] * 64
    for i in range(256):
        h, j, l = i // 128, i % 128 // 32, i % 32
        ql[64 * h + 32 * (j % 2) + l] |= int(flat[i] & 15) << (4 * (j // 2))
        qh[32 * h + l] |= int(flat[i] >> 4) << (2 * j)
    return bytes(ql) + bytes(qh) + scales.tobytes() + struct.pack("<e", d), (step * (q.astype(np.float32) - 32)).reshape(-1).astype(np.float32)


BLOCKS = {"Q4_0": (32, q4_0), "Q8_0": (32, q8_0), "Q4_K": (256, lambda x: q_k(x, 15)), "Q5_K": (256, lambda x: q_k(x, 31)), "Q6_K": (256, q6_k)}


def encode(kind, x):
    """(bytes, meant values) of an array."""
    if kind == "F32": return x.astype(np.float32).tobytes(), x.astype(np.float32)
    if kind == "F16": return x.astype(np.float16).tobytes(), x.astype(np.float16).astype(np.float32)
    if kind == "BF16": return qwen.to_bf16(x).tobytes(), qwen.from_bf16(qwen.to_bf16(x))
    size, block = BLOCKS[kind]
    done = [block(part) for part in x.reshape(-1, size).astype(np.float32)]
    return b"".join(raw for raw, _ in done), np.concatenate([meant for _, meant in done]).reshape(x.shape)


# ---- checkpoints of random bytes

def random_words(seed, n):
    """splitmix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


def halves_of(raw):
    return raw.copy().view(np.float16)[:, 0].astype(np.float32)[:, None]


def set_scale(blocks, at, exponent):
    """A half of this exponent field, positive, with the block's own random fraction."""
    blocks[:, at + 1] = blocks[:, at + 1] & 3 | exponent << 2


def decode_k(blocks, top):
    d, d_min = halves_of(blocks[:, 0:2]), halves_of(blocks[:, 2:4])
    packed = blocks[:, 4:16].astype(int)
    low, low_min, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([low & 63, rest & 15 | low >> 6 << 4], 1)
    minima = np.concatenate([low_min & 63, rest >> 4 | low_min >> 6 << 4], 1)
    high, q = (blocks[:, 16:48], blocks[:, 48:176]) if top == 31 else (None, blocks[:, 16:144])
    values = []
    for p in range(8):
        part = (q[:, 32 * (p // 2):32 * (p // 2) + 32] >> (4 * (p % 2)) & 15).astype(int)
        if top == 31: part = part + ((high >> p & 1).astype(int) << 4)
        values.append(d * scales[:, p:p + 1].astype(np.float32) * part.astype(np.float32) - d_min * minima[:, p:p + 1].astype(np.float32))
    return np.concatenate(values, 1)


def decode_q6_k(blocks):
    ql, qh, scales, d = blocks[:, :128], blocks[:, 128:192], blocks[:, 192:208].copy().view(np.int8).astype(np.float32), halves_of(blocks[:, 208:210])
    out = np.zeros((len(blocks), 256), np.float32)
    for i in range(256):
        h, j, l = i // 128, i % 128 // 32, i % 32
        q = (ql[:, 64 * h + 32 * (j % 2) + l] >> (4 * (j // 2)) & 15).astype(int) + ((qh[:, 32 * h + l] >> (2 * j) & 3).astype(int) << 4)
        out[:, i] = d[:, 0] * scales[:, i // 16] * (q - 32).astype(np.float32)
    return out


def random_tensor(kind, shape, seed):
    """The values of n random elements, as test-gguf-types.c writes them."""
    n = int(np.prod(shape))
    sizes = {"F32": (1, 4), "F16": (1, 2), "BF16": (1, 2), "Q8_0": (32, 34), "Q4_0": (32, 18), "Q4_K": (256, 144), "Q5_K": (256, 176), "Q6_K": (256, 210)}
    n_values, n_bytes = sizes[kind]
    total = n // n_values * n_bytes
    blocks = random_words(seed, (total + 7) // 8).view(np.uint8)[:total].reshape(-1, n_bytes).copy()
    if kind == "F32":
        u = (blocks.view(np.uint32)[:, 0] >> 8).astype(np.float32) * np.float32(2 ** -24)
        return (0.75 + u * 0.5 if len(shape) == 1 else (u - np.float32(0.5)) * np.float32(0.25)).astype(np.float32).reshape(shape)
    if kind in ("F16", "BF16"):  # magnitudes from 2^-7 to 2^-3
        bits = blocks.view(np.uint16)[:, 0]
        bits = bits & 0x8FFF | 0x2000 if kind == "F16" else bits & 0x81FF | 0x3C00
        return (bits.view(np.float16).astype(np.float32) if kind == "F16" else qwen.from_bf16(bits)).reshape(shape)
    for at, exponent in {"Q8_0": [(0, 4)], "Q4_0": [(0, 8)], "Q4_K": [(0, 3), (2, 6)], "Q5_K": [(0, 2), (2, 6)], "Q6_K": [(208, 1)]}[kind]:
        set_scale(blocks, at, exponent)
    if kind == "Q8_0": values = halves_of(blocks[:, :2]) * blocks[:, 2:].copy().view(np.int8).astype(np.float32)
    elif kind == "Q4_0": values = halves_of(blocks[:, :2]) * (np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.float32) - 8)
    elif kind == "Q6_K": values = decode_q6_k(blocks)
    else: values = decode_k(blocks, 31 if kind == "Q5_K" else 15)
    return values.astype(np.float32).reshape(shape)


def make_types(target):
    config = qwen.config_json(256, 2, 2, 1, 128, 256, tied=True, context=512)
    ids = np.random.RandomState(6).randint(0, 256, 40)
    rows = np.array([0, 13, 26, 39])
    expected = {"ids": ids.astype(np.int32), "rows": rows.astype(np.int32)}
    mixes = {kind: (kind, kind) for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K")}
    mixes.update({"Q4_K_M": ("Q4_K", "Q6_K"), "Q5_K_M": ("Q5_K", "Q6_K")})
    for name, (most, some) in mixes.items():
        weights = {}
        for number, (tensor, array) in enumerate(qwen.random_weights(config, 0).items()):
            # the K_M mixes keep the table, and values and down projections of some layers, in more bits
            kind = "F32" if array.ndim == 1 else some if "embed" in tensor or (".0." in tensor and ("v_proj" in tensor or "down" in tensor)) else most
            weights[tensor] = random_tensor(kind, array.shape, 1000 + number)
        logits = qwen.forward(config, weights, ids)[rows]
        print(name, "logits up to", np.abs(logits).max(), "spread", logits.std())
        expected[name] = logits.astype(np.float32)
    qwen.write_safetensors(os.path.join(target, "types-expected.safetensors"), expected)


# ---- the file

def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def pair(key, value):
    if isinstance(value, str): return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, float): return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list) and isinstance(value[0], str): return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    if isinstance(value, list): return text(key) + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    return text(key) + struct.pack("<II", 4, value)


def gguf_name(name):
    for a, b in (("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"), ("model.layers.", "blk."),
                 ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
                 ("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm"), ("input_layernorm", "attn_norm"),
                 ("post_attention_layernorm", "ffn_norm"), ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down")):
        name = name.replace(a, b)
    return name


def main(target):
    config = qwen.config_json(256, 2, 2, 1, 32, 64, tied=False, context=512)
    kinds = {"embed_tokens": ["Q6_K"], "lm_head": ["Q8_0"], "q_proj": ["Q4_K", "Q5_K"], "k_proj": ["Q5_K", "F16"], "v_proj": ["Q6_K", "Q4_K"],
             "o_proj": ["Q4_0", "BF16"], "gate_proj": ["Q4_K", "Q6_K"], "up_proj": ["Q5_K", "Q4_0"], "down_proj": ["Q8_0", "F32"]}
    meant, entries, data = {}, b"", b""
    weights = qwen.random_weights(config, 77)
    for name, array in weights.items():
        choice = next((k for part, k in kinds.items() if part in name), ["F32"])
        kind = choice[int(name.split(".")[2]) % len(choice)] if ".layers." in name else choice[0]
        raw, meant[name] = encode(kind, array)
        entries += text(gguf_name(name)) + struct.pack("<I", array.ndim) + b"".join(struct.pack("<Q", s) for s in reversed(array.shape))
        entries += struct.pack("<IQ", TYPES[kind], len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    characters = qwen.byte_characters()
    pairs = {"general.architecture": "qwen3", "general.name": "tiny random", "general.license": "cc0-1.0", "qwen3.block_count": 2,
             "qwen3.context_length": 2048, "qwen3.embedding_length": 256, "qwen3.feed_forward_length": 64, "qwen3.attention.head_count": 2,
             "qwen3.attention.head_count_kv": 1, "qwen3.attention.key_length": 32, "qwen3.attention.value_length": 32,
             "qwen3.rope.freq_base": 10000.0, "qwen3.attention.layer_norm_rms_epsilon": 1e-6, "tokenizer.ggml.model": "gpt2",
             "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": [characters[b] for b in range(256)] + qwen.SPECIALS + [f"[PAD{i}]" for i in range(261, 272)],
             "tokenizer.ggml.token_type": [1] * 256 + [3, 3, 3, 4, 4] + [5] * 11, "tokenizer.ggml.merges": ["e n"],
             "tokenizer.ggml.eos_token_id": 258, "tokenizer.chat_template": "{%- if enable_thinking is defined %}"}
    pairs["tokenizer.ggml.tokens"][261], pairs["tokenizer.ggml.token_type"][261] = "en", 1
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(pairs)) + b"".join(pair(k, v) for k, v in pairs.items()) + entries
    with open(os.path.join(target, "mixed.gguf"), "wb") as file: file.write(head + b"\0" * (-len(head) % 32) + data)
    ids = np.random.RandomState(5).randint(0, 256, 48)
    rows = np.arange(0, 48, 6)
    logits = qwen.forward(config, meant, ids)[rows]
    qwen.write_safetensors(os.path.join(target, "mixed-expected.safetensors"),
                           {"ids": ids.astype(np.int32), "rows": rows.astype(np.int32), "logits": logits.astype(np.float32)})
    tensors = {}
    for kind, (size, _) in BLOCKS.items():
        x = (np.random.RandomState(9).standard_t(4, (2, 512)) * np.array([[1.0], [0.02]])).astype(np.float32)
        raw, values = encode(kind, x)
        tensors[kind] = ("U8", np.frombuffer(raw, np.uint8))
        tensors[kind + ".values"] = values.astype(np.float32)
        print(kind, "rounding", np.sqrt(np.mean((values - x) ** 2)) / np.sqrt(np.mean(x ** 2)))
    qwen.write_safetensors(os.path.join(target, "blocks.safetensors"), {k: tensors[k] for k in sorted(tensors, key=lambda k: isinstance(tensors[k], tuple))})


if __name__ == "__main__":
    main(sys.argv[1])
    make_types(sys.argv[1])
