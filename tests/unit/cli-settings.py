"""Drives `lectern settings`, and sees that other commands keep to what was set.

usage: cli-settings.py LECTERN
"""
import json, os, stat, subprocess, sys, tempfile

LECTERN = sys.argv[1]
folder = tempfile.TemporaryDirectory(prefix="lectern-cli-")
environment = dict(os.environ, LECTERN_DATA=os.path.join(folder.name, "data"), XDG_CONFIG_HOME=os.path.join(folder.name, "config"), LC_ALL="C.UTF-8")
for name in ("LECTERN_ENDPOINT", "HF_ENDPOINT", "LECTERN_TOKEN", "HF_TOKEN", "LECTERN_MODEL", "LECTERN_THREADS"):
    environment.pop(name, None)


def run(*arguments, code=0, given="", **variables):
    done = subprocess.run([LECTERN, *arguments], input=given, capture_output=True, text=True, env={**environment, **variables}, timeout=60)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def value(key, **variables):
    return json.loads(run("--json", "settings", key, **variables)[0])["value"]


file = os.path.join(folder.name, "config", "lectern", "settings.conf")
everything = run("settings")[0]
assert "download.endpoint" in everything and "https://huggingface.co" in everything and not os.path.exists(file)
assert run("settings", "--help")[0].startswith("Usage: lectern settings")

# A secret is taken from standard input, kept in a private file, and never shown.
run("settings", "download.token", "-", given="hf_verysecret\n")
assert stat.S_IMODE(os.stat(file).st_mode) == 0o600 and stat.S_IMODE(os.stat(os.path.dirname(file)).st_mode) == 0o700
assert "hf_verysecret" in open(file).read()
for shown in (run("settings"), run("settings", "download.token"), run("--json", "settings")):
    assert "hf_verysecret" not in shown[0] + shown[1]
assert value("download.token") is True
run("settings", "--unset", "download.token")
assert value("download.token") is False

assert "download.endpoint" in run("settings", "download.endpoint", "http://example.com", code=1)[1]
assert "no setting" in run("settings", "nonsense", code=1)[1]
run("settings", "remote.enabled", "yes", "no", code=2)
run("settings", "remote.url", "http://127.0.0.1:8000/v1")
assert value("remote.url") == "http://127.0.0.1:8000/v1"
assert value("download.endpoint", HF_ENDPOINT="https://mirror.example") == "https://mirror.example"
assert "LECTERN_ENDPOINT" in run("library", LECTERN_ENDPOINT="nonsense")[1]

# The default model and the limit hold for other commands.
run("settings", "model.default", "no-such-model")
assert "no-such-model" in run("model", "info", code=1)[1]
run("settings", "--unset", "model.default")
run("settings", "cache.budget", "2GB")
run("cache", "limit", "3GB")
assert value("cache.budget") == 3000000000

# Watched folders.
assert "library.watch" in run("read", "--watched", code=2)[1]
books = os.path.join(folder.name, "books; here")
os.mkdir(books)
with open(os.path.join(books, "one.txt"), "w") as book:
    book.write("A Watched Book\n\nIt is taken in.\n")
run("settings", "library.watch", books)
assert value("library.watch") == [books]
assert "one.txt" in run("--json", "read", "--watched", "--no-model")[0]

# A broken file is said and left; what does not need it works on.
with open(file, "w") as broken:
    broken.write("nonsense\n")
assert file in run("library")[1]
assert file in run("settings", "compute.threads", "2", code=1)[1]
assert open(file).read() == "nonsense\n"
