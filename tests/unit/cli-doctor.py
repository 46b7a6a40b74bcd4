"""`lectern doctor`: finds each thing that is broken here on purpose, says what to do, and changes nothing.

usage: cli-doctor.py LECTERN FOLDER_OF_LOOPBACK
"""
import hashlib, json, os, shutil, subprocess, sys, tempfile

sys.path.insert(0, sys.argv[2])
from loopback import Server, tiny_model

LECTERN = sys.argv[1]
root = tempfile.TemporaryDirectory(prefix="lectern-doctor-")
data, config = os.path.join(root.name, "data"), os.path.join(root.name, "config")
environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith(("HF_", "LECTERN_REMOTE"))}
environment.update(LECTERN_DATA=data, XDG_CONFIG_HOME=config, LC_ALL="C.UTF-8")


def run(*arguments, code=0, **variables):
    done = subprocess.run([LECTERN, *arguments], capture_output=True, text=True, env={**environment, **variables}, timeout=100)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def doctor(*arguments, code=0, **variables):
    """{(area, level): [text and advice]}"""
    found = {}
    result = json.loads(run("--json", "doctor", *arguments, code=code, **variables))
    assert (result["problems"] > 0) == (code == 1), result
    for finding in result["findings"]:
        assert finding["text"] and (finding["level"] in ("good", "note") or finding["advice"]), finding
        found.setdefault((finding["area"], finding["level"]), []).append(finding["text"] + " " + finding["advice"])
    return found


def snapshot():
    return {os.path.join(f, n): hashlib.sha256(open(os.path.join(f, n), "rb").read()).hexdigest()
            for f, _, names in os.walk(root.name) for n in names if not n.endswith(("-shm", "-wal", ".lock"))}


# Nothing there yet: no fault, and nothing is made.
found = doctor()
assert ("library", "good") in found and not os.path.exists(data) and not os.path.exists(config)
assert any("reads documents in its locked process" in t for t in found["installation", "good"]), found
assert any("draws pages in its locked process" in t for t in found["installation", "good"]), found

# The helpers: missing, and there but unable.
broken = os.path.join(root.name, "no-helper")
with open(broken, "w") as file:
    file.write("#!/bin/sh\nexit 3\n")
os.chmod(broken, 0o755)
for variable, program in (("LECTERN_EXTRACT", "lectern-extract"), ("LECTERN_RENDER", "lectern-render")):
    problems = doctor(code=1, **{variable: broken})["installation", "problem"]
    assert len(problems) == 1 and program in problems[0] and "does not work" in problems[0], problems

# A library that was read into, a model of one's own: all good, in words too, and nothing is changed.
book = os.path.join(root.name, "book.md")
with open(book, "w") as file:
    file.write("# A small book\n\n" + "The gardener planted apple trees, and the rain came late. " * 30 + "\n")
run("read", book)
model = os.path.join(root.name, "tiny")
os.mkdir(model)
for name, content in tiny_model().items():
    with open(os.path.join(model, name), "wb") as file:
        file.write(content)
run("model", "import", model, "--bits", "as-is")
run("settings", "compute.threads", "1")
doctor()
before = snapshot()
found = doctor("--read-data")
assert not [key for key in found if key[1] in ("problem", "warning")], found
assert snapshot() == before
assert "0 problems" in run("doctor") and run("--quiet", "doctor") == ""

# Open files.
library = os.path.join(data, "library.sqlite")
os.chmod(library, 0o644)
assert f"chmod -R go-rwx '{data}'" in doctor(code=1)["permissions", "problem"][0]
subprocess.run(["chmod", "-R", "go-rwx", data], check=True) # as advised

# Settings: one that is not valid, a file that is none, a machine that is missing, a folder that is missing, an own catalogue that is broken.
settings = os.path.join(config, "lectern", "settings.conf")
with open(settings, "w") as file:
    file.write("[network]\ntimeout=soon\n[library]\nwatch=/no/such/folder;\n")
assert len(doctor()["settings", "warning"]) == 2
run("settings", "remote.enabled", "yes")
assert any("second machine" in t for t in doctor(code=1)["settings", "problem"])
with open(settings, "w") as file:
    file.write("nonsense\n")
assert settings in doctor(code=1)["settings", "problem"][0]
os.unlink(settings)
catalogue = run("model", "catalogue", "--edit").strip()
with open(catalogue, "w") as file:
    file.write("{")
assert catalogue in doctor()["settings", "warning"][0]
os.unlink(catalogue)

# Models: one that does not open, a default that is not there, an import that was cut off.
weights = os.path.join(data, "models", "tiny", "model-00001-of-00002.safetensors")
os.rename(weights, weights + "x")
assert "tiny" in doctor(code=1)["models", "problem"][0]
os.rename(weights + "x", weights)
assert "no-such" in doctor(code=1, LECTERN_MODEL="no-such")["models", "problem"][0]
left = os.path.join(data, "models", ".import-abcdef")
os.mkdir(left, 0o700)
assert left in doctor()["caches", "warning"][0]
os.rmdir(left)

# A library that is in order, but may not be written: no word of damage, nor of deleting anything. (Root may write everywhere.)
if os.geteuid() != 0:
    os.chmod(data, 0o500)
    found = doctor(code=1)
    os.chmod(data, 0o700)
    assert "cannot be opened" in found["library", "problem"][0] and "damaged" not in found["library", "problem"][0], found
    assert any("cannot be written" in t for t in found["permissions", "problem"])

# What came with the program, the extractor.
assert any("starter" in t for t in doctor(code=1, LECTERN_RESOURCES=os.path.join(root.name, "nowhere"))["installation", "problem"])
assert any("lectern-extract" in t for t in doctor(code=1, LECTERN_EXTRACT="/bin/false")["installation", "problem"])

# Saved states: a byte of a payload is found when all is read; a byte of a header at once.
states = [os.path.join(f, n) for f, _, names in os.walk(os.path.join(data, "cache")) for n in names if n.endswith(".lkv")]
assert len(states) == 1, states


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x40]))


middle = os.path.getsize(states[0]) // 2
flip(states[0], middle)
doctor()
assert "repair" in doctor("--read-data", code=1)["caches", "problem"][0]
flip(states[0], middle)
flip(states[0], 16)
assert "repair" in doctor(code=1)["caches", "problem"][0]
flip(states[0], 16)
doctor("--read-data")

# The library: pages overwritten.
for suffix in ("-wal", "-shm"):
    if os.path.exists(library + suffix):
        os.unlink(library + suffix)
shutil.copy(library, library + ".kept")
with open(library, "r+b") as file:
    file.seek(4096 * 3)
    file.write(b"\xaa" * 4096 * 8)
assert "damaged" in doctor(code=1)["library", "problem"][0]
os.rename(library + ".kept", library)
doctor()

# The network: only when asked.
server = Server()
run("settings", "remote.url", server.url + "/v1")
doctor(LECTERN_ENDPOINT=server.url)
assert not server.log
server.faults["/api/models"] = lambda handler: handler.send(200, b"[]") or True
server.faults["/v1/models"] = lambda handler: handler.send(200, b'{"data": [{"id": "big-qwen"}]}') or True
found = doctor("--connect", LECTERN_ENDPOINT=server.url)
assert any("big-qwen" in t for t in found["network", "good"]) and len(found["network", "good"]) == 2, found
server.faults["/v1/models"] = lambda handler: handler.send(401) or True
assert "key" in doctor("--connect", code=1, LECTERN_ENDPOINT=server.url)["network", "problem"][0]
server.stop()
assert "offline" in doctor("--connect", code=1, LECTERN_ENDPOINT=server.url)["network", "warning"][0]
