#!/usr/bin/python3
"""Conversations in the side bar: found by what was answered in them, opened at that turn, renamed, removed and brought back, removed for good."""
from desktop import Desktop

REPORT = "# The %s house\n\n## Of the people\n\nNote: Katya Brandt has the secret code %s. Nobody else was told.\n\n## Of the garden\n\n%s\n"
CODES = {"North": "7269234", "South": "1840957"}


def titles(desktop):
    return [c["title"] for c in desktop.lectern("conversation", "list")]


def ask(desktop, title, house, question):
    desktop.lectern("ask", "--conversation", title, "-d", "The %s house" % house, question)


def menu_of(desktop, title, entry):
    desktop.menu_of(title, entry)
    desktop.press(entry, role=None)


with Desktop() as desktop:
    for name, code in CODES.items():
        garden = " ".join("In year %d the gardener of the %s house planted %d apple trees." % (1800 + i, name, 3 + i) for i in range(12))
        desktop.lectern("read", desktop.write(name.lower() + ".md", REPORT % (name, code, garden)))
        ask(desktop, "About the " + name, name, "What is the secret code of Katya Brandt?")
        for year in range(6):
            ask(desktop, "About the " + name, name, "How many apple trees were planted in year %d?" % (1800 + year))
    desktop.start()
    desktop.find("list item", contains="About the North")

    # What stands in an answer finds its conversation, and no other.
    with desktop.held():  # no key is lost, be it before the entry's first frame
        desktop.key("ctrl+shift+f")
        desktop.type(CODES["South"])
    desktop.gone("list item", contains="About the North")
    desktop.find("list item", contains="About the South, ")
    # The scope is the conversation's.
    desktop.click_until(lambda: desktop.look("push button", contains="The South house"), "list item", contains="About the South, ")
    desktop.find("label", CODES["South"])
    # A kept answer still shows where the model looked for it.
    desktop.click_until(lambda: desktop.look("slider", "Where the model looked"), "push button", contains="has the secret code " + CODES["South"])
    desktop.key("ctrl+shift+f", "ctrl+a")
    desktop.type("zebra")
    desktop.find("label", "No conversation has all of these words.")
    desktop.key("Escape")
    desktop.find("list item", contains="About the North")

    menu_of(desktop, "About the North", "Rename…")
    desktop.fill("Rename Conversation", "Of trees")
    desktop.find("list item", contains="Of trees")
    assert sorted(titles(desktop)) == ["About the South", "Of trees"], titles(desktop)

    # Gone at once; back by the toast, and by the key; nothing is lost meanwhile.
    for bring_back in (lambda: desktop.press("Undo"), lambda: desktop.key("ctrl+z")):
        menu_of(desktop, "Of trees", "Remove")
        desktop.find("label", "“Of trees” removed")
        bring_back()
        desktop.find("list item", contains="Of trees")
        assert len(titles(desktop)) == 2, titles(desktop)

    # The end of the window is the end of the chance to undo.
    menu_of(desktop, "About the South", "Remove")
    desktop.gone("list item", contains="About the South")
    assert desktop.stop() == 0
    assert titles(desktop) == ["Of trees"], titles(desktop)
