"""Times of dense attention through PyTorch (cuDNN, FlashAttention-2), for the table of kernels/cuda/README.md: run it beside the bench
program of tests/cuda on the same machine. The second-level cache is read over before each run; medians, 10th and 90th percentile."""
import torch, statistics
import torch.nn.functional as F
from torch.nn.attention import sdpa_kernel, SDPBackend
flush32 = torch.zeros(64 << 20, dtype=torch.int32, device="cuda")
def time(fn, n):
    ts = []
    for i in range(n + 3):
        flush32.sum()
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record(); fn(); b.record(); b.synchronize()
        if i >= 3: ts.append(a.elapsed_time(b) * 1000)
    ts.sort()
    return ts[len(ts) // 2], ts[len(ts) // 10], ts[len(ts) * 9 // 10]
def rand(*s): return torch.randn(*s, dtype=torch.bfloat16, device="cuda")
for name, back in (("cuDNN", SDPBackend.CUDNN_ATTENTION), ("FlashAttention-2", SDPBackend.FLASH_ATTENTION)):
    with sdpa_kernel(back):
        for n in (32768, 131072, 524288):
            q, k, v = rand(1, 16, 1, 128), rand(1, 8, n, 128), rand(1, 8, n, 128)
            try: print(f"{name}: decode {n} keys: %.1f us (%.1f .. %.1f)" % time(lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), 20), flush=True)
            except RuntimeError as e: print(name, "decode", n, "refused:", str(e).splitlines()[0])
        for n in (2048, 32768, 131072):
            q, k, v = rand(1, 16, n, 128), rand(1, 8, n, 128), rand(1, 8, n, 128)
            try: print(f"{name}: prefill {n} tokens: %.0f us (%.0f .. %.0f)" % time(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True), 5), flush=True)
            except RuntimeError as e: print(name, "prefill", n, "refused:", str(e).splitlines()[0])
