"""Promise 25: whatever a server does to a download, nothing wrong is ever installed, and what is right goes on where it stopped.

usage: promise-25.py LECTERN [CASE …]
"""
import json, os, random, resource, shutil, signal, stat, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from loopback import COMMIT, Server, entry_of, make_certificate, tiny_model

LECTERN = sys.argv[1]
root = tempfile.TemporaryDirectory(prefix="lectern-download-")
FILES = tiny_model()
WEIGHTS = "model-00001-of-00002.safetensors"
LARGE = "model-00002-of-00002.safetensors"


class Case:
    """A fresh library and a fresh server."""

    def __init__(self, tls=None, **settings):
        self.server = Server(tls)
        self.server.files = dict(FILES)
        self.folder = tempfile.mkdtemp(dir=root.name)
        self.models = os.path.join(self.folder, "data", "models")
        self.environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith(("HF_", "LECTERN_"))}
        self.environment.update(LECTERN_DATA=os.path.join(self.folder, "data"), XDG_CONFIG_HOME=os.path.join(self.folder, "config"),
                                LECTERN_RESOURCES=os.environ["LECTERN_RESOURCES"], LC_ALL="C.UTF-8", LECTERN_ENDPOINT=self.server.url)
        for key, value in {"network.timeout": "1", "network.retries": "1", **settings}.items():
            self.run("settings", key, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()
        shutil.rmtree(self.folder)

    def run(self, *arguments, code=0, **variables):
        done = subprocess.run([LECTERN, *arguments], capture_output=True, text=True, env={**self.environment, **variables}, timeout=120)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def download(self, *arguments, code=0, **variables):
        arguments = arguments or ("org/tiny",)
        if "--bits" not in arguments:
            arguments = ("--bits", "as-is", *arguments)
        text = self.run("model", "download", *arguments, code=code, **variables)
        if code != 0:
            assert self.installed() == [], self.installed()
        return text

    def installed(self):
        return sorted(n for n in os.listdir(self.models) if not n.startswith(".")) if os.path.isdir(self.models) else []

    def check_installed(self):
        """The model is there, whole, private, and nothing is left beside it."""
        assert self.installed() == ["tiny"], self.installed()
        folder = os.path.join(self.models, "tiny")
        for name, data in self.server.files.items():
            path = os.path.join(folder, name)
            assert open(path, "rb").read() == data, name
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert not [n for n in os.listdir(folder) if n.endswith((".part", ".etag"))]
        assert os.listdir(os.path.join(self.models, ".download")) == []
        assert json.loads(self.run("--json", "model", "info", "tiny"))["layers"] == 1

    def resolve(self, name):
        return f"/org/tiny/resolve/{COMMIT}/{name}"

    def asked(self, name):
        return [headers for _, path, headers, _ in self.server.log if path == self.resolve(name)]

    def part(self, name):
        return os.path.join(self.models, ".download", "org--tiny", "model", name + ".part")


def case_whole():
    with Case() as case:
        said = case.download()
        assert "apache-2.0" in said and "Installed" in said, said
        case.check_installed()
        assert "org/tiny" in open(os.path.join(case.models, "tiny", "ORIGIN")).read()
        assert "already" in case.run("model", "download", "org/tiny", code=1)
        case.run("model", "remove", "tiny")
        case.download("org/tiny", "--name", "other")
        assert case.installed() == ["other"]


def case_only_what_is_needed():
    with Case() as case:
        case.server.files.update({"pytorch_model.bin": b"x" * 100, "README.md": b"hello", "run.py": b"evil", "other.safetensors": b"y" * 50})
        case.server.extra_entries = [{"type": "directory", "path": "onnx", "oid": "d" * 40, "size": 0}]
        case.download()
        fetched = {path.rsplit("/", 1)[1] for _, path, _, _ in case.server.log if "/resolve/" in path}
        assert fetched == set(FILES), fetched


def case_cut_goes_on_by_itself():
    with Case() as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000, times=2)
        case.download()
        case.check_installed()
        ranges = [headers.get("Range") for headers in case.asked(LARGE)]
        assert ranges == [None, "bytes=30000-", "bytes=60000-"], ranges
        assert all(h["If-Range"] == case.server.etag(LARGE) for h in case.asked(LARGE)[1:])


def case_resume_in_another_process():
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
        assert "goes on from there" in case.download(code=1)
        assert os.path.getsize(case.part(LARGE)) == 30000
        state = json.loads(case.run("--json", "model", "downloads"))
        assert state["repository"] == "org/tiny" and 30000 < state["done"] < state["total"] and not state["running"], state
        n_config = len(case.asked("config.json"))
        case.download()
        case.check_installed()
        assert len(case.asked("config.json")) == n_config and case.asked(LARGE)[-1]["Range"] == "bytes=30000-"
        assert "No download" in case.run("model", "downloads")


def case_killed():
    """kill -9 in the middle of a file; what was there is used."""
    with Case(**{"network.timeout": "60"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.stall_after(LARGE, 40000)
        process = subprocess.Popen([LECTERN, "model", "download", "org/tiny", "--bits", "as-is"], env=case.environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (os.path.exists(case.part(LARGE)) and os.path.getsize(case.part(LARGE)) == 40000):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        assert "already" in case.download(code=1)  # one process at a time
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert case.installed() == []
        case.server.faults.clear()
        case.download()
        case.check_installed()
        assert case.asked(LARGE)[-1]["Range"] == "bytes=40000-"


def case_killed_at_random():
    """kill -9 wherever it is: listing, fetching, checking, installing. There is no model, or a whole one."""
    seed = 25
    rng = random.Random(seed)
    with Case(**{"network.timeout": "60"}) as case:

        def slow(handler):
            data, wanted = FILES[LARGE], handler.headers.get("Range")
            start = int(wanted[6:-1]) if wanted else 0
            handler.send_response(206 if wanted else 200)
            handler.send_header("ETag", case.server.etag(LARGE))
            handler.send_header("Content-Length", str(len(data) - start))
            if wanted:
                handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            handler.end_headers()
            for at in range(start, len(data), 10000):
                handler.wfile.write(data[at:min(at + 10000, len(data))])
                time.sleep(0.005)
            return True

        case.server.faults[case.resolve(LARGE)] = slow
        n_killed = 0
        while n_killed < 5 or not case.installed():
            if case.installed():  # the machine was too fast to be killed five times: once more
                shutil.rmtree(os.path.join(case.models, "tiny"))
            process = subprocess.Popen([LECTERN, "--quiet", "model", "download", "org/tiny", "--bits", "as-is"], env=case.environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            try:
                process.wait(timeout=rng.uniform(0, 0.25) if n_killed < 30 else 60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                n_killed += 1
            if case.installed():
                assert json.loads(case.run("--json", "model", "info", "tiny"))["layers"] == 1
        folder = os.path.join(case.models, "tiny")
        for name, data in FILES.items():
            assert open(os.path.join(folder, name), "rb").read() == data, f"seed {seed}: {name}"


def case_write_fails():
    """A disk that takes no more: said, what was written is kept, and goes on when there is room."""
    with Case(**{"network.retries": "0"}) as case:

        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50000, resource.RLIM_INFINITY))

        done = subprocess.run([LECTERN, "model", "download", "org/tiny"], env=case.environment, capture_output=True, text=True, preexec_fn=limit, timeout=60)
        assert done.returncode == 1 and ".part" in done.stderr and "too large" in done.stderr.lower(), done.stderr
        assert case.installed() == []
        case.download()
        case.check_installed()
        assert any("Range" in headers for name in (LARGE, WEIGHTS) for headers in case.asked(name))


def case_paused_and_discarded():
    with Case(**{"network.timeout": "60"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.stall_after(LARGE, 40000)
        process = subprocess.Popen([LECTERN, "model", "download", "org/tiny"], env=case.environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (os.path.exists(case.part(LARGE)) and os.path.getsize(case.part(LARGE)) == 40000):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert "paused" in process.communicate(timeout=20)[1] and process.returncode == 130
        assert case.installed() == [] and os.path.getsize(case.part(LARGE)) == 40000
        case.run("model", "downloads", "--discard", "org/tiny")
        assert os.listdir(os.path.join(case.models, ".download")) == []
        case.run("model", "downloads", "--discard", "org/tiny", code=1)


def case_wrong_bytes():
    """One bit of a file differs from its hash in the list: large (SHA-256) and small (git's SHA-1)."""
    for name in (LARGE, "tokenizer.json"):
        with Case() as case:
            wrong = bytearray(FILES[name])
            wrong[len(wrong) // 2] ^= 1
            case.server.faults[case.resolve(name)] = lambda handler: handler.send(200, bytes(wrong)) or True
            said = case.download(code=1)
            assert name in said and "deleted" in said, said
            assert not os.path.exists(case.part(name))
            case.server.faults.clear()
            case.download()
            case.check_installed()


def case_damaged_part():
    """Bits that rot in the part between two runs are seen, also when the rest is right."""
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
        case.download(code=1)
        with open(case.part(LARGE), "r+b") as part:
            part.seek(100)
            part.write(b"\xff\xfe")
        case.download()  # once from the beginning, by itself
        case.check_installed()
        assert [headers.get("Range") for headers in case.asked(LARGE)] == [None, "bytes=30000-", None]


def case_ignored_range():
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
        case.download(code=1)
        case.server.faults[case.resolve(LARGE)] = lambda handler: case.server.send_file(handler, LARGE, ignore_range=True) or True
        case.download()
        case.check_installed()


def case_wrong_range():
    """206 for another range than asked for, and for a file of another size: begun anew, never joined."""
    for start, total in ((0, len(FILES[LARGE])), (29999, len(FILES[LARGE])), (30000, 99999999)):
        with Case(**{"network.retries": "0"}) as case:
            case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
            case.download(code=1)
            data = FILES[LARGE]

            def fault(handler):
                if "Range" not in handler.headers:
                    return False
                handler.send(206, data[start:], ETag=case.server.etag(LARGE), Content_Range=f"bytes {start}-{len(data) - 1}/{total}")
                return True

            case.server.faults[case.resolve(LARGE)] = fault
            case.download()
            case.check_installed()


def case_changed_etag():
    """The server's file changed between two runs, the list with it: the old part is of no use, and is not used."""
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
        case.download(code=1)
        case.server.files[LARGE] = tiny_model(seed=2)[LARGE]
        case.download()
        case.check_installed()
    # The same bytes under another tag: If-Range fails, the whole comes.
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
        case.download(code=1)
        case.server.etags[LARGE] = '"another"'
        case.download()
        case.check_installed()
        assert "Range" in case.asked(LARGE)[-1]
    # A server that goes on with another version although If-Range forbids it.
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.cut_after(LARGE, 30000)
        case.download(code=1)
        data = FILES[LARGE]

        def fault(handler):
            if "Range" not in handler.headers:
                return False
            handler.send(206, b"\0" * (len(data) - 30000), ETag='"another"', Content_Range=f"bytes 30000-{len(data) - 1}/{len(data)}")
            return True

        case.server.faults[case.resolve(LARGE)] = fault
        case.download()
        case.check_installed()
    # A content address in the reply that is not the list's.
    with Case() as case:
        case.server.faults[case.resolve(LARGE)] = lambda handler: case.server.send_file(handler, LARGE, X_Linked_Etag='"' + "0" * 64 + '"') or True
        assert "another version" in case.download(code=1)


def case_stalled():
    with Case(**{"network.retries": "0"}) as case:
        case.server.faults[case.resolve(LARGE)] = case.server.stall_after(LARGE, 20000)
        assert "nothing for 1 s" in case.download(code=1)
        case.server.faults.clear()
        case.download()
        case.check_installed()
        assert case.asked(LARGE)[-1]["Range"] == "bytes=20000-"


def case_cut_for_ever():
    with Case() as case:
        case.server.faults[case.resolve(LARGE)] = lambda handler: handler.cut() or True
        assert "kept" in case.download(code=1)
        assert 2 <= len(case.asked(LARGE)) <= 4  # one retry; libcurl asks again by itself where a kept connection had died


def case_too_long_and_too_short():
    for data in (FILES[LARGE] + b"more", FILES[LARGE][:-1]):
        with Case(**{"network.retries": "0"}) as case:
            case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(200, data) or True
            assert "bytes" in case.download(code=1)
    # Without a length: more than the list says, and an end before its end.
    for data in (FILES[LARGE] * 3, FILES[LARGE][:-100]):
        with Case(**{"network.retries": "0"}) as case:

            def fault(handler):
                handler.protocol_version = "HTTP/1.0"
                handler.send_response(200)
                handler.end_headers()
                handler.wfile.write(data)
                handler.close_connection = True
                return True

            case.server.faults[case.resolve(LARGE)] = fault
            case.download(code=1)
    with Case() as case:
        case.server.faults[case.resolve(LARGE)] = lambda handler: case.server.send_file(handler, LARGE, Content_Encoding="gzip") or True
        assert "compressed" in case.download(code=1)


def case_redirects():
    # As Hugging Face does it: to a content server, which is given no token.
    with Case() as case, Case() as content:
        content.server.files = {LARGE: FILES[LARGE]}
        sha = entry_of(LARGE, FILES[LARGE])["lfs"]["oid"]
        content.server.faults["/blob"] = lambda handler: content.server.send_file(handler, LARGE) or True
        case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(
            302, Location=content.server.url + "/blob?signature=1", X_Linked_Etag=f'"{sha}"') or True
        case.run("settings", "download.token", "hf_secret")
        case.download()
        case.check_installed()
        assert case.asked(LARGE)[0]["Authorization"] == "Bearer hf_secret"
        assert content.server.log and all("Authorization" not in headers for _, _, headers, _ in content.server.log)
    for target in ("http://example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://user@127.0.0.1/x", "http://192.168.0.1/x", ""):
        with Case() as case:
            case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(302, Location=target) or True
            assert "redirects" in case.download(code=1), target
    with Case() as case:  # in circles
        case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(302, Location=case.resolve(LARGE)) or True
        assert "circles" in case.download(code=1)


def case_certificates():
    """A certificate that nobody vouches for is refused; one that is vouched for serves, but never leads to an open connection."""
    tls = make_certificate(root.name)
    with Case(tls) as case:
        assert "certificate" in case.download(code=1)
        assert not case.server.log
        with Case() as other:
            case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(302, Location=other.server.url + "/x") or True
            assert "from https to http" in case.download(code=1, SSL_CERT_FILE=tls[0])
            assert not other.server.log
        case.server.faults.clear()
        case.download(SSL_CERT_FILE=tls[0])
        case.check_installed()


def case_gguf():
    """One file of several is enough: chosen by name, or the one in 8 bits."""
    with open(os.path.join(os.environ["LECTERN_TEST_DATA"], "qwen3", "mixed.gguf"), "rb") as file:
        data = file.read()
    with Case(**{"network.retries": "0"}) as case:
        case.server.files = {"tiny-Q8_0.gguf": data, "tiny-Q4_0.gguf": b"another", "config.json": FILES["config.json"]}
        case.server.faults[case.resolve("tiny-Q8_0.gguf")] = case.server.cut_after("tiny-Q8_0.gguf", 3000)
        case.download(code=1)
        case.download()
        assert case.installed() == ["tiny.gguf"] and open(os.path.join(case.models, "tiny.gguf"), "rb").read() == data
        assert case.asked("tiny-Q8_0.gguf")[-1]["Range"] == "bytes=3000-" and len(case.asked("config.json")) == 0
        assert json.loads(case.run("--json", "model", "info", "tiny"))["layers"] >= 1
        case.download("org/tiny", "--file", "tiny-Q8_0.gguf", "--name", "named")
        assert case.installed() == ["named.gguf", "tiny.gguf"]
        case.run("model", "remove", "named")


def case_statuses():
    api = "/api/models/org/tiny/revision/main"
    for status, word in ((401, "token"), (403, "accepted"), (404, "no such repository"), (500, "500"), (418, "418")):
        with Case() as case:
            case.server.faults[api] = lambda handler: handler.send(status, b'{"error": "because\\u001b[31m so"}') or True
            said = case.download(code=1)
            assert word in said and "because" in said and "\x1b" not in said, said
        with Case(**{"network.retries": "0"}) as case:
            case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(status, b"<html>no</html>") or True
            assert "<html" not in case.download(code=1)
    with Case() as case:  # asked too often: waits as long as it is told to, and goes on
        left = [1]

        def busy(handler):
            if left[0] == 0:
                return False
            left[0] -= 1
            handler.send(429, Retry_After="1")
            return True

        case.server.faults[case.resolve(LARGE)] = busy
        assert "too often" in case.download()
        case.check_installed()
    with Case() as case:  # for so long that it is left alone
        case.server.faults[case.resolve(LARGE)] = lambda handler: handler.send(429, Retry_After="600") or True
        assert "10 min" in case.download(code=1)
        assert len(case.asked(LARGE)) == 1


def case_names():
    """Names that would leave the folder, or hide in it, are never asked for nor written."""
    with Case() as case:
        outside = os.path.join(case.folder, "data", "evil.safetensors")
        names = ["../../../../evil.safetensors", "..", "model-../../x.safetensors", "/etc/model.safetensors", ".hidden.safetensors",
                 "model\\..\\x.safetensors", "model x.safetensors", "model-\u202e.safetensors", "a/model.safetensors", "model" + "x" * 300 + ".safetensors"]
        case.server.extra_entries = [{**entry_of("model.safetensors", b"evil"), "path": name} for name in names]
        case.download()
        case.check_installed()
        assert not os.path.exists(outside)
        fetched = {path.split("/", 5)[-1] for _, path, _, _ in case.server.log if "/resolve/" in path}
        assert fetched == set(FILES), fetched
    with Case() as case:
        for name in ("../tiny", "org/..", "org/../tiny", "org/ti ny", "tiny", "/org/tiny", "org/tiny/more", "-x/y"):
            assert "lectern" in case.download("--", name, code=1), name
        for more in (("--revision", "../main"), ("--file", "../x.gguf"), ("--name", "../x"), ("--name", ".x")):
            case.download("org/tiny", *more, code=1)
        assert not case.server.log  # refused before anything was asked


def case_lists():
    """What is no list, has no hashes or holds impossible sizes is refused in words."""
    tree, sound = f"/api/models/org/tiny/tree/{COMMIT}", [entry_of(name, data) for name, data in FILES.items()]

    def without(index, *keys):
        entries = json.loads(json.dumps(sound))
        for key in keys:
            entries[index].pop(key)
        return entries

    weights = [i for i, e in enumerate(sound) if e["path"] == LARGE][0]
    config = [i for i, e in enumerate(sound) if e["path"] == "config.json"][0]
    huge, short = json.loads(json.dumps(sound)), json.loads(json.dumps(sound))
    huge[config]["size"] = 1 << 40
    short[weights]["lfs"]["oid"] = "1234"
    bodies = [b"", b"nonsense", b"{}", b"[1]", b"[" * 100000, b"[]", json.dumps(without(weights, "lfs")).encode(), json.dumps(without(config, "oid")).encode(),
              json.dumps(without(config, "size")).encode(), json.dumps(huge).encode(), json.dumps(short).encode(), b'[{"type": "file", "path": 7}]',
              json.dumps([{**sound[weights], "path": "model\0.safetensors"}]).encode(), b"[" + b" " * (17 << 20) + b"]", json.dumps([e for e in sound if e["path"] != "config.json"]).encode()]
    for body in bodies:
        with Case() as case:
            case.server.faults[tree] = lambda handler: handler.send(200, body) or True
            case.download(code=1)
    with Case() as case:  # pages
        case.server.faults[tree] = lambda handler: handler.send(200, json.dumps(sound[:2] if "cursor" not in handler.path else sound[2:]).encode(), **(
            {} if "cursor" in handler.path else {"Link": f'<{case.server.url}{tree}?cursor=2>; rel="next"'})) or True
        case.download()
        case.check_installed()
    for link in (f'<{{}}{tree}>; rel="next"', '<http://127.0.0.1:1/x>; rel="next"', '<file:///etc/passwd>; rel="next"'):
        with Case() as case:
            case.server.faults[tree] = lambda handler: handler.send(200, json.dumps(sound).encode(), Link=link.format(case.server.url)) or True
            case.download(code=1)


def case_converted():
    """Stored once, with 8 bits unless told otherwise: a folder, a GGUF file; what it will need is said, nothing is left beside it."""
    with open(os.path.join(os.environ["LECTERN_TEST_DATA"], "qwen3", "mixed.gguf"), "rb") as file:
        gguf = file.read()
    for files, bits, kind in ((FILES, (), "q8"), (FILES, ("--bits", "4"), "q4"), ({"tiny-Q8_0.gguf": gguf}, ("--bits", "8"), "q8")):
        with Case() as case:
            case.server.files = dict(files)
            said = case.run("model", "download", "org/tiny", *bits)
            assert "of memory" in said and "on the disk" in said and "tokens/s" in said and "Installed" in said, said
            assert case.installed() == ["tiny.safetensors"], case.installed()
            path = os.path.join(case.models, "tiny.safetensors")
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            info = json.loads(case.run("--json", "model", "info", "tiny"))
            assert info["weight_types"] == kind and info["layers"] >= 1, info
            assert not [name for name in os.listdir(case.models) if name not in ("tiny.safetensors", ".download")]
            assert os.listdir(os.path.join(case.models, ".download")) == []
            assert "already" in case.run("model", "download", "org/tiny", *bits, code=1)
    with Case() as case:
        assert "--bits" in case.run("model", "download", "org/tiny", "--bits", "5", code=2) and not case.server.log


def case_too_much_for_this_machine():
    """What it will need of memory, disk and time follows from config.json: said, or refused, before any weights are asked for."""
    config = json.loads(FILES["config.json"])
    with Case() as case:
        said = case.run("model", "download", "org/tiny")
        assert said.count("of memory") == 1 and "tokens/s" in said and "Installed" in said, said
    for bits in ("8", "as-is"):
        with Case() as case:
            case.server.files["config.json"] = json.dumps({**config, "hidden_size": 65536, "intermediate_size": 262144, "num_hidden_layers": 200}).encode()
            said = case.download("org/tiny", "--bits", bits, code=1)
            assert "this machine has" in said or "on the disk" in said, said
            assert not case.asked(LARGE) and not case.asked(WEIGHTS)


def case_killed_while_converting():
    """kill -9 wherever it is: there is no model, or a whole one, and what was fetched is not fetched again."""
    rng, n_killed = random.Random(26), 0
    with Case() as case:
        while n_killed < 8:
            process = subprocess.Popen([LECTERN, "--quiet", "model", "download", "org/tiny"], env=case.environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            try:
                process.wait(timeout=rng.uniform(0.02, 0.3))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                n_killed += 1
            if case.installed():
                assert case.installed() == ["tiny.safetensors"] and json.loads(case.run("--json", "model", "info", "tiny"))["weight_types"] == "q8"
                os.unlink(os.path.join(case.models, "tiny.safetensors"))
        case.run("model", "download", "org/tiny")
        assert sorted(os.listdir(case.models)) == [".download", "tiny.safetensors"], os.listdir(case.models)  # nothing is left of the killed ones
        assert case.installed() == ["tiny.safetensors"]
        assert json.loads(case.run("--json", "model", "info", "tiny"))["weight_types"] == "q8"


def case_not_a_model():
    """Whole and with the right hashes, but nothing that runs: not installed; another kind of model is seen before its weights are fetched."""
    with Case() as case:
        case.server.files["config.json"] = b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'
        assert "llama" in case.download(code=1)
        assert not case.asked(LARGE)
    with Case() as case:
        case.server.files[LARGE] = b"\xff" * 1000
        said = case.download(code=1)
        assert "not installed" in said and "--discard" in said, said
    with Case() as case:
        case.server.files = {"model-Q8_0.gguf": b"GGUF" + b"\xff" * 500}
        assert "not installed" in case.download(code=1)
        case.server.files = {"a.gguf": b"GGUF1", "b.gguf": b"GGUF2"}
        said = case.download(code=1)
        assert "a.gguf" in said and "--file" in said, said


def case_offline():
    with Case() as case:
        case.server.stop()
        said = case.download(code=1)
        assert "offline" in said, said


def case_proxy():
    """Through a proxy where one is set; never for this machine."""
    with Case() as case, Case() as proxy:
        asked = []
        proxy.server.answer = lambda handler: (asked.append(handler.path), handler.send(502))
        case.run("settings", "network.proxy", proxy.server.url)
        case.download()
        case.check_installed()
        assert not proxy.server.log
        # https to elsewhere goes through it, and its refusal is said.
        case.run("model", "remove", "tiny")
        proxy.server.http.RequestHandlerClass.do_CONNECT = lambda handler: (asked.append(handler.path), handler.send(502))
        case.download(code=1, LECTERN_ENDPOINT="https://models.example")
        assert asked == ["models.example:443"], asked


def case_disk_full():
    """A list with sizes that do not fit on the disk: refused before a byte of them is asked for."""
    with Case() as case:
        case.server.extra_entries = [{**entry_of("model.safetensors", b"x"), "lfs": {"oid": "0" * 64, "size": 1 << 40}}]
        said = case.download(code=1)
        assert "free space" in said, said
        assert not [path for _, path, _, _ in case.server.log if "/resolve/" in path]


def case_catalogue():
    with Case() as case:
        listed = [json.loads(line) for line in case.run("--json", "model", "catalogue").splitlines()]
        assert len(listed) >= 5 and all(e["licence"] and e["bytes"] > 0 and "/" in e["repository"] for e in listed)
        own = case.run("model", "catalogue", "--edit").strip()
        with open(own) as file:
            catalogue = json.load(file)
        catalogue["models"].append({"name": "mine", "repository": "org/tiny", "licence": "MIT"})
        with open(own, "w") as file:
            json.dump(catalogue, file)
        assert "mine" in case.run("model", "catalogue") and not case.server.log
        case.download("mine")
        assert case.installed() == ["mine"]
        with open(own, "w") as file:
            file.write('{"models": [{"name": "mine", "repository": "../x"}]}')
        assert own in case.run("model", "catalogue", code=1)


wanted = sys.argv[2:]
cases = [value for name, value in sorted(globals().items()) if name.startswith("case_") and (not wanted or name[5:] in wanted)]
for run in cases:
    started = time.monotonic()
    run()
    print(f"{run.__name__}: right, {time.monotonic() - started:.1f} s", flush=True)
