#!/usr/bin/python3
"""With keys alone, from the first start on: the sample, its reading, a question, its passage, back, the citation copied, files added, a
collection, the preferences, removing and undoing. What a screen reader finds is looked at, and nothing is done through it."""
import os
import subprocess
import time

from desktop import Desktop

TABS_MAX = 60


class Keys:
    """A person at the keyboard: keys go to the window in front, and Tab is pressed until what is wanted has the focus."""

    def __init__(self, desktop):
        self.desktop = desktop

    def press(self, *keys):
        self.to_front()
        subprocess.run(["xdotool", "key", "--delay", "30", *keys], check=True)

    def write(self, text):
        self.to_front()
        subprocess.run(["xdotool", "type", "--delay", "15", text], check=True)

    def to_front(self):
        """What a window manager does for a person: the window that came last has the keyboard. Menus, which bear their window's name, do not."""
        by_name = {}
        for window in self.desktop._x_windows():
            name = subprocess.run(["xdotool", "getwindowname", window], capture_output=True, text=True).stdout
            by_name.setdefault(name, window)
        front = list(by_name.values())[-1]
        if front != subprocess.run(["xdotool", "getwindowfocus"], capture_output=True, text=True).stdout.strip():
            subprocess.run(["xdotool", "windowfocus", "--sync", front], check=True, capture_output=True)

    def focused(self):
        """What has the focus; of several windows, in the last."""
        for window in reversed(self.desktop.children_of(self.desktop.app)):
            for node in self.desktop.visible(window):
                if node.get_state_set().contains(self.desktop.atspi.StateType.FOCUSED):
                    return node
        return None

    def says(self, node):
        """The name, as a screen reader says it; of GTK's text buttons it is doubled."""
        return (node.get_name() or "").replace("_", "") if node is not None else ""

    def focused_after(self, key, before):
        """What has the focus once the key has moved it: pressed again too soon, it would go past what is wanted."""
        self.press(key)
        end = time.monotonic() + 5  # where it is alone, it stays
        while time.monotonic() < end:
            node = self.focused()
            if node is not None and node != before:
                return node
        return self.focused()

    def tab_to(self, name, key="Tab", role=None):
        """Presses Tab until the focus is on a thing of that name."""
        node, seen = self.focused(), []
        for _ in range(TABS_MAX):
            if name in self.says(node) and role in (None, node.get_role_name()):
                return node
            seen.append(self.says(node))
            node = self.focused_after(key, node)
        raise AssertionError("“%s” cannot be reached by %s: %s" % (name, key, seen))

    def wait_focus(self, name):
        self.desktop.wait(lambda: name in self.says(self.focused()), "the focus on “%s”, now on “%s”" % (name, self.says(self.focused())))


def read_the_sample(desktop, keys):
    desktop.find("label", "Read Once, Ask on Any Day")
    keys.tab_to("Try “The Time Machine”")
    keys.press("Return")
    desktop.find("label", "The Time Machine")
    desktop.find(contains="Reading, ")
    desktop.find("push button", "Pause")
    desktop.find("label", contains="Ready · ")
    desktop.gone("push button", "Pause")
    documents = desktop.lectern("library")
    assert len(documents) == 1 and documents[0]["state"] == "ready", documents


def ask_and_go(desktop, keys):
    """To the answer and to the passage it rests on, back, and the answer with its citation into the clipboard."""
    keys.tab_to("The Time Machine", role="list item")
    keys.press("Return")
    keys.wait_focus("Document text")
    keys.press("ctrl+n")
    keys.wait_focus("Question")
    keys.write("What is Time only a kind of?")
    keys.press("Return")
    desktop.find("push button", contains="Verified word for word")
    keys.tab_to("Verified word for word", key="shift+Tab")
    keys.press("Return")
    text = desktop.find("text", "Document text")
    desktop.wait(lambda: desktop.atspi.Text.get_caret_offset(text) > 0, "the passage in the text")
    quoted = keys.says(keys.focused()).split("“")[1].split("”")[0]
    desktop.wait(lambda: desktop.text(text)[desktop.atspi.Text.get_caret_offset(text):].startswith(quoted[:20]), "the caret at “%s”" % quoted)
    keys.tab_to("Copy with citation")
    keys.press("space")
    keys.press("alt+Left")
    keys.wait_focus("The Time Machine")
    desktop.find("label", "All Documents")
    # What was copied, by what a paste brings.
    keys.press("ctrl+f")
    entry = desktop.find("entry", "Search titles and text")
    desktop.wait(lambda: any(n.get_state_set().contains(desktop.atspi.StateType.FOCUSED) for n in desktop.walk(entry, 20)), "the field to be in focus")
    keys.press("ctrl+v")
    desktop.wait(lambda: quoted[:30] in "".join(desktop.text(n) for n in desktop.walk(entry, 20)), "the citation to be pasted")
    keys.press("Escape")
    keys.wait_focus("The Time Machine")


def add_a_file(desktop, keys):
    path = desktop.write("note.txt", "A Short Note\n\nThe gardener planted apple trees.\n")
    keys.press("ctrl+o")
    desktop.wait(lambda: len(desktop._x_windows()) > 1, "the file chooser")
    keys.write(path)
    desktop.wait(lambda: path.split("/")[-1] in desktop.text(keys.focused()), "the path in the chooser")
    keys.press("Return")
    desktop.find("list item", contains="Short Note")
    desktop.wait(lambda: len(desktop._x_windows()) == 1, "the file chooser to go")


def titles(desktop):
    """What the header bars say."""
    bars = [n for n in desktop.visible() if n.get_name() == "AdwWindowTitle"]
    return [desktop.text(n) for bar in bars for n in desktop.walk(bar, 10) if n.get_role_name() == "label"]


def is_selected(desktop, row):
    return desktop.has_state("list item", row, desktop.atspi.StateType.SELECTED)


def make_a_collection(desktop, keys):
    keys.tab_to("New Collection")
    keys.press("Return")
    desktop.find("label", "New Collection")
    desktop.wait(lambda: len(desktop._x_windows()) > 1, "the dialog")
    keys.write("Garden")
    keys.press("Return")
    desktop.find("label", "An Empty Collection")
    desktop.wait(lambda: "Garden" in titles(desktop), "the collection's name as the title, now %s" % titles(desktop))
    keys.tab_to("Garden, 0", role="list item")
    keys.tab_to("All Documents", key="Up")
    keys.press("Return")
    # Into it by the document's menu.
    keys.tab_to("Short Note", role="list item")
    keys.press("shift+F10")
    desktop.find("menu item", contains="Rename…")
    assert is_selected(desktop, "All Documents"), "the side bar marks what is not shown"
    keys.tab_to("Add to Collection", key="Up")
    keys.press("Right")
    keys.tab_to("Garden", key="Down")
    keys.press("Return")
    desktop.find("list item", contains="Garden, 1")


def keyfile(desktop):
    path = os.path.join(desktop.folder, "config/glib-2.0/settings/keyfile")
    return open(path).read() if os.path.exists(path) else ""


def change_preferences(desktop, keys):
    keys.press("ctrl+comma")
    desktop.find("label", "A Second Machine")
    before = keyfile(desktop)
    keys.tab_to("Read added documents at once")
    keys.press("space")
    desktop.wait(lambda: keyfile(desktop) != before and "read-at-once=false" in keyfile(desktop), "the setting to be kept")
    keys.press("Escape")
    desktop.gone("label", "A Second Machine")


def remove_and_undo(desktop, keys):
    keys.tab_to(", Ready", role="list item")
    keys.press("Home")  # the newest is the first
    keys.wait_focus("Short Note")
    keys.press("Delete")
    desktop.gone("list item", contains="Short Note")
    keys.press("ctrl+z")
    desktop.find("list item", contains="Short Note")
    assert len(desktop.lectern("library")) == 2


with Desktop() as desktop:
    desktop.start()
    keys = Keys(desktop)
    for part in (read_the_sample, ask_and_go, add_a_file, make_a_collection, change_preferences, remove_and_undo):
        began = time.monotonic()
        part(desktop, keys)
        print("%s: %.1f s" % (part.__name__, time.monotonic() - began))
    keys.press("ctrl+q")
    assert desktop.window_process.wait(timeout=60) == 0
    desktop.window_process = None
