#!/usr/bin/python3
"""Preferences: what each model costs here, what each document's saved states cost, verifying, removing; settings that the command line sees."""
import os

from desktop import Desktop

TEXT = "# A note\n\nThe gardener planted three apple trees in 1805.\n"


def settings(desktop):
    return {line["key"]: line["value"] for line in desktop.lectern("settings")}


# As the two are called: by themselves, and by the rows they stand in.
AT_ONCE, ELSEWHERE = "Read added documents at once Read added documents at once", "Answer on a second machine Answer there"


def set_number(desktop, name, number, before=None):
    """In a spin button, once it has the value of before."""
    value, spin = desktop.atspi.Value, desktop.find("spin button", contains=name)
    desktop.wait(lambda: before is None or value.get_current_value(spin) == before, "%s to be %s" % (name, before))
    desktop.wait(lambda: value.set_current_value(spin, number), "%s to be set to %s" % (name, number))


def check_never_waits(desktop):
    """On a disk that takes its time: no setting is written by the main loop, and none is lost when the window is closed at once."""
    config, told = os.path.join(desktop.folder, "config"), os.path.join(desktop.folder, "changes")
    desktop.start(env={"LD_PRELOAD": os.environ["LECTERN_FULL_DISK"], "LECTERN_FULL_FOLDER": config, "LECTERN_SLOW_MS": "700",
                       "LECTERN_CHANGES": told})
    desktop.call_action("preferences")
    desktop.press(AT_ONCE, "check box")
    desktop.press(ELSEWHERE, "check box")
    for number in range(1, 9):
        set_number(desktop, "Threads", number)
    desktop.call_action("storage")
    set_number(desktop, "Budget", 7, before=20)
    assert desktop.stop() == 0
    changes = [line.split(" ", 1) for line in open(told).read().splitlines()]
    assert {os.path.basename(path) for _, path in changes} >= {"settings.conf", "keyfile"}, changes
    assert {thread for thread, _ in changes} == {"thread"}, changes
    now = settings(desktop)
    assert now["remote.enabled"] is True and now["compute.threads"] == 8, now
    assert desktop.lectern("cache", "limit")[0]["limit"] == 7000000000
    keyfile = open(os.path.join(config, "glib-2.0/settings/keyfile")).read()
    assert "read-at-once=false" in keyfile, keyfile


def check_full_disk(desktop):
    """What cannot be written is told, and what was set before stays."""
    desktop.start(env={"LD_PRELOAD": os.environ["LECTERN_FULL_DISK"], "LECTERN_FULL_FOLDER": os.path.join(desktop.folder, "config"),
                       "LECTERN_FULL_BYTES": "0"})
    desktop.call_action("preferences")
    desktop.press(ELSEWHERE, "check box")
    desktop.find("label", contains="the settings cannot be written")
    assert desktop.stop() == 0
    assert settings(desktop)["remote.enabled"] is True, settings(desktop)


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
    desktop.toast("“A note” removed", window="Preferences")
    desktop.find("label", contains="Nothing is saved yet")
    assert len(desktop.lectern("cache", "list")) == 1
    desktop.press("Undo", above=True)
    desktop.find("label", contains="starter · used")
    assert len(desktop.lectern("cache", "list")) == 1
    desktop.press("Remove saved states; the document stays")
    desktop.find("label", contains="Nothing is saved yet")
    desktop.wait(lambda: desktop.lectern("library")[0]["sections_read"] == 0, "the document to be unread")
    assert desktop.lectern("cache", "list") == []

    # General: the second machine is off until it is switched on, and an address that is none is refused in words.
    desktop.call_action("preferences")
    desktop.find("label", "A Second Machine")
    assert settings(desktop)["remote.enabled"] is False, settings(desktop)["remote.enabled"]
    assert desktop.stop() == 0
    for check in (check_never_waits, check_full_disk):
        check(desktop)
        print(check.__name__)
