#!/usr/bin/python3
"""Asking in the window: an answer with its evidence, the passage it leads to, what is not there, a table over documents, stopping; then a
restart, and the conversation goes on without a token being read again."""
import glob
import os
import subprocess

from desktop import Desktop

CODES = {"North": "7269234", "South": "1840957"}


def report_of(name):
    return "# The %s house\n\n## Of the garden\n\n%s\n\n## Of the people\n\nNote: Katya Brandt has the secret code %s. Nobody else was told.\n" % (
        name, " ".join("In year %d the gardener of the %s house planted %d apple trees." % (1800 + i, name, 3 + i) for i in range(12)), CODES[name])


def ask(desktop, question):
    entry = desktop.find("text", "Question")
    desktop.wait(lambda: entry.get_editable_text_iface() and desktop.atspi.EditableText.set_text_contents(entry, question))
    desktop.press("Send question")


def saved_states(desktop):
    """What was computed while reading, byte for byte."""
    return {path: open(path, "rb").read() for path in glob.glob(os.path.join(desktop.library, "cache", "*.lkv"))}


with Desktop() as desktop:
    for name in CODES:
        desktop.lectern("read", desktop.write(name.lower() + ".md", report_of(name)))
    desktop.start()

    # Everything: the answer, and evidence that is verified and says where it stands.
    ask(desktop, "What is the secret code of Katya Brandt of the South house?")
    desktop.find("label", CODES["South"])
    card = desktop.find("push button", contains="Verified word for word. “Note: Katya Brandt has the secret code " + CODES["South"])
    desktop.find("label", contains="tokens from cache")
    desktop.find("label", contains="first word after")

    # A click leads to the passage, in the right document.
    assert card.do_action(0)
    desktop.find(contains="The South house")
    desktop.wait(lambda: any(CODES["South"] in desktop.text(n) for n in desktop.visible() if n.get_role_name() in ("text", "label", "panel")
                             and len(desktop.text(n)) > 60), "the document's text")

    # A question without an answer says so, and shows the closest passages.
    ask(desktop, "Who was the first person to walk on the Moon?")
    desktop.wait(lambda: desktop.look("label", "Not in these documents.") or desktop.look("label", contains="Verified"), "an honest end")

    # Each document by itself: a table whose rows lead to their places.
    desktop.press("Ask each document by itself")
    ask(desktop, "Tell me Katya Brandt's secret code.")
    for name, code in CODES.items():
        desktop.wait(lambda: len([n for n in desktop.visible() if n.get_role_name() == "label" and desktop.text(n) == code]) >= 1, code)
    desktop.find("push button", "Save as CSV…")
    desktop.press("Copy Table")

    # The conversation is kept: a new process shows it and goes on, and no document token is computed again.
    assert desktop.stop() == 0
    conversations = desktop.lectern("conversation", "list")
    assert len(conversations) == 1, conversations
    states = saved_states(desktop)
    desktop.start()
    title = "What is the secret code of Katya Brandt of the South house?"
    row = desktop.find("label", title)
    desktop.call_window_action("show-conversation", "int64 %d" % conversations[0]["number"])
    desktop.find("push button", contains="Verified word for word. “Note: Katya Brandt has the secret code " + CODES["South"])
    ask(desktop, "Nobody else was told what?")
    desktop.wait(lambda: desktop.lectern("conversation", "list")[0]["turns"] == 4, "the fourth turn")
    desktop.gone("push button", "Stop")
    figures = [desktop.text(n) for n in desktop.visible() if n.get_role_name() == "label" and "tokens from cache" in desktop.text(n)]
    n_tokens = sum(d["tokens"] for d in desktop.lectern("library"))
    print("after the restart:", figures[-1])
    assert int(figures[-1].split(" tokens")[0].replace(",", "")) >= n_tokens > 0, (figures, n_tokens)
    assert desktop.stop() == 0
    assert len(states) == len(CODES) and saved_states(desktop) == states
    after = desktop.lectern("conversation", "list")
    assert len(after) == 1 and after[0]["turns"] == 4, after
    for document in desktop.lectern("library"):
        assert document["sections_read"] == document["sections"], document

    # What was chosen to be asked stays chosen while the list changes under it: documents come in, are read, are ready.
    desktop.start()
    numbers = [document["number"] for document in desktop.lectern("library")]
    desktop.call_window_action("show-library", "int64 0")
    desktop.call_window_action("new-conversation")
    desktop.call_window_action("ask-documents", "[%s]" % ", ".join("int64 %d" % number for number in numbers))
    desktop.find("push button", "What is asked: %d documents" % len(numbers))
    desktop.start_second(desktop.write("west.md", report_of("North").replace("North", "West")))
    desktop.wait(lambda: [d for d in desktop.lectern("library") if d["title"] == "The West house" and d["state"] == "ready"], "the third to be read")
    desktop.find("list item", contains="The West house, Ready")
    desktop.find("push button", "What is asked: %d documents" % len(numbers))
    assert desktop.stop() == 0
