#!/usr/bin/python3
"""The desktop's search: started by its name, answers from SQLite, opens the passage in the application."""
import os
import subprocess

from desktop import UNDER, Desktop, check_under, end_with_parent

NAME, PATH, INTERFACE = "org.lectern.Lectern.SearchProvider", "/org/lectern/Lectern/SearchProvider", "org.gnome.Shell.SearchProvider2"


def linked(program):
    return subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout


with Desktop() as desktop:
    from gi.repository import Gio, GLib
    desktop.lectern("read", "--no-model", "--title", "Alice", desktop.write("a.txt", "Alice\n\nAlice went to the old lighthouse by the sea.\n"))
    desktop.lectern("read", "--no-model", "--title", "Bruno", desktop.write("b.txt", "Bruno\n\nBruno stayed at home.\n"))
    program = os.environ["LECTERN_SEARCH_PROVIDER"]
    assert "libgtk" not in linked(program) and "libadwaita" not in linked(program)
    check_under()
    provider = subprocess.Popen([*UNDER, program], preexec_fn=end_with_parent)
    desktop.children.append(provider)
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)

    def call(method, signature, *arguments):
        return bus.call_sync(NAME, PATH, INTERFACE, method, GLib.Variant(signature, arguments), None, 0, 30000, None).unpack()

    found = desktop.wait(lambda: call("GetInitialResultSet", "(as)", ["old", "lighth"])[0], "a result")
    assert len(found) == 1, found
    meta = call("GetResultMetas", "(as)", found)[0][0]
    assert meta["name"] == "Alice" and "the old lighthouse" in meta["description"], meta
    assert call("GetSubsearchResultSet", "(asas)", found, ["old", "lighthouse", "zebra"])[0] == []
    assert call("GetInitialResultSet", "(as)", ['"', "*", "AND"])[0] == []
    # Its result opens in the application, and the words in its search.
    desktop.start()
    desktop.find("list item", contains="Alice")
    call("ActivateResult", "(sasu)", found[0], ["lighthouse"], 0)
    desktop.find("text", contains="the old lighthouse")
    call("LaunchSearch", "(asu)", ["stayed"], 0)
    desktop.find("list item", contains="Bruno stayed at home")
    assert desktop.stop() == 0
