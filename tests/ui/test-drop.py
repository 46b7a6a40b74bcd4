#!/usr/bin/python3
"""A file and a folder are dropped onto the window: all that can be read in them is in the library."""
import os
import subprocess

from desktop import Desktop

with Desktop() as desktop:
    one = desktop.write("one.txt", "The First\n\nIt stands alone.\n")
    desktop.write("folder/two.md", "# The Second\n\nIt is in a folder.\n")
    desktop.write("folder/deeper/three.txt", "The Third\n\nIt is deeper.\n")
    desktop.write("folder/picture.png", b"\x89PNG\r\n\x1a\n" + bytes(64))
    done = subprocess.run([os.environ["LECTERN_DROP"], "3", one, os.path.join(os.path.dirname(one), "folder")], timeout=300)
    assert done.returncode == 0, done
    assert sorted(os.path.basename(d["source"]) for d in desktop.lectern("library")) == ["one.txt", "three.txt", "two.md"]
