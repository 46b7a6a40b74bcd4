"""Private by construction: the whole main job works where there is no network at all, and where every call for one is death.

usage: private.py CASE LECTERN FORBID_CONNECT BOOK      CASE: namespace, connect
"""
import os, shutil, signal, subprocess, sys
from place import Place

case, lectern, forbid_connect, book = sys.argv[1:]
with open(book, encoding="utf-8") as file:
    text = file.read()
text = text[text.rindex("CHAPTER XII" if "CHAPTER XII" in text else "CHAPTER 12"):]  # the last chapter, in which the answer stands
CONNECT = "import socket; socket.socket().connect(('127.0.0.1', 9))"

if case == "namespace":
    # Of its own, without any interface that is up; as somebody else than root this needs a namespace of users too.
    under = [shutil.which("unshare"), "-n"] if os.geteuid() == 0 else [shutil.which("unshare"), "-r", "-n"]
    interfaces = subprocess.run([*under, "cat", "/proc/net/dev"], capture_output=True, text=True, check=True).stdout
    assert [line.split(":")[0].strip() for line in interfaces.splitlines()[2:]] == ["lo"], interfaces
    alone = subprocess.run([*under, sys.executable, "-c", CONNECT], capture_output=True, text=True)
    assert "unreachable" in alone.stderr, alone.stderr  # even the machine itself is out of reach
else:
    under = [os.path.abspath(forbid_connect)]
    caught = subprocess.run([*under, sys.executable, "-c", CONNECT], capture_output=True)
    assert caught.returncode == -signal.SIGSYS, caught  # the filter bites

with Place(lectern) as place:
    place.run("read", place.write("book.txt", text), under=under)
    answer = place.json("ask", "When did the Time Traveller vanish?", under=under)[0]
    assert answer["found"] and answer["quotation"]["verified"], answer
    assert "three years ago" in answer["answer"], answer
    assert answer["tokens"]["computed_document"] == 0
    assert place.run("search", "Psychologist", under=under)
    page = place.write("page.html", "<html><body><h1>A page</h1><p>Words to read, from the locked process.</p></body></html>")
    place.run("read", page, under=under)
    for command in (["library"], ["cache", "check", "--read-data"], ["model", "list"], ["remove", "--yes", "1"]):
        place.run(*command, under=under)
print("read, asked, searched, checked and removed without a network")
