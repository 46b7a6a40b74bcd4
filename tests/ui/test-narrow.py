#!/usr/bin/python3
"""360 pixels are enough, for every view and dialog: the least width that GTK asks the desktop for, the size that everything then gets, and
words that are still words. Looked at in a window begun narrow, as what was once shown wide keeps its size in the tree."""
import ctypes
import os
import subprocess

from desktop import Desktop

DOCUMENTS = os.environ["LECTERN_TEST_DOCUMENTS"]
WIDTH = 360
BORDERS = 12  # that GTK draws where there is no compositor
LEGIBLE_PX = 40  # of a word in a line that is cut off
CONTROLS = {"push button", "toggle button", "check box", "radio button", "entry", "text", "slider", "spin button", "switch", "link"}
LONG = "A Title That Is Much Longer Than Any Window Is Wide, As Titles of Reports Tend to Be, With Its Year"


class SizeHints(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_long)] + [(name, ctypes.c_int) for name in (
        "x", "y", "width", "height", "min_width", "min_height", "max_width", "max_height", "width_inc", "height_inc", "min_aspect_x", "min_aspect_y",
        "max_aspect_x", "max_aspect_y", "base_width", "base_height", "win_gravity")]


class X11:
    MIN_SIZE = 1 << 4

    def __init__(self):
        self.lib = ctypes.CDLL("libX11.so.6")
        self.lib.XOpenDisplay.restype = ctypes.c_void_p
        self.display = ctypes.c_void_p(self.lib.XOpenDisplay(None))

    def least_width(self, window):
        """What the program says that the window needs; a window manager would not make it less."""
        hints, supplied = SizeHints(), ctypes.c_long()
        assert self.lib.XGetWMNormalHints(self.display, ctypes.c_ulong(int(window)), ctypes.byref(hints), ctypes.byref(supplied))
        assert hints.flags & self.MIN_SIZE, "the window has no least size"
        return hints.min_width - BORDERS


def x_width(window):
    out = subprocess.run(["xdotool", "getwindowgeometry", window], capture_output=True, text=True, check=True).stdout
    return int(out.split("Geometry: ")[1].split("x")[0])


def make_narrow(desktop, window):
    subprocess.run(["xdotool", "windowsize", "--sync", window, str(WIDTH + BORDERS), "640"], check=True)
    desktop.wait(lambda: x_width(window) == WIDTH + BORDERS, "a narrow window")


def box_of(desktop, node):
    return node.get_component_iface().get_extents(desktop.atspi.CoordType.WINDOW)


def faults(desktop, root):
    """What reaches over the edge, and words of which nothing is left. What slides by is beyond the edge altogether."""
    found = []
    for node in desktop.visible(root):
        try:
            role = node.get_role_name()
            if role not in CONTROLS | {"label"} or not node.get_component_iface():
                continue
            box, text = box_of(desktop, node), desktop.text(node).strip()
        except Exception:  # it has gone meanwhile
            continue
        if box.width <= 0 or box.height <= 0 or box.x >= WIDTH + BORDERS - 16:
            continue
        what = "%s “%s” at %d, %d wide" % (role, text[:40], box.x, box.width)
        if box.x + box.width > WIDTH + BORDERS:
            found.append("cut off: " + what)
        if role == "label" and box.width < min(LEGIBLE_PX, 3 * len(text)):
            found.append("nothing left of: " + what)
    return found


class Narrow:
    def __init__(self, desktop):
        self.desktop, self.x11, self.looked = desktop, X11(), []

    def check(self, where, title=None):
        """The main window, or another by its title."""
        desktop, window, seen = self.desktop, self.desktop.x_window, []
        root = desktop.wait(lambda: [w for w in desktop.children_of(desktop.app) if w.get_name() == (title or "Lectern")], "“%s”" % title)[-1]
        if title is not None:
            window = desktop.window_named(title)
            make_narrow(desktop, window)

        def fits():
            seen[:] = faults(desktop, root)
            return not seen
        try:
            desktop.wait(fits, timeout=10)
        except TimeoutError:
            raise AssertionError("%s:\n%s" % (where, "\n".join(seen)))
        least = self.x11.least_width(window)
        assert least <= WIDTH, "%s: needs %d pixels" % (where, least)
        self.looked.append(where)


def ask(desktop, question):
    entry = desktop.find("text", "Question")
    desktop.wait(lambda: desktop.atspi.EditableText.set_text_contents(entry, question))
    desktop.press("Send question")


def check_library(desktop, narrow):
    desktop.find("list item", contains="Bruno")
    narrow.check("library")
    for label in ("Could not be read", "No text in it"):
        desktop.find("label", contains=label)
    for words, sign in (("zebra", "Nothing Found"), ("katya", "Passages")):
        desktop.key("ctrl+f", "ctrl+a")
        desktop.type(words)
        desktop.find("label", sign)
        narrow.check("search: " + sign)
    desktop.key("Escape", "Escape")
    desktop.click_until(lambda: desktop.look("label", "1 selected"), "label", "Bruno")
    narrow.check("selection")
    desktop.key("F2")
    narrow.check("rename", "Rename Document")
    desktop.escape_from("Rename Document")
    desktop.key("alt+Return")
    desktop.find("label", "SHA-256 of the File")
    narrow.check("properties", "Properties")
    desktop.escape_from("Properties")
    desktop.key("Escape")
    desktop.press("Back")
    desktop.find("list item", contains="All Documents")
    narrow.check("side bar")
    desktop.click_until(lambda: desktop.look("label", "An Empty Collection"), "list item", contains="An Empty One")
    narrow.check("empty collection")


def check_reader(desktop, narrow, documents):
    desktop.call_action("open-document", "int64 %d" % documents["Bruno"])
    desktop.find("text", contains="secret code")
    narrow.check("text")
    desktop.call_action("open-document", "int64 %d" % documents[LONG])
    desktop.find("image", contains="Page ")
    narrow.check("pages")
    desktop.key("ctrl+f")
    desktop.type("net")
    desktop.find("label", contains=" of ")
    narrow.check("finding")
    desktop.key("Escape")


def check_asking(desktop, narrow):
    desktop.call_window_action("ask-collection", "int64 0")
    desktop.find("label", "Ask everything")
    narrow.check("asking")
    ask(desktop, "What is the secret code of Katya Brandt of Bruno?")
    desktop.find("push button", contains="Verified word for word")
    desktop.find("label", contains="tokens from cache")
    narrow.check("answer")
    ask(desktop, "Who was the first person to walk on the Moon?")
    desktop.wait(lambda: desktop.lectern("conversation", "list")[0]["turns"] == 2, "the second turn")
    narrow.check("no answer")
    desktop.press("Ask each document by itself")
    ask(desktop, "Tell me Katya Brandt's secret code.")
    desktop.find("push button", "Save as CSV…")
    desktop.wait(lambda: desktop.lectern("conversation", "list")[0]["turns"] == 3, "the table")
    narrow.check("table of answers")


def check_windows(desktop, narrow):
    for action, title, sign in (("preferences", "Preferences", "A Second Machine"), ("models", "Preferences", "starter"),
                                ("storage", "Preferences", "By Document"), ("shortcuts", "Keyboard Shortcuts", "Add documents"),
                                ("about", "About", "The Lectern developers")):
        desktop.call_action(action)
        desktop.find(contains=sign)
        narrow.check(action, title)
        if action in ("storage", "shortcuts", "about"):
            desktop.escape_from(title)
    desktop.start_second(os.path.join(DOCUMENTS, "encrypted.pdf"))
    desktop.find("label", "Password Needed")
    narrow.check("password", "Password Needed")
    desktop.escape_from("Password Needed")


with Desktop() as desktop:
    narrow = Narrow(desktop)
    desktop.start()
    desktop.find("label", "Read Once, Ask on Any Day")
    make_narrow(desktop, desktop.x_window)
    narrow.check("first start")
    assert desktop.stop() == 0
    desktop.lectern("read", "--title", LONG, os.path.join(DOCUMENTS, "table.pdf"))
    desktop.lectern("read", "--title", "Bruno", desktop.write("bruno.txt", "Bruno\n\nNote: Katya Brandt has the secret code 7269234.\n\nNobody was told.\n"))
    for title, state in (("Carla", 5), ("Dora", 6)):
        desktop.lectern("read", "--no-model", "--title", title, desktop.write(title + ".txt", title + "\n\nSome words.\n"))
        desktop.set_state(title, state, "the disk was full")
    desktop.lectern("collection", "create", "An Empty One")
    documents = {d["title"]: d["number"] for d in desktop.lectern("library")}
    desktop.start()
    make_narrow(desktop, desktop.x_window)
    check_library(desktop, narrow)
    check_reader(desktop, narrow, documents)
    check_asking(desktop, narrow)
    check_windows(desktop, narrow)
    print("at %d pixels: %s" % (WIDTH, ", ".join(narrow.looked)))
    assert desktop.stop() == 0
