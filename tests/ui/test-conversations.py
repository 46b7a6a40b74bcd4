#!/usr/bin/python3
"""Conversations in the side bar: found by what was answered in them, opened at that turn, renamed, removed and brought back, removed for good."""
import base64
import collections
import json
import math
import os
import sqlite3

from desktop import Desktop

REPORT = "# The %s house\n\n## Of the people\n\nNote: Katya Brandt has the secret code %s. Nobody else was told.\n\n## Of the garden\n\n%s\n"
CODES = {"North": "7269234", "South": "1840957"}


def titles(desktop):
    return [c["title"] for c in desktop.lectern("conversation", "list")]


def ask(desktop, title, house, question):
    desktop.lectern("ask", "--conversation", title, "-d", "The %s house" % house, question)


def kept_parts(desktop, code):
    """What the turn with that code in its answer keeps of where the model looked: the beginning, end (bytes) and attention mass of each part."""
    library = sqlite3.connect(os.path.join(desktop.library, "library.sqlite"))
    (stats,), = library.execute("SELECT stats FROM turns WHERE answer LIKE ?", ("%" + code + "%",))
    library.close()
    parts = []
    for section in json.loads(stats)["attended"]:
        masses = base64.b64decode(section["parts"])
        assert len(masses) == math.ceil(section["tokens"] / 64), section
        length = (section["end_byte"] - section["start_byte"]) / len(masses)
        parts += [(section["start_byte"] + length * i, length, section["part_mass_most"] * mass / 255) for i, mass in enumerate(masses)]
    assert sum(mass > 0 for _, _, mass in parts) >= 3, parts
    return parts


def strengths(parts, n_bytes, n_bins):
    """How strong each bar of the strip is, from 0 to 1: the mass on its stretch of the text, beside the strongest; the root of it."""
    bins, size = [0.0] * n_bins, n_bytes / n_bins
    for start, length, mass in parts:
        for i in range(n_bins):
            bins[i] += mass * max(min(start + length, (i + 1) * size) - max(start, i * size), 0) / max(length, 1)
    return [math.sqrt(b / max(bins)) for b in bins]


def check_strip(desktop, title, code):
    """Each bar of the strip, by its length in pixels: all that is kept of where the model looked, at its place, and nothing else."""
    parts, document = kept_parts(desktop, code), desktop.lectern("library", "show", title)[0]
    box = desktop.find("slider", "Where the model looked").get_component_iface().get_extents(desktop.atspi.CoordType.WINDOW)
    usable = box.height - 12
    n_bins = int(usable / 3)
    bars = [strength * (box.width - 12) if strength >= 0.04 else 0 for strength in strengths(parts, document["bytes"], n_bins)]
    assert len({round(bar) for bar in bars}) >= 3, bars

    def differences(picture, border):
        """Extents count from within the window's border."""
        rows = [box.y + border + math.ceil(6 + usable * i / n_bins) for i in range(n_bins)]
        left = box.x + border
        grounds = collections.Counter(picture.at(left + 4, y) for y in rows)
        wrong, n_compared = [], 0
        for i, y in enumerate(rows):
            line = [picture.at(x, y) for x in range(left, left + box.width)]
            # The wedge of the passage, and the frame around what is in sight, lie over the bars.
            if any(red - blue > 60 for red, _, blue in line) or grounds[line[4]] < 4:
                continue
            length, kept = sum(blue - red > 25 for red, _, blue in line), max(bars[i], 2 if bars[i] else 0)
            n_compared += 1
            if abs(length - kept) > 1.5:
                wrong.append("%d: %d, not %.1f" % (i, length, kept))
        return wrong if n_compared > n_bins * 0.8 else wrong + ["not to be seen"] * (n_bins - n_compared)

    def is_right():
        picture = desktop.picture()
        wrong[:] = min((differences(picture, border) for border in range(9)), key=len)
        return not wrong
    wrong = []
    try:
        desktop.wait(is_right, "the strip", timeout=30)
    except TimeoutError:
        raise AssertionError("bars of the strip, by their lengths: " + "; ".join(wrong))


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
    check_strip(desktop, "The South house", CODES["South"])
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
    for bring_back in (lambda: desktop.press("Undo", above=True), lambda: desktop.key("ctrl+z")):
        menu_of(desktop, "Of trees", "Remove")
        desktop.toast("“Of trees” removed")
        desktop.gone("list item", contains="Of trees")
        bring_back()
        desktop.find("list item", contains="Of trees")
        assert len(titles(desktop)) == 2, titles(desktop)

    # The end of the window is the end of the chance to undo.
    menu_of(desktop, "About the South", "Remove")
    desktop.gone("list item", contains="About the South")
    assert desktop.stop() == 0
    assert titles(desktop) == ["Of trees"], titles(desktop)
