#!/usr/bin/python3
"""What the desktop gets from us is valid: desktop file, metainfo, icons, translations that are complete.

usage: check-desktop-files.py SOURCE_FOLDER DESKTOP_FILE METAINFO
"""
import os
import re
import subprocess
import sys
import xml.dom.minidom

root, desktop_file, metainfo = sys.argv[1:4]
resources = os.path.join(root, "resources")
faults = []


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0 or "error:" in done.stdout:
        faults.append("%s\n%s%s" % (" ".join(command), done.stdout, done.stderr))
    return done


run("desktop-file-validate", desktop_file)
run("appstreamcli", "validate", "--no-net", metainfo)
for folder, _, names in os.walk(os.path.join(resources, "icons")):
    for name in names:
        xml.dom.minidom.parse(os.path.join(folder, name))

# Every file with words for people is listed for translation, and every translation has all of them.
listed = set(open(os.path.join(resources, "po/POTFILES")).read().split())
for folder, _, names in os.walk(os.path.join(root, "ui")):
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith(".c") and re.search(r"\b(_|C_|N_|ngettext)\(\"", open(path).read()) and os.path.relpath(path, root) not in listed:
            faults.append("%s is missing in resources/po/POTFILES" % os.path.relpath(path, root))
for name in sorted(os.listdir(os.path.join(resources, "ui"))):
    if "resources/ui/" + name not in listed and "translatable" in open(os.path.join(resources, "ui", name)).read():
        faults.append("resources/ui/%s is missing in resources/po/POTFILES" % name)
for missing in sorted(p for p in listed if not os.path.exists(os.path.join(root, p))):
    faults.append("resources/po/POTFILES lists %s, which there is not" % missing)
for language in open(os.path.join(resources, "po/LINGUAS")).read().split():
    translation = os.path.join(resources, "po", language + ".po")
    run("msgfmt", "--check", "-o", os.devnull, translation)
    run("msgcmp", translation, os.path.join(resources, "po/lectern.pot"))

print("\n".join(faults) if faults else "the desktop's files are valid")
sys.exit(1 if faults else 0)
