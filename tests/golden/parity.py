#!/usr/bin/env python3
"""Parity at full geometry: random checkpoints of the shapes of Qwen3-0.6B, 1.7B and 4B, their logits by Hugging Face transformers in float32,
and by the engine on the CPU and on a GPU.

    tests/golden/parity.py PROGRAM FOLDER [--sizes 0.6b,1.7b,4b] [--tokens 256] [--seconds 300] [--no-gpu]

PROGRAM: build/tests/golden/parity; for the GPU, LECTERN_GPU_MODULE names the module. FOLDER: for checkpoints (up to 14 GB). It needs torch and
transformers; the size "tiny", which tests this script, is compared with the numpy reference of this folder instead. What --seconds do not
suffice for is left out and said. One line a comparison: the largest difference relative to the largest logit, the root of the mean square
likewise, the mean KL divergence of the next token's distribution, the share of tokens whose likeliest next token is the same.
"""
import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import time

import numpy as np

import qwen3_reference as qwen

SIZES = {  # hidden, layers, heads, KV heads, d, ffn
    "tiny": (64, 2, 4, 2, 128, 96),
    "0.6b": (1024, 28, 16, 8, 128, 3072),
    "1.7b": (2048, 28, 16, 8, 128, 6144),
    "4b": (2560, 36, 32, 8, 128, 9728),
}
BEGAN = time.monotonic()


def left(arguments):
    return arguments.seconds - (time.monotonic() - BEGAN)


def make_tiny(config, folder):
    weights = qwen.random_weights(config, 7)
    weights["model.embed_tokens.weight"] *= 2 / np.sqrt(config["hidden_size"]).astype(np.float32)
    bits = {n: qwen.to_bf16(w) for n, w in weights.items()}
    qwen.write_safetensors(os.path.join(folder, "model.safetensors"), {n: ("BF16", b) for n, b in bits.items()})
    return lambda ids: qwen.forward(config, {n: qwen.from_bf16(b) for n, b in bits.items()}, ids).astype(np.float32)


def shapes(config):
    hidden, d, heads, kv, ffn = (config[k] for k in ("hidden_size", "head_dim", "num_attention_heads", "num_key_value_heads", "intermediate_size"))
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for name, shape in (("input_layernorm", (hidden,)), ("post_attention_layernorm", (hidden,)), ("self_attn.q_norm", (d,)), ("self_attn.k_norm", (d,)),
                            ("self_attn.q_proj", (heads * d, hidden)), ("self_attn.k_proj", (kv * d, hidden)), ("self_attn.v_proj", (kv * d, hidden)),
                            ("self_attn.o_proj", (hidden, heads * d)), ("mlp.gate_proj", (ffn, hidden)), ("mlp.up_proj", (ffn, hidden)),
                            ("mlp.down_proj", (hidden, ffn))):
            yield p + name + ".weight", shape


def make_large(config, folder):
    """Weights such that attention is neither flat nor one-hot and the logits spread by about 2; the reference reads them from the folder."""
    import safetensors.torch
    import torch
    import transformers
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(7)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = {}
    for name, shape in shapes(config):
        noise = torch.randn(shape, device=device)
        if len(shape) == 2: value = noise * ((2 if "embed" in name else 1) / shape[1] ** 0.5)
        else: value = (1.5 if "q_norm" in name or "k_norm" in name else 1.0) * (1 + 0.3 * noise)
        weights[name] = value.to(torch.bfloat16).cpu()
    safetensors.torch.save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})

    def forward(ids):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval().to(device)
        with torch.no_grad():
            logits = model(torch.tensor(ids.astype(np.int64), device=device)[None]).logits[0].float().cpu().numpy()
        del model
        torch.cuda.empty_cache()
        return logits
    return forward


def compare_row(rows):
    p, q = (x.astype(np.float64) for x in rows)
    log_p, log_q = (x - x.max() - np.log(np.exp(x - x.max()).sum()) for x in (p, q))
    return np.abs(p - q).max(), ((p - q) ** 2).sum(), (p ** 2).sum(), (np.exp(log_p) * (log_p - log_q)).sum(), p.argmax() == q.argmax()


def compare(reference, logits):
    with concurrent.futures.ThreadPoolExecutor() as threads:
        worst, square, size, kl, agree = zip(*threads.map(compare_row, zip(reference, logits)))
    return max(worst) / np.abs(reference).max(), (sum(square) / sum(size)) ** 0.5, sum(kl) / len(kl), sum(agree) / len(agree)


def check(name, arguments):
    hidden, layers, heads, kv, d, ffn = SIZES[name]
    config = qwen.config_json(hidden, layers, heads, kv, d, ffn, vocabulary=512 if name == "tiny" else 151936, tied=True, context=40960,
                              dtype="bfloat16", rope_theta=1000000.0)
    folder = os.path.join(arguments.folder, name)
    os.makedirs(folder, exist_ok=True)
    began = time.monotonic()
    forward = (make_tiny if name == "tiny" else make_large)(config, folder)
    qwen.write_json(folder, "config.json", config)
    qwen.write_json(folder, "tokenizer.json", qwen.tokenizer_json())
    ids = np.random.RandomState(3).randint(0, config["vocab_size"] - 300, arguments.tokens).astype(np.uint32)
    ids.tofile(os.path.join(folder, "ids"))
    made = time.monotonic()
    reference = forward(ids)
    print(f"{name}: made in {made - began:.1f} s, reference in {time.monotonic() - made:.1f} s, logits up to {np.abs(reference).max():.2f}", flush=True)
    results = {}

    def step(what, *words, against=None):
        """Runs the program; with `against`, its logits are compared and kept."""
        seconds = left(arguments)
        if seconds < 10:
            print(f"{name} {what}: left out, no time", flush=True)
            return None
        try:
            done = subprocess.run([arguments.program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            print(f"{name} {what}: stopped after {seconds:.0f} s", flush=True)
            return None
        if done.returncode != 0:
            print(f"{name} {what}: FAILED: {done.stdout.strip()}", flush=True)
            return None
        if against is None: return True
        out = os.path.join(folder, "logits")
        logits = np.fromfile(out, np.float32).reshape(reference.shape)
        os.unlink(out)
        worst, apart, kl, agree = compare(against, logits)
        results[what] = {"largest": worst, "rms": apart, "kl": kl, "same_top": agree}
        print(f"{name} {what}: largest {worst:.2e}, rms {apart:.2e}, KL {kl:.2e}, same top {100 * agree:.1f}%; {done.stdout.strip()}", flush=True)
        return logits

    path = lambda file: os.path.join(folder, file)
    memo, packed, rotation = "memo=" + path("memo"), path("packed.safetensors"), path("rotation")
    run = lambda what, model, *words, against=reference: step(what, "logits", model, path("ids"), path("logits"), memo, *words, against=against)
    exact = run("CPU, bf16 weights, exact keys and values", folder, "exact")
    if arguments.gpu: run("GPU, bf16 weights, exact keys and values", folder, "exact", "gpu")
    step("packing", "pack", folder, packed)
    run("CPU, 8-bit weights, exact keys and values", packed, "exact")
    run("CPU, 8-bit weights, 8-bit keys and values", packed)
    if arguments.gpu: run("GPU, 8-bit weights, 8-bit keys and values", packed, "gpu")
    if name in ("tiny", "0.6b") and exact is not None and step("rotation", "rotate", packed, path("ids"), rotation, memo):
        turn, turn_exact = "rotation=" + rotation, "rotation=" + path("rotation-exact")
        if step("rotation of bf16 weights", "rotate", folder, path("ids"), path("rotation-exact"), memo):
            run("CPU, bf16 weights, exact, rotated, against the CPU as it is", folder, "exact", turn_exact, against=exact)
            if arguments.gpu: run("GPU, bf16 weights, exact, rotated, against the CPU as it is", folder, "exact", turn_exact, "gpu", against=exact)
        sparse = run("CPU, 32 features of a key, dense queries", packed, "k=32:128")
        turned = run("CPU, 32 features of a key, dense queries, rotated", packed, "k=32:128", turn)
        if arguments.gpu:
            if sparse is not None: run("GPU, 32 features of a key, dense queries, against the CPU", packed, "k=32:128", "gpu", against=sparse)
            if turned is not None: run("GPU, the same, rotated, against the CPU", packed, "k=32:128", turn, "gpu", against=turned)
    for file in os.listdir(folder): os.unlink(path(file))
    return results


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--sizes", default="0.6b,1.7b,4b")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--no-gpu", dest="gpu", action="store_false")
    given = parser.parse_args()
    everything = {}
    for size in given.sizes.split(","):
        if left(given) < 30:
            print(f"{size}: left out, no time")
            continue
        everything[size] = check(size, given)
    print(json.dumps(everything))
    sys.exit(any(not results for results in everything.values()))
