"""Runs a test program beside a server that has a small model to download.

usage: serve-model.py PROGRAM ARGUMENT…
The program finds LECTERN_ENDPOINT and, as LECTERN_TEST_SERVED, a folder with what is served: the repository org/tiny, a folder of weights in
shards and one GGUF file.
"""
import os, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "promise"))
from loopback import Server, tiny_model

with tempfile.TemporaryDirectory(prefix="lectern-served-") as folder:
    server = Server()
    server.files = tiny_model()
    with open(os.path.join(os.environ["LECTERN_TEST_DATA"], "qwen3", "mixed.gguf"), "rb") as file:
        server.files["tiny-Q8_0.gguf"] = file.read()
    for name, data in server.files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("HF_")}
    environment.update(LECTERN_ENDPOINT=server.url, LECTERN_TEST_SERVED=folder)
    result = subprocess.run(sys.argv[1:], env=environment).returncode
    server.stop()
sys.exit(result if result >= 0 else 128 - result)
