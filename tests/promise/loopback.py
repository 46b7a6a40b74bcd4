"""A small HTTP server on this machine that misbehaves as it is told, and a tiny model to serve; for promise-25.py and remote.py.

Owns: the server, faults that a test chooses for a path, a log of what was asked. Does not own: what is right (the tests).
"""
import hashlib, json, random, re, ssl, struct, subprocess, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "a" * 40


def tiny_model(seed=1):
    """{file name: bytes} of a random Qwen3 that Lectern opens, its weights in two shards of about 100 and 200 kB."""
    rng, hidden, heads, kv, d, ffn, vocabulary = random.Random(seed), 64, 4, 2, 16, 96, 320
    config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": vocabulary, "hidden_size": hidden, "num_hidden_layers": 1,
              "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": d, "intermediate_size": ffn, "rope_theta": 10000.0,
              "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": True, "max_position_embeddings": 512, "torch_dtype": "float32"}
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
    layer = {"input_layernorm.weight": (hidden,), "self_attn.q_proj.weight": (heads * d, hidden), "self_attn.k_proj.weight": (kv * d, hidden),
             "self_attn.v_proj.weight": (kv * d, hidden), "self_attn.o_proj.weight": (hidden, heads * d), "self_attn.q_norm.weight": (d,),
             "self_attn.k_norm.weight": (d,), "post_attention_layernorm.weight": (hidden,), "mlp.gate_proj.weight": (ffn, hidden),
             "mlp.up_proj.weight": (ffn, hidden), "mlp.down_proj.weight": (hidden, ffn)}
    shapes.update({"model.layers.0." + name: shape for name, shape in layer.items()})
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's byte characters
    characters = {b: chr(b) for b in visible}
    characters.update({b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in characters)})
    added = [{"id": 256 + i, "content": text, "special": True} for i, text in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"))]
    tokenizer = {"added_tokens": added, "model": {"type": "BPE", "vocab": {characters[b]: b for b in range(256)}, "merges": []},
                 "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}}
    files = {"config.json": json.dumps(config).encode(), "tokenizer.json": json.dumps(tokenizer).encode(),
             "generation_config.json": b'{"eos_token_id": 258}'}
    names, index = list(shapes), {"metadata": {}, "weight_map": {}}
    for shard, part in enumerate((names[:1], names[1:]), 1):
        header, data = {}, b""
        for name in part:
            n = 1
            for size in shapes[name]:
                n *= size
            values = struct.pack(f"<{n}f", *(rng.gauss(0, 0.1) for _ in range(n)))
            header[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [len(data), len(data) + len(values)]}
            data += values
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        file = f"model-{shard:05}-of-00002.safetensors"
        files[file] = struct.pack("<Q", len(text)) + text + data
        index["weight_map"].update({name: file for name in part})
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    return files


def make_certificate(folder):
    """A certificate of its own for 127.0.0.1 and its key: two paths."""
    certificate, key = folder + "/certificate.pem", folder + "/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return certificate, key


def entry_of(path, data):
    """A file as the tree interface lists it: small ones by their git blob's SHA-1, large ones by SHA-256."""
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry = {"type": "file", "oid": blob, "size": len(data), "path": path}
    if path.endswith((".safetensors", ".gguf")):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        entry["oid"] = "c" * 40
    return entry


class Server:
    """faults: {path: function(handler) -> True when it answered}. Everything asked is in `log` as (method, path, headers, body)."""

    def __init__(self, tls=None):
        server = self
        self.faults, self.log, self.files, self.extra_entries, self.etags = {}, [], {}, [], {}
        self.license, self.release = "apache-2.0", threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else each body waits for its header's delayed acknowledgement

            def log_message(self, *_):
                pass

            def handle_one(self, method):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
                self.body = body
                server.log.append((method, self.path, dict(self.headers), body))
                fault = server.faults.get(self.path.split("?")[0])
                if not (fault and fault(self)):
                    server.answer(self)

            def do_GET(self):
                self.handle_one("GET")

            def do_POST(self):
                self.handle_one("POST")

            def send(self, status, body=b"", close=False, **headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if "Content_Length" not in headers and "Transfer_Encoding" not in headers:
                    self.send_header("Content-Length", str(len(body)))
                if close:
                    self.send_header("Connection", "close")
                    self.close_connection = True
                self.end_headers()
                self.wfile.write(body)

            def cut(self):
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):  # a client that goes away is part of the tests
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.http.server_port}"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stop(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()

    def etag(self, path):
        return self.etags.get(path) or '"' + hashlib.md5(self.files[path]).hexdigest() + '"'

    def answer(self, handler):
        """As Hugging Face answers."""
        path = handler.path.split("?")[0]
        if re.fullmatch(r"/api/models/org/tiny/revision/main", path):
            return handler.send(200, json.dumps({"sha": COMMIT, "cardData": {"license": self.license}}).encode())
        if path == f"/api/models/org/tiny/tree/{COMMIT}":
            entries = [entry_of(name, data) for name, data in self.files.items()]
            return handler.send(200, json.dumps(entries + self.extra_entries).encode())
        match = re.fullmatch(rf"/org/tiny/resolve/{COMMIT}/([^/]+)", path)
        if match and match[1] in self.files:
            return self.send_file(handler, match[1])
        return handler.send(404, b'{"error": "Repository not found"}')

    def send_file(self, handler, name, ignore_range=False, **more):
        data, wanted = self.files[name], re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        if wanted and not ignore_range and condition in (None, self.etag(name)):
            start = int(wanted[1])
            if start >= len(data):
                return handler.send(416, Content_Range=f"bytes */{len(data)}")
            return handler.send(206, data[start:], ETag=self.etag(name), Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}", **more)
        return handler.send(200, data, ETag=self.etag(name), **more)

    def cut_after(self, name, n, times=1):
        """A fault: sends n bytes of what was asked for, then cuts the connection."""
        left = [times]

        def fault(handler):
            if left[0] == 0:
                return False
            left[0] -= 1
            data, wanted = self.files[name], re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
            start = int(wanted[1]) if wanted else 0
            handler.send_response(206 if wanted else 200)
            handler.send_header("ETag", self.etag(name))
            handler.send_header("Content-Length", str(len(data) - start))
            if wanted:
                handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            handler.end_headers()
            handler.wfile.write(data[start:start + n])
            handler.cut()
            return True

        return fault

    def stall_after(self, name, n):
        """A fault: sends n bytes, then nothing until the server is stopped."""

        def fault(handler):
            handler.send_response(200)
            handler.send_header("ETag", self.etag(name))
            handler.send_header("Content-Length", str(len(self.files[name])))
            handler.end_headers()
            handler.wfile.write(self.files[name][:n])
            handler.wfile.flush()
            self.release.wait(60)
            handler.close_connection = True
            return True

        return fault
