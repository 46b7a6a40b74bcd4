#!/usr/bin/python3
"""The library without any reading: status pages, states with what to do, search to the passage, collections, undo, opening with."""
import os

from desktop import Desktop


def check_states(desktop):
    desktop.find("label", "Alice")
    desktop.find("label", "Could not be read")
    desktop.find("label", contains="the disk was full")
    desktop.find("push button", "Try Again")
    desktop.find("label", "No text in it")
    desktop.find("label", contains="There is nothing to be read in it.")
    desktop.find("label", contains="Not read yet")


def check_filters(desktop):
    desktop.press("Sort and Filter")
    desktop.press("Ready", role=None)
    desktop.find("label", "No Document in This State")
    desktop.press("Show All States")
    desktop.find("label", "Alice")


def check_search(desktop):
    with desktop.held():  # no key is lost, be it before the entry's first frame
        desktop.key("ctrl+f")
        desktop.type("Kidneywort")
    desktop.find("label", "Nothing Found")
    desktop.key("ctrl+a")
    desktop.type("lighthouse")
    desktop.find("label", "Passages")
    desktop.click_until(lambda: desktop.look("text", contains="the old lighthouse"), "list item", contains="the old lighthouse")
    desktop.key("alt+Left")
    desktop.key("Escape")
    select(desktop, "Alice")
    desktop.key("Escape")


def check_collections(desktop):
    desktop.press("New Collection")
    desktop.fill("New Collection", "Reports")
    desktop.find("label", "An Empty Collection")
    desktop.wait(lambda: desktop.lectern("collection")[0]["name"] == "Reports", "the collection")
    # Removed at once, back by the toast with what is in it; for good at the window's end (check_removal ends it).
    # By the command line meanwhile: seen at once, not with the window's next own change.
    desktop.lectern("collection", "create", "From elsewhere")
    desktop.find("list item", contains="From elsewhere, ", timeout=10)
    desktop.lectern("collection", "remove", "From elsewhere")
    desktop.gone("list item", contains="From elsewhere, ")
    desktop.lectern("collection", "add", "Reports", "Alice", "Bruno")
    desktop.menu_of("Reports, ", "Remove Collection")
    desktop.press("Remove Collection (Documents Stay)", role=None)
    check_collection_removed(desktop)
    desktop.press("Undo", above=True)
    desktop.find("list item", contains="Reports, 2")
    assert desktop.lectern("collection")[0]["name"] == "Reports"
    for comes_back in (True, False):  # by keys
        reports = dict(role="list item", contains="Reports, 2")
        desktop.click_until(lambda: desktop.has_state(state=desktop.atspi.StateType.FOCUSED, **reports), **reports)
        desktop.key("Delete")
        check_collection_removed(desktop)
        if comes_back:
            desktop.key("ctrl+z")
    desktop.find("label", "Alice")


def check_collection_removed(desktop):
    desktop.toast("“Reports” removed")
    desktop.gone("list item", contains="Reports, ")


def select(desktop, title):
    desktop.click_until(lambda: desktop.has_state("list item", title, desktop.atspi.StateType.SELECTED), "label", title)


def check_counts(desktop, n_documents, n_shelf):
    """Of the side bar."""
    desktop.find("list item", "All Documents, %d" % n_documents, timeout=10)
    desktop.find("list item", "Shelf, %d" % n_shelf, timeout=10)


def check_removal(desktop):
    desktop.lectern("collection", "add", "Shelf", "Alice", "Bruno")
    check_counts(desktop, 4, 2)
    select(desktop, "Alice")
    desktop.find("label", "1 selected")
    desktop.key("Delete")
    desktop.toast("“Alice” removed")
    desktop.gone("list item", contains="Alice")
    check_counts(desktop, 3, 1)  # while it can be undone
    assert len(desktop.lectern("library")) == 4
    desktop.press("Undo", above=True)
    desktop.find("list item", contains="Alice")
    check_counts(desktop, 4, 2)
    assert len(desktop.lectern("library")) == 4
    select(desktop, "Alice")
    desktop.key("Delete")
    desktop.gone("list item", contains="Alice")
    assert desktop.stop() == 0  # ending is the end of the chance to undo
    assert sorted(d["title"] for d in desktop.lectern("library")) == ["Bruno", "Carla", "Dora"]
    assert [c["name"] for c in desktop.lectern("collection")] == ["Shelf"]


def check_open_with(desktop):
    path = desktop.write("late.txt", "A Late Comer\n\nIt was opened from the file manager.\n" * 3)
    desktop.start(path)
    desktop.find("label", contains="Late Comer")
    garbage = desktop.write("garbage.bin", bytes(range(256)) * 16)
    desktop.start_second(garbage)
    desktop.find("label", "“garbage.bin” was not added")
    desktop.press("Why")
    desktop.find("label", contains="it is not text")
    assert desktop.stop() == 0


with Desktop() as desktop:
    for name, text in (("Alice", "Alice went to the old lighthouse by the sea."), ("Bruno", "Bruno stayed at home."),
                       ("Carla", "Carla wrote a letter."), ("Dora", "Dora read it.")):
        desktop.lectern("read", "--no-model", "--title", name, desktop.write(name.lower() + ".txt", name + "\n\n" + text + "\n"))
    desktop.set_state("Bruno", 5, "the disk was full")
    desktop.set_state("Carla", 6, "")
    desktop.start()
    check_states(desktop)
    check_filters(desktop)
    check_search(desktop)
    check_collections(desktop)
    check_removal(desktop)
    check_open_with(desktop)
