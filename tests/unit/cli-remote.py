"""A second machine that answers: what is sent to it, what is made of its answer, and what it cannot do.

usage: cli-remote.py LECTERN FOLDER_OF_LOOPBACK
"""
import json, os, re, subprocess, sys, tempfile, time

sys.path.insert(0, sys.argv[2])
from loopback import Server

LECTERN = sys.argv[1]
folder = tempfile.TemporaryDirectory(prefix="lectern-remote-")
server, elsewhere = Server(), Server()
environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("LECTERN_REMOTE")}
environment.update(LECTERN_DATA=os.path.join(folder.name, "data"), XDG_CONFIG_HOME=os.path.join(folder.name, "config"), LC_ALL="C.UTF-8")
CHAT, MODELS = "/v1/chat/completions", "/v1/models"


def run(*arguments, code=0, seconds=60):
    started = time.monotonic()
    done = subprocess.run([LECTERN, *arguments], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    assert time.monotonic() - started < seconds, arguments
    return done.stdout, done.stderr


def ask(*arguments, **keys):
    out, said = run("--json", "ask", "--remote", *arguments, **keys)
    return (json.loads(out) if out else None), said


def stream(*texts, finish="stop", end=True):
    """A fault that streams these texts as chunks."""

    def fault(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        for text in texts:
            handler.wfile.write(b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n")
        if end:
            handler.wfile.write(b"data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": finish}]}).encode() + b"\n\ndata: [DONE]\n\n")
        handler.close_connection = True
        return True

    return fault


def write(handler, *pieces, **headers):
    handler.send_response(200)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    for piece in pieces:
        handler.wfile.write(piece)
    handler.close_connection = True
    return True


def book(title, fact):
    path = os.path.join(folder.name, title + ".md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"# {title}\n\n" + "".join(f"## Of year {y}\n\nIn year {y} the gardener planted {y % 7} apple trees, and it rained. " * 3 + "\n\n" for y in range(1800, 1810)))
        file.write(f"## Of the people\n\n{fact}\n\nNothing else happened that year.\n")
    return path


run("read", book("North house", "Katya Brandt has the secret code 7269234, and the café knew."), book("South house", "Nobody had a code."))
QUOTED = "Katya Brandt has the secret code 7269234, and the café knew."
question = "Which secret code has Katya Brandt?"

# Off by default, and nothing is asked of anybody before a machine is set.
assert "remote.url" in run("ask", "--remote", question, code=1)[1]
run("settings", "remote.url", server.url + "/v1")
run("settings", "remote.key", "sk-secret")
run("settings", "remote.timeout", "1")
assert "7269234" in run("ask", question)[0] and not server.log
run("ask", "--remote", "--local", question, code=2)

# A true quotation is found in the document; what leaves is said, and is the question and passages, no more.
server.faults[MODELS] = lambda handler: handler.send(200, b'{"data": [{"id": "big-qwen"}]}') or True
server.faults[CHAT] = stream("\u201cKatya Brandt has the sec", "ret code 7269234, and the café knew.\u201d\n", "7269234")
answer, said = ask("-d", "North", question)
assert "sends the question and the text of" in said and f"127.0.0.1:{server.http.server_port}" in said, said
assert answer["found"] and answer["quotation"]["verified"] and answer["quotation"]["text"] == QUOTED and answer["quotation"]["document"] == "North house"
assert answer["answer"].endswith("7269234") and answer["model"] == "big-qwen" and answer["remote"] and answer["complete"]
assert answer["tokens"]["computed_document"] == 0
method, path, headers, body = server.log[-1]
sent = json.loads(body)
assert (method, path) == ("POST", CHAT) and headers["Authorization"] == "Bearer sk-secret" and sent["model"] == "big-qwen" and sent["stream"]
prompt = sent["messages"][1]["content"]
assert question in prompt and QUOTED in prompt and len(body) < 60000
assert folder.name not in body.decode() and "South" not in body.decode() and ".md" not in body.decode()
out, said = run("ask", "--remote", question)
assert "answered by big-qwen" in out and QUOTED in out, out

# A made-up quotation is shown as not found; a reply without one gets the likeliest sentence; "not in these documents" is an answer.
server.faults[CHAT] = stream('"Katya Brandt has the secret code 1111111 and a hat."\n1111111')
answer, _ = ask(question)
assert not answer["quotations"][0]["verified"] and answer["quotations"][0]["section"] is None
server.faults[CHAT] = stream("The secret code of Katya Brandt is 7269234.")
answer, _ = ask(question)
assert answer["found"] and answer["quotation"]["kind"] == "likely" and "7269234" in answer["quotation"]["text"]
server.faults[CHAT] = stream("Not in these documents.")
assert not ask("Who was the king?")[0]["found"]

# The setting makes it the default; --local does without it.
run("settings", "remote.enabled", "yes")
n = len(server.log)
run("ask", question)
assert [path for _, path, _, _ in server.log[n:]] == [MODELS, CHAT]
run("ask", "--local", question)
assert len(server.log) == n + 2
run("settings", "--unset", "remote.enabled")

# A model of its own name; a reply without a stream; thinking aloud; a cut by length.
run("settings", "remote.model", "mine")
server.faults[CHAT] = lambda handler: handler.send(200, json.dumps({"choices": [{"message": {"content": f'"{QUOTED}"\n7269234'}, "finish_reason": "stop"}]}).encode()) or True
assert ask(question)[0]["quotation"]["verified"] and json.loads(server.log[-1][3])["model"] == "mine"
server.faults[CHAT] = stream("<think>Katya? \u201csecret\u201d", "</think>\n\n7269234", finish="length")
answer, _ = ask(question)
assert answer["answer"] == "7269234" and not answer["complete"]

# Many documents, one after the other.
server.faults[CHAT] = stream("7269234")
rows = run("--json", "ask", "--remote", "--each", question)
assert len(rows[0].splitlines()) == 2 and "Titles, file names" in rows[1]

# Hostile: huge, endless, not UTF-8, no JSON, no end, an error in the middle, nothing. Each ends soon, in words, with exit code 1.
huge = b"data: " + json.dumps({"choices": [{"delta": {"content": "x" * 5000}}]}).encode() + b"\n\n"
server.faults[CHAT] = lambda handler: write(handler, *[huge] * 3000)
answer, _ = ask(question, seconds=30)
assert len(answer["answer"]) <= 256 * 1024 and not answer["complete"]


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b": ping\n\n" * 10000)


server.faults[CHAT] = endless
ask(question, code=1, seconds=40)
hostile = {
    "not UTF-8": [b'data: {"choices": [{"delta": {"content": "\xff\xfe7269234"}}]}\n\ndata: [DONE]\n\n'],
    "no JSON": [b"data: nonsense\n\n"], "HTML": [b"<html>log in</html>"], "an empty object": [b"{}"], "a list": [b"data: [1]\n\n"],
    "a number for text": [b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'], "nothing": [b""], "deep": [b"data: " + b"[" * 500000 + b"\n\n"],
    "a line without end": [b"data: " + b"x" * (3 << 20)], "an error": [b'data: {"error": {"message": "out of \\u001b[31mmemory"}}\n\n'],
    "cut": [b'data: {"choices": [{"delta": {"content": "begun"}}]}\n\n'],
}
for name, pieces in hostile.items():
    server.faults[CHAT] = lambda handler: write(handler, *pieces)
    answer, said = ask(question, code=0 if name == "not UTF-8" else 1)
    assert "second machine" in said or answer, (name, said)
    assert "\x1b" not in said, name
server.faults[CHAT] = lambda handler: (handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\ndata: "), handler.wfile.flush(), server.release.wait(3), True)[-1]
assert "nothing for 1 s" in ask(question, code=1)[1]
server.faults[CHAT] = lambda handler: handler.cut() or True
ask(question, code=1)

# A redirect is never followed: neither elsewhere nor back.
there = elsewhere.url + CHAT
for status, target in ((301, there), (302, there), (303, there), (307, there), (308, there), (307, "http://example.com/"), (307, server.url + CHAT), (308, "/v1/other")):
    server.faults[CHAT] = lambda handler: handler.send(status, Location=target) or True
    assert "redirects" in ask(question, code=1)[1]
assert not elsewhere.log

# What it refuses is said, with what to do.
for status, word in ((401, "remote.key"), (404, "/v1"), (429, "too often"), (400, "--budget-tokens"), (500, "trouble")):
    server.faults[CHAT] = lambda handler: handler.send(status, b'{"error": {"message": "because of this"}}') or True
    said = ask(question, code=1)[1]
    assert word in said and "because of this" in said, said
server.stop()
assert "does not answer" in ask(question, code=1)[1]
assert "7269234" in run("ask", question)[0]

# Unencrypted only to this machine or its own network.
for address in ("http://example.com/v1", "http://8.8.8.8/v1", "ftp://localhost/v1", "http://me:pw@localhost/v1", "http://127.1/v1"):
    assert "remote.url" in run("settings", "remote.url", address, code=1)[1]
