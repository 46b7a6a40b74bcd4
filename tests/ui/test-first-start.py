#!/usr/bin/python3
"""From the first start to a sample that is ready: the status page, its button, progress in the row, the state at the end."""
from desktop import Desktop

with Desktop() as desktop:
    desktop.start()
    desktop.find("label", "Read Once, Ask on Any Day")
    desktop.press("Try “The Time Machine”")
    desktop.find("label", "The Time Machine")
    desktop.find(contains="Reading, ")
    desktop.find("push button", "Pause")
    desktop.find("label", contains="Ready · ")
    desktop.gone("push button", "Pause")
    documents = desktop.lectern("library")
    assert len(documents) == 1 and documents[0]["state"] == "ready", documents
    assert desktop.stop() == 0
