#!/usr/bin/python3
"""While a book is read: pausing and going on, an end in the middle that loses nothing, a main loop that is always there, a queue of several,
leaving it unread, stopping what adds files, and the word at the end to somebody who looks elsewhere."""
import glob
import json
import os
import re

from desktop import Desktop, JITTER_S, Notifications


def percent(desktop):
    node = desktop.look(contains="Reading, ") or desktop.look(contains="Paused at ")
    match = re.search(r"(?:Reading, |Paused at )(\d+)%", desktop.text(node)) if node else None
    return int(match.group(1)) if match else None


def book(n_chapters):
    """Long enough to be caught in the middle of its reading; no two chapters are alike."""
    sample = open(os.path.join(os.environ["LECTERN_RESOURCES"], "samples/the-time-machine.txt")).read()
    pages = sample.split("\n\n")
    return "\n\n".join("CHAPTER %d\n\n%s" % (n, "\n\n".join("%d. %s" % (n, p) for p in pages[40 + 10 * n:60 + 10 * n])) for n in range(1, n_chapters + 1))


def tokens_read(desktop):
    return desktop.lectern("library", "show", "A Long Book")[0]["tokens_read"]


def states_file(desktop):
    """The larger of the files of saved states: the long book's."""
    return max(glob.glob(os.path.join(desktop.library, "cache", "*.lkv")), key=os.path.getsize)


def check_resumption(desktop, read):
    """Begun again, it goes on by itself where it was: not one token less is told at any time, and the file of its states only grows."""
    path = states_file(desktop)
    node, begun = os.stat(path).st_ino, open(path, "rb").read()
    desktop.start()
    first = desktop.wait(lambda: [p for p in [percent(desktop)] if p is not None], "reading to go on")[0]
    total = desktop.lectern("library", "show", "A Long Book")[0]["tokens"]
    assert first >= 100 * read // total, (first, read, total)
    assert tokens_read(desktop) >= read
    return node, begun


def check_cancel(desktop):
    """What is not to be read stops at once and stays in the library; read after all, it goes on with what it had."""
    desktop.press("Do Not Read")
    desktop.find("label", contains="Not read yet")
    desktop.gone(contains="Reading, ")
    had = tokens_read(desktop)
    assert desktop.lectern("library", "show", "A Long Book")[0]["state"] == "new" and had > 0
    desktop.press("Read")
    desktop.wait(lambda: percent(desktop) is not None, "to be read after all")
    assert tokens_read(desktop) >= had


def check_word_at_the_end(desktop, notifications):
    """Once, when all is read, because nobody looked; a click on it opens the document."""
    desktop.look_elsewhere()
    desktop.wait(lambda: all(d["state"] == "ready" for d in desktop.lectern("library")), "all to be ready")
    desktop.wait(lambda: notifications.told, "a notification")
    assert len(notifications.told) == 1 and notifications.told[0][0] == "“A Long Book” Is Ready", notifications.told
    notifications.click(1)
    desktop.find("text", contains="A Long Book")
    # To somebody who looks at the window it says nothing.
    desktop.focus_window()
    desktop.start_second(desktop.write("seen.txt", "A Third One\n\nIt was seen.\n"))
    desktop.find("list item", contains="A Third One, Ready")
    assert len(notifications.told) == 1, notifications.told


def check_stop_adding(desktop):
    """Of a folder, what was added until then stays, and nothing more comes."""
    pdf = open(os.path.join(os.environ["LECTERN_TEST_DOCUMENTS"], "table.pdf"), "rb").read()  # text would be in before a hand is at the button
    for i in range(N_FILES):
        desktop.write("many/%03d.pdf" % i, pdf + b"%%%d\n" % i)
    desktop.start_second(os.path.join(desktop.folder, "home", "many"))
    desktop.find("label", contains="Adding ")
    desktop.press("Stop Adding")
    counts = [-1]

    def is_still():
        counts.append(len(desktop.lectern("library")))
        return counts[-1] == counts[-2]
    desktop.wait(is_still, "adding to stop")
    print("added until it was stopped:", counts[-1])
    assert 3 <= counts[-1] < N_FILES, counts


N_FILES = 400
with Desktop() as desktop:
    notifications = Notifications()
    watchdog = os.path.join(desktop.folder, "watchdog.json")
    path, second = desktop.write("long.txt", "A Long Book\n\n" + book(22)), desktop.write("short.txt", "A Short One\n\nIt says little.\n")
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
    read = tokens_read(desktop)
    assert desktop.stop() == 0

    result = json.load(open(watchdog))
    print("main loop:", result)
    assert result["turns"] > 50, result
    # Computing is strict: it is this program's alone. A sanitizer's checks are not what is measured.
    assert result["max_cpu_us"] < (160000 if os.environ.get("LECTERN_SANITIZED") == "yes" else 16000), result
    # What waits does so at each step of the reading, or when something is saved; other processes' doing (the X server not getting a processor) is rare.
    assert JITTER_S > 0 or result["over_16ms"] <= result["turns"] / 100, result
    assert JITTER_S > 0 or result["over_16ms_undrawn"] <= result["turns"] / 500, result

    # Ended in the middle: the next start goes on by itself, and nothing that was read is read again.
    assert tokens_read(desktop) >= read
    node, begun = check_resumption(desktop, read)
    notifications.told.clear()
    check_cancel(desktop)
    check_word_at_the_end(desktop, notifications)
    whole = open(states_file(desktop), "rb").read()
    assert os.stat(states_file(desktop)).st_ino == node and len(whole) > len(begun) and whole.startswith(begun), "saved states were written anew"
    check_stop_adding(desktop)
    assert desktop.stop() == 0
