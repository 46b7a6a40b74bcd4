#!/usr/bin/python3
"""Preferences: what each model costs here, what each document's saved states cost, verifying, removing; settings that the command line sees."""
from desktop import Desktop

TEXT = "# A note\n\nThe gardener planted three apple trees in 1805.\n"


def settings(desktop):
    return {line["key"]: line for line in desktop.lectern("settings")}


with Desktop() as desktop:
    desktop.lectern("read", desktop.write("note.md", TEXT))
    desktop.start()
    desktop.find("label", "A note")
    desktop.find("label", contains="Ready")

    # Models: the starter, with its facts.
    desktop.call_action("models")
    desktop.find("label", "starter")
    desktop.find("label", contains="60 million parameters")
    desktop.find(contains="comes with Lectern")

    # Storage: the document, its size; all data verified; removed, and the document is unread again but still there.
    desktop.call_action("storage")
    desktop.find("label", contains="starter · used")
    desktop.press("Verify")
    desktop.find("label", "1 section is sound.")
    desktop.press("Remove saved states; the document stays")
    desktop.find("label", contains="Nothing is saved yet")
    desktop.press("Undo")
    desktop.find("label", contains="starter · used")
    assert len(desktop.lectern("cache", "list")) == 1
    desktop.press("Remove saved states; the document stays")
    desktop.find("label", contains="Nothing is saved yet")
    desktop.wait(lambda: desktop.lectern("library")[0]["sections_read"] == 0, "the document to be unread")
    assert desktop.lectern("cache", "list") == []

    # General: the second machine is off until it is switched on, and an address that is none is refused in words.
    desktop.call_action("preferences")
    desktop.find("label", "A Second Machine")
    assert settings(desktop)["remote.enabled"]["value"] in (False, "no"), settings(desktop)["remote.enabled"]
    assert desktop.stop() == 0
