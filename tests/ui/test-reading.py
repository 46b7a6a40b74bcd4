#!/usr/bin/python3
"""While a book is read: pausing and going on, an end in the middle that loses nothing, a main loop that is always there, a queue of several."""
import json
import os
import re

from desktop import Desktop


def percent(desktop):
    node = desktop.look(contains="Reading, ") or desktop.look(contains="Paused at ")
    match = re.search(r"(?:Reading, |Paused at )(\d+)%", desktop.text(node)) if node else None
    return int(match.group(1)) if match else None


def book(n_chapters):
    """Long enough to be caught in the middle of its reading; no two chapters are alike."""
    sample = open(os.path.join(os.environ["LECTERN_RESOURCES"], "samples/the-time-machine.txt")).read()
    pages = sample.split("\n\n")
    return "\n\n".join("CHAPTER %d\n\n%s" % (n, "\n\n".join("%d. %s" % (n, p) for p in pages[40 + 10 * n:60 + 10 * n])) for n in range(1, n_chapters + 1))


with Desktop() as desktop:
    watchdog = os.path.join(desktop.folder, "watchdog.json")
    path, second = desktop.write("long.txt", "A Long Book\n\n" + book(12)), desktop.write("short.txt", "A Short One\n\nIt says little.\n")
    desktop.start(path, second, env={"LECTERN_WATCHDOG": watchdog})
    desktop.find("label", contains="Waiting")
    desktop.wait(lambda: (percent(desktop) or 0) > 0, "reading to begin")
    desktop.press("Pause")
    desktop.find("label", contains="Paused at ")
    paused = percent(desktop)
    # What waited behind it is read meanwhile.
    desktop.find("label", contains="Ready")
    documents = {d["title"]: d for d in desktop.lectern("library")}
    assert documents["A Long Book"]["state"] == "paused", documents
    desktop.press("Read On")
    desktop.wait(lambda: desktop.look(contains="Reading, ") is not None and (percent(desktop) or 0) >= paused, "to go on where it stopped")
    read = desktop.lectern("library", "show", "A Long Book")[0]["tokens_read"]
    assert desktop.stop() == 0

    result = json.load(open(watchdog))
    print("main loop:", result)
    assert result["turns"] > 50, result
    assert result["max_cpu_us"] < 16000, result
    # What is left may be other processes' doing (the X server not getting a processor): rare, if it is.
    assert result["over_16ms"] <= result["turns"] / 500, result

    # Ended in the middle: the next start goes on by itself, and nothing that was read is read again.
    assert desktop.lectern("library", "show", "A Long Book")[0]["tokens_read"] >= read
    desktop.start()
    desktop.find("label", contains="Ready ·")
    desktop.wait(lambda: all(d["state"] == "ready" for d in desktop.lectern("library")), "all to be ready")
    assert desktop.stop() == 0
