#!/usr/bin/python3
"""Files and a folder dragged onto the window from another program's: all that can be read in them is in the library, in the collection that
is shown. What is no file is refused, and a drag that goes away again leaves nothing behind."""
import os
import pathlib
import subprocess

from desktop import Desktop, end_with_parent

SOURCE_AT = (1000, 100)  # beside the window, which stands at the screen's origin
OVER = (500, 400)


def titles(desktop):
    return sorted(d["title"] for d in desktop.lectern("library"))


def pointer(*words):
    subprocess.run(["xdotool", *map(str, words)], check=True)


class Drag:
    """A drag from a window of another program, with the pointer."""

    def __init__(self, desktop, media_type, text):
        self.desktop = desktop
        self.source = subprocess.Popen([os.environ["LECTERN_DRAG"], media_type, text], stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent)
        pointer("windowmove", "--sync", desktop.window_named("Drag Source"), *SOURCE_AT)

    def go(self, x, y):
        """In steps, as a hand moves: what lies on the way is passed."""
        now = subprocess.run(["xdotool", "getmouselocation", "--shell"], capture_output=True, text=True, check=True).stdout
        x0, y0 = (int(line.split("=")[1]) for line in now.splitlines()[:2])
        for k in range(1, 13):
            pointer("mousemove", x0 + (x - x0) * k // 12, y0 + (y - y0) * k // 12)

    def over_the_window(self):
        """Takes hold of it and goes there."""
        x, y = SOURCE_AT[0] + 100, SOURCE_AT[1] + 100
        pointer("mousemove", x, y, "mousedown", 1)
        self.go(*OVER)

    def nudge(self):
        """A hand is never still; the source may have begun only now."""
        self.go(OVER[0] + 9, OVER[1])
        self.go(*OVER)

    def end(self):
        """Lets go where the pointer is; how the source saw it end."""
        pointer("mouseup", 1)
        word = self.source.stdout.readline().strip()
        self.source.kill()
        self.source.wait()
        return word


def is_inviting(desktop):
    return desktop.look("label", "Drop to Add") is not None


def drag_files(desktop, *paths):
    """To where the window says that it takes them."""
    drag = Drag(desktop, "text/uri-list", "".join(pathlib.Path(p).as_uri() + "\r\n" for p in paths))
    drag.over_the_window()
    desktop.wait(lambda: drag.nudge() or is_inviting(desktop), "the window to invite the drop")
    return drag


def drop(desktop, *paths):
    assert drag_files(desktop, *paths).end() == "dropped"
    desktop.gone("label", "Drop to Add")


with Desktop() as desktop:
    one = desktop.write("one, of “two”.txt", "The First\n\nIt stands alone.\n")
    also = desktop.write("also.md", "# Dropped Beside It\n\nIt came with the first.\n")
    desktop.write("folder/two.md", "# The Second\n\nIt is in a folder.\n")
    desktop.write("folder/deeper/three.txt", "The Third\n\nIt is deeper.\n")
    desktop.write("folder/picture.png", b"\x89PNG\r\n\x1a\n" + bytes(64))
    folder = os.path.join(os.path.dirname(one), "folder")
    passing = desktop.write("passing.txt", "Passing By\n\nNobody let go of it here.\n")
    late = desktop.write("late.txt", "A Fifth\n\nIt was dropped into a collection.\n")
    desktop.start()
    desktop.find("label", "Read Once, Ask on Any Day")
    desktop.resize(900, 800)

    # What only passes over the window is not taken.
    drag = drag_files(desktop, passing)
    drag.go(SOURCE_AT[0] + 50, SOURCE_AT[1] + 50)
    desktop.gone("label", "Drop to Add")
    assert drag.end() != "dropped" and titles(desktop) == []

    # Two files and a folder at once.
    drop(desktop, one, also, folder)
    for title in ("The First", "Dropped Beside It", "The Second", "The Third"):
        desktop.find("list item", contains=title)
    desktop.wait(lambda: all(d["state"] == "ready" for d in desktop.lectern("library")), "all to be read")
    assert sorted(os.path.basename(d["source"]) for d in desktop.lectern("library")) == sorted(
        ["one, of “two”.txt", "also.md", "two.md", "three.txt"]), desktop.lectern("library")

    # Into the collection that is shown.
    desktop.press("New Collection")
    desktop.fill("New Collection", "Reports")
    desktop.find("label", "An Empty Collection")
    drop(desktop, late)
    desktop.find("list item", contains="A Fifth")
    desktop.find("list item", contains="Reports, 1")
    assert desktop.look("list item", contains="The First") is None

    # Words are no file.
    words = Drag(desktop, "text/plain", "The First")
    words.over_the_window()
    words.nudge()
    assert not is_inviting(desktop)
    assert words.end() == "refused" and len(titles(desktop)) == 5, titles(desktop)
    assert desktop.stop() == 0
