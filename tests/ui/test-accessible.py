#!/usr/bin/python3
"""Everything that can be used has a name of its own that a screen reader can say: in every view, menu, bar and dialog, and in what GTK and
libadwaita bring along. The desktop's file choosers alone are not looked at: on a real desktop they are not even this program's."""
import json
import os
import re
import subprocess

from desktop import Desktop

DOCUMENTS = os.environ["LECTERN_TEST_DOCUMENTS"]
CONTROLS = {"push button", "toggle button", "check box", "radio button", "entry", "text", "password text", "list item", "menu item", "slider",
            "spin button", "combo box", "switch", "list", "progress bar", "level bar", "link", "page tab", "table cell"}
CLASS_NAME = re.compile("^(Gtk|Adw|Ui)[A-Z]")  # what GTK 4.8 says of a thing without a name
WHERE = []  # what was looked at
N_LEAST = 20  # controls: so many are in the main window, whatever it shows


def ancestors(node):
    names = []
    while node is not None and len(names) < 8:
        names.append("%s “%s”" % (node.get_role_name(), node.get_name()))
        node = node.get_parent()
    return names


class Walker:
    def __init__(self, desktop):
        self.desktop, self.state = desktop, desktop.atspi.StateType

    def is_focusable(self, node):
        return node.get_state_set().contains(self.state.FOCUSABLE)

    def has_name(self, node):
        name = (node.get_name() or "").strip()
        return bool(name) and not CLASS_NAME.match(name)

    def needs_name(self, node):
        role = node.get_role_name()
        if role == "scroll pane":  # takes the focus, to be scrolled by keys, where nothing in it does; its page speaks for it then
            return self.is_focusable(node) and not self.has_name(node.get_parent()) and not any(
                self.is_focusable(below) for below in self.desktop.visible(node) if below != node)
        if role == "text" and node.get_parent().get_role_name() in ("entry", "spin button", "text", "password text"):
            return False  # the inner part of an entry, which has the name
        return role in CONTROLS or self.is_focusable(node)

    def nameless(self):
        n, found = 0, []
        for node in self.desktop.visible():
            try:
                if not self.desktop.is_placed(node) or not self.needs_name(node):
                    continue
                n += 1
                if not self.has_name(node):
                    found.append(" < ".join(ancestors(node)))
            except Exception:  # it has gone meanwhile
                continue
        return n, found


def check_names(desktop, where):
    """A row is made, and then told what it shows: a nameless one is a fault only when it stays so."""
    seen = []

    def named():
        seen[:] = [Walker(desktop).nameless()]
        return not seen[0][1]
    try:
        desktop.wait(named, timeout=30)
    except TimeoutError:
        raise AssertionError("%s: without a name:\n%s" % (where, "\n".join(seen[0][1])))
    assert seen[0][0] >= N_LEAST, "%s: only %d controls were found" % (where, seen[0][0])
    WHERE.append(where)


def ask(desktop, question):
    entry = desktop.find("text", "Question")
    desktop.wait(lambda: desktop.atspi.EditableText.set_text_contents(entry, question))
    desktop.press("Send question")


def menu_of(desktop, row, entry, where):
    desktop.menu_of(row, entry)
    check_names(desktop, where)


def set_up(desktop):
    """Documents in every state, a collection, a measured model."""
    for name, code in (("North", "7269234"), ("South", "1840957")):
        text = "# The %s house\n\nNote: Katya Brandt has the secret code %s. Nobody else was told.\n\n## Of the garden\n\nApple trees.\n" % (name, code)
        desktop.lectern("read", desktop.write(name + ".md", text))
    for title in ("Unread", "Failed", "Waiting by Hand"):
        desktop.lectern("read", "--no-model", "--title", title, desktop.write(title + ".txt", title + "\n\nSome words about it.\n"))
    desktop.lectern("read", "--title", "The Report", os.path.join(DOCUMENTS, "table.pdf"))
    desktop.set_state("Failed", 5, "the disk was full")
    desktop.set_state("Waiting by Hand", 3, "by hand")
    desktop.lectern("collection", "add", "Reports", "The Report")
    row = {"k_key": 16, "k_query": 16, "rotated": False, "perplexity": 9.5, "kl_nats": 0.01, "top_agreement": 0.9, "bytes_per_token": 100.0,
           "decode_tokens_per_s": 50.0}
    measured = {"model": "starter", "text": "a book", "made": 1700000000, "tokens": 4096, "head_dim": 64, "rows": [row, {**row, "k_key": 64, "k_query": 64}]}
    os.makedirs(os.path.join(desktop.library, "models"), exist_ok=True)
    with open(os.path.join(desktop.library, "models", "starter.calibration.json"), "w") as file:
        json.dump(measured, file)


def check_library(desktop):
    for state in ("Not read yet", "Could not be read", "Paused"):
        desktop.find("label", contains=state)
    check_names(desktop, "library")
    for button, entry in (("Add Documents", "Add Folders…"), ("Sort and Filter", "Last Change"), ("Conversation menu", "Copy Conversation")):
        desktop.press(button)
        desktop.find(contains=entry)
        check_names(desktop, "menu " + button)
        desktop.key("Escape")
    desktop.key("F10")
    desktop.find(name="Keyboard Shortcuts")
    check_names(desktop, "main menu")
    desktop.key("Escape")
    menu_of(desktop, "Unread", "Add to Collection", "a document's menu, the selection's bar")
    desktop.key("Escape", "Escape")
    menu_of(desktop, "Reports, 1", "Remove Collection", "a collection's menu")
    desktop.key("Escape")
    for words, sign in (("zebra", "Nothing Found"), ("katya", "Passages")):
        desktop.key("ctrl+f", "ctrl+a")
        desktop.type(words)
        desktop.find("label", sign)
        check_names(desktop, "search: " + sign)
    desktop.key("Escape", "Escape")


def check_name_dialogs(desktop):
    desktop.press("New Collection")
    desktop.find("label", "New Collection")
    check_names(desktop, "new collection")
    desktop.escape_from("New Collection")
    desktop.click_until(lambda: desktop.look("label", "1 selected"), "list item", contains="Unread")
    desktop.key("F2")
    desktop.find("label", "Rename Document")
    check_names(desktop, "rename")
    desktop.escape_from("Rename Document")
    desktop.key("alt+Return")
    desktop.find("label", "SHA-256 of the File")
    check_names(desktop, "properties")
    desktop.escape_from("Properties")
    desktop.key("Delete")
    desktop.toast("“Unread” removed")
    check_names(desktop, "a toast with Undo")
    desktop.key("ctrl+z")


def is_in_focus(desktop, root):
    return any(node.get_state_set().contains(desktop.atspi.StateType.FOCUSED) for node in desktop.walk(root))


def check_reader(desktop):
    desktop.click_until(lambda: desktop.look("image", contains="Page "), "label", "The Report", repeat=2)
    check_names(desktop, "pages")
    desktop.key("ctrl+f")
    bar = desktop.find("entry", "Find in this document")
    check_names(desktop, "finding")
    while bar.get_role_name() != "form":
        bar = bar.get_parent()
    assert is_in_focus(desktop, bar)
    desktop.press("Close", root=bar)  # GTK's own button
    desktop.wait(lambda: not is_in_focus(desktop, bar), "the bar to give the focus away")
    desktop.key("ctrl+g")
    desktop.find("entry", "Go to page or chapter")
    check_names(desktop, "going to a chapter")
    desktop.key("Escape")
    desktop.press("Size")
    desktop.find(name="Smaller")
    check_names(desktop, "sizes")
    desktop.key("Escape")
    desktop.press("Show the text")
    desktop.find("text", "Document text")
    check_names(desktop, "text")


def check_asking(desktop):
    desktop.call_window_action("show-library", "int64 0")
    desktop.call_window_action("ask-collection", "int64 0")  # and so it stays, whatever is selected
    desktop.find("push button", "What is asked: Everything")
    ask(desktop, "What is the secret code of Katya Brandt of the South house?")
    card = desktop.find("push button", contains="Verified word for word")
    check_names(desktop, "answer")
    assert card.do_action(0)
    desktop.press("What this strip shows")
    desktop.find("label", contains="This is a hint, not evidence")
    check_names(desktop, "strip")
    desktop.key("Escape")
    desktop.call_window_action("show-library", "int64 0")
    desktop.press("What is asked: Everything")
    desktop.find("menu item", contains="Reports")
    check_names(desktop, "what is asked")
    desktop.key("Escape")
    desktop.press("Ask each document by itself")
    ask(desktop, "Tell me Katya Brandt's secret code.")
    desktop.find("push button", "Save as CSV…")
    check_names(desktop, "table of answers")
    menu_of(desktop, "What is the secret code", "Export as Markdown", "a conversation's menu")
    desktop.key("Escape")
    desktop.key("ctrl+shift+f")
    desktop.type("zebra")
    desktop.find("label", "No conversation has all of these words.")
    check_names(desktop, "finding a conversation")
    desktop.key("Escape")


def check_windows(desktop):
    """What opens beside the main window, by what shows that it is there."""
    for action, title, sign in (("preferences", "Preferences", "A Second Machine"), ("models", "Preferences", "starter"),
                                ("storage", "Preferences", "By Document")):
        desktop.call_action(action)
        desktop.find(contains=sign)
        if action == "models":
            desktop.click_until(lambda: desktop.look("push button", contains="Use: 16 features"), "label", "starter", window="Preferences")  # it opens
        check_names(desktop, action)
    desktop.call_action("models")
    desktop.press("Import")
    desktop.find(contains="From a Folder…")
    check_names(desktop, "import")
    subprocess.run(["xdotool", "key", "Escape"], check=True)
    desktop.escape_from("Preferences")
    for action, title, sign in (("shortcuts", "Keyboard Shortcuts", "Add documents"), ("about", "About", "The Lectern developers")):
        desktop.call_action(action)
        desktop.find(contains=sign)
        check_names(desktop, action)
        desktop.escape_from(title)


def check_locked(desktop):
    desktop.start_second(os.path.join(DOCUMENTS, "encrypted.pdf"))
    desktop.find("label", "Password Needed")
    check_names(desktop, "password")
    desktop.escape_from("Password Needed")
    desktop.start_second(os.path.join(DOCUMENTS, "scan.pdf"))
    desktop.find("label", contains="No text in it")
    desktop.press("Read the Scan…")
    desktop.find("push button", "Cancel")
    check_names(desktop, "scan")
    desktop.press("Cancel")
    desktop.start_second(desktop.write("garbage.bin", bytes(range(256)) * 16))
    desktop.press("Why")
    desktop.find("label", contains="it is not text")
    check_names(desktop, "what was not added")


with Desktop() as desktop:
    desktop.start()
    desktop.find("label", "Read Once, Ask on Any Day")
    check_names(desktop, "first start")
    assert desktop.stop() == 0
    set_up(desktop)
    desktop.start()
    check_library(desktop)
    check_name_dialogs(desktop)
    check_reader(desktop)
    check_asking(desktop)
    check_windows(desktop)
    check_locked(desktop)
    print("named in:", ", ".join(WHERE))
    assert desktop.stop() == 0
