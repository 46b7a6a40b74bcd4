#!/usr/bin/python3
"""Files that need a word from their reader: an encrypted PDF asks for its password until it is right; a scan is "no text", and its menu
offers to have it read."""
import os
import subprocess

from desktop import Desktop

DOCUMENTS = os.environ["LECTERN_TEST_DOCUMENTS"]


def give_password(desktop, password):
    desktop.find("label", "Password Needed")
    subprocess.run(["xdotool", "windowfocus", "--sync", desktop.window_named("Password Needed")], check=False, capture_output=True)
    subprocess.run(["xdotool", "type", "--delay", "30", password], check=True)
    desktop.press("Open")


def ready(desktop):
    return [d for d in desktop.lectern("library") if d["state"] == "ready"]


with Desktop() as desktop:
    desktop.start(os.path.join(DOCUMENTS, "encrypted.pdf"))
    give_password(desktop, "open barley")
    give_password(desktop, "open sesame")
    desktop.wait(lambda: ready(desktop), "the document to be read")
    assert desktop.stop() == 0

    desktop.start(os.path.join(DOCUMENTS, "scan.pdf"))
    desktop.find("label", contains="No text in it")
    assert len(ready(desktop)) == 1
    scan = [d for d in desktop.lectern("library") if d["state"] == "no text"]
    assert len(scan) == 1 and scan[0]["note"], scan
    desktop.call_window_action("show-library", "int64 0")
    assert desktop.stop() == 0
