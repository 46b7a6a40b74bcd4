"""Drives the real `lectern` over a temporary library, without a model: taking in, listing, searching, collections, removing.

usage: cli-library.py LECTERN TEST_DATA
"""
import json, os, stat, subprocess, sys, tempfile

LECTERN, DATA = sys.argv[1:3]
folder = tempfile.TemporaryDirectory(prefix="lectern-cli-")
environment = dict(os.environ, LECTERN_DATA=os.path.join(folder.name, "data"), LC_ALL="C.UTF-8")


def run(*arguments, code=0, given=""):
    done = subprocess.run([LECTERN, *arguments], input=given, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    assert code == 0 or done.stderr, arguments  # a failure says why
    return done.stdout + done.stderr if code else done.stdout


def lines(*arguments, **keys):
    return [json.loads(line) for line in run("--json", *arguments, **keys).splitlines()]


book = os.path.join(DATA, "treasure.txt")
assert "read" in run("--help") and run("--version").startswith("Lectern ")
for command in ("read", "search", "library", "collection", "conversation", "remove"):
    assert run(command, "--help").startswith("Usage: lectern " + command), command
assert "no command" in run("nonsense", code=2)
run(code=2)
assert "which file" in run("read", code=2)
run("read", "--no-such-option", "x", code=2)
assert "--threads" in run("library", "--threads", "none", code=2)
assert "missing.txt" in run("read", "--no-model", "missing.txt", code=1)
# A GPU that was asked for and is not there is an error that says why; without a word about it, work goes on with the processor.
environment["LECTERN_GPU_MODULE"] = os.path.join(folder.name, "no-module.so")
refused = run("bench", "--gpu", "--geometry", "starter", code=1)
assert "the GPU cannot be used" in refused and "no-module.so" in refused, refused

# A folder, one file of it unreadable here; then again: nothing is new.
added = lines("read", "--no-model", "--collection", "Shelf", DATA)
titles = {one["document"]["title"] for one in added}
assert {"Treasure Island", "The Time Machine", "Annual report 2022"} <= titles, titles
assert all(one["added"] == "new" for one in added)
assert all(one["added"] == "unchanged" for one in lines("read", "--no-model", DATA))
assert lines("read", "--no-model", "-", "--title", "From a pipe", given="Words from a pipe.\n")[0]["document"]["title"] == "From a pipe"

# Archives: members are documents; encrypted ones need their password, from a file here.
import zipfile
archive = os.path.join(folder.name, "papers.zip")
with zipfile.ZipFile(archive, "w") as file:
    file.writestr("notes/one.txt", "A note about zinnias.\n")
    file.writestr("notes/picture.png", b"\x89PNG")
taken = lines("read", "--no-model", archive)
assert [one["document"]["source"] for one in taken] == [archive + "/notes/one.txt"], taken
assert lines("search", "zinnias")[0]["document"] == taken[0]["document"]["number"]
assert "no password" in run("read", "--no-model", "--password-file", os.path.join(folder.name, "none"), book, code=1)
run("remove", "--yes", archive + "/notes/one.txt")
assert "--ocr:" in run("read", "--no-model", "--ocr-language", "no-such-language", book, code=1)

# Search: a hit's offsets are characters of the original file.
hit = lines("search", "tarry", "pigtail")[0]
text = open(book, encoding="utf-8", newline="").read()
assert text[hit["source_start"]:hit["source_end"]] == "tarry", hit
assert hit["heading"].startswith("Treasure Island › PART ONE"), hit
assert "pigtail" in hit["snippet"] and "\x02" not in hit["snippet"]
assert lines("search", "tarry", "--collection", "shelf") and not lines("search", "tarry", "--in", "pipe")
assert lines("search", "--", "-tarry") and not lines("search", "xyzzy")
assert "Nothing found" in run("search", "xyzzy")

# Names for documents; what is ambiguous says what it could be.
assert lines("library", "show", "treasure")[0]["headings"][0]["text"] == "PART ONE--The Old Buccaneer"
assert lines("library", "show", book)[0]["author"] == "Robert Louis Stevenson"
assert "Time Machine" in run("library", "show", "e", code=1)
run("library", "rename", "treasure", "Another Island")
assert lines("library", "show", "another")[0]["title"] == "Another Island"
listed = lines("library")
assert len(listed) == len(added) + 1 and len(lines("library", "list", "--collection", "Shelf")) == len(added)

run("collection", "create", "Reports")
run("collection", "add", "Reports", "annual*")
assert {c["name"]: c["documents"] for c in lines("collection")}["Reports"] == 1
run("collection", "take", "Reports", "annual*")
run("collection", "rename", "Reports", "Papers")
run("collection", "remove", "Papers")
run("collection", "remove", "Papers", code=1)

# Conversations: without a model there are none; names that fit none say so.
assert "There is no conversation" in run("conversation") and not lines("conversation")
assert "There is no conversation" in run("conversation", "export", "x", code=1)
assert "needs" in run("conversation", "rename", "x", code=2) and "no “y”" in run("conversation", "y", code=2)
assert "Nothing found" in run("conversation", "search", "pigtail")

# Removing: never without a word.
assert "--yes" in run("remove", "pipe", code=2)
assert lines("remove", "--yes", "pipe")[0]["title"] == "From a pipe"
assert not lines("search", "pipe") and len(lines("library")) == len(added)
run("remove", "--yes", "pipe", code=1)

for place, folders, files in os.walk(environment["LECTERN_DATA"]):
    for name in folders + files + [""]:
        assert stat.S_IMODE(os.stat(os.path.join(place, name)).st_mode) & 0o77 == 0, (place, name)

# A watched folder: what was there, what comes, and an end by Ctrl-C.
import signal
watched = os.path.join(folder.name, "inbox")
os.mkdir(watched)
open(os.path.join(watched, "there.txt"), "w").write("Chrysanthemums were there.\n")
assert "not a folder" in run("watch", book, code=1)
watcher = subprocess.Popen([LECTERN, "--json", "watch", "--no-model", watched], stdout=subprocess.PIPE, text=True, env=environment)
first = json.loads(watcher.stdout.readline())
assert first["event"] == "in" and first["document"]["source"].endswith("there.txt"), first
open(os.path.join(watched, "comes.txt"), "w").write("Delphiniums came.\n")
assert json.loads(watcher.stdout.readline())["path"].endswith("comes.txt")
watcher.send_signal(signal.SIGINT)
assert watcher.wait(60) == 0 and lines("search", "delphiniums")
