#!/usr/bin/python3
"""Everything that can be used has a name that a screen reader can say; all of it can be reached by keyboard; nothing is cut off at 360
pixels."""
import subprocess

from desktop import Desktop

CONTROLS = {"push button", "toggle button", "check box", "radio button", "entry", "text", "list item", "menu item", "slider", "spin button", "combo box",
            "switch", "list", "progress bar"}


def check_names(desktop, where):
    nameless = []
    for node in desktop.visible():
        name = (node.get_name() or "").strip()
        if name == "GtkImage" and node.get_parent().get_parent().get_parent().get_role_name() == "form":
            continue  # GTK 4.8's own button that closes a search bar; Escape does, too
        if node.get_role_name() in CONTROLS and (not name or name.startswith(("Gtk", "Adw", "Ui"))):
            inside = any(c.get_role_name() == "label" and desktop.text(c).strip() for c in desktop.walk(node, 30))
            parent = node.get_parent()
            part = parent is not None and parent.get_role_name() in ("entry", "text")  # the text inside a search entry
            if not inside and not part and desktop.is_placed(node):
                nameless.append("%s in %s" % (node.get_role_name(), " < ".join(ancestors(node))))
    assert not nameless, "%s: without a name:\n%s" % (where, "\n".join(nameless))


def ancestors(node):
    names = []
    while node is not None and len(names) < 8:
        names.append("%s “%s”" % (node.get_role_name(), node.get_name()))
        node = node.get_parent()
    return names


def check_windows(desktop):
    """What opens beside the main window, by what shows that it is there; not the shortcuts, of which GTK's own search button has no name."""
    for action, sign in (("preferences", "A Second Machine"), ("models", "starter"), ("storage", "By Document"), ("about", "The Lectern developers")):
        desktop.call_action(action)
        desktop.find(contains=sign)
        check_names(desktop, action)


def check_menus(desktop):
    """Menus and bars of the library and of the reader."""
    for button, entry in (("Add Documents", "Add Folders…"), ("Sort and Filter", "Last Change"), ("Conversation menu", "Copy Conversation")):
        desktop.press(button)
        desktop.find(contains=entry)
        check_names(desktop, button)
        desktop.key("Escape")
    desktop.press("New Collection")
    desktop.find("label", "New Collection")
    check_names(desktop, "new collection")
    desktop.key("Escape")


def window_extents(desktop):
    frame = desktop.find("frame")
    return frame.get_component_iface().get_extents(desktop.atspi.CoordType.WINDOW)


def check_fits(desktop, where, width):
    """Nothing that can be pressed or read reaches over the window's edge."""
    def outside():
        found = []
        for node in desktop.visible():
            if node.get_role_name() not in CONTROLS | {"label"} or not node.get_component_iface():
                continue
            box = node.get_component_iface().get_extents(desktop.atspi.CoordType.WINDOW)
            if box.width > 0 and box.height > 0 and box.x < width - 16 and box.x + box.width > width:
                found.append("%s “%s” %d..%d" % (node.get_role_name(), desktop.text(node)[:30], box.x, box.x + box.width))
        return found
    for _ in range(100):
        cut = outside()
        if not cut:
            return
    raise AssertionError("%s: cut off at %d: %s" % (where, width, cut))


def x_width(desktop):
    out = subprocess.run(["xdotool", "getwindowgeometry", desktop.x_window], capture_output=True, text=True).stdout
    return int(out.split("Geometry: ")[1].split("x")[0])


def narrow(desktop):
    desktop.resize(372, 640)  # with the borders that GTK draws where there is no compositor
    desktop.wait(lambda: x_width(desktop) <= 380, "a narrow window, the least is %d" % x_width(desktop))


with Desktop() as desktop:
    for name in ("A Title That Is Much Longer Than Any Window Is Wide, As Titles of Reports Tend to Be, With Its Year", "Bruno"):
        desktop.lectern("read", "--no-model", "--title", name, desktop.write("%d.txt" % len(name), name + "\n\nSome text of " + name + ".\n"))
    desktop.start()
    desktop.find("list item", contains="Bruno")
    check_names(desktop, "library")
    # By keyboard alone: to the list, into a document and back.
    desktop.click(desktop.find("label", "Bruno"))
    desktop.key("Return")
    desktop.find("text", contains="Some text of Bruno")
    desktop.key("ctrl+f")
    desktop.find("entry", "Find in this document")
    check_names(desktop, "reader")
    desktop.key("Escape", "ctrl+g")
    desktop.find("entry", "Go to page or chapter")
    check_names(desktop, "reader's contents")
    desktop.key("Escape")
    desktop.key("Escape")
    desktop.find("list item", contains="Bruno")
    desktop.key("F10")
    desktop.find(name="Keyboard Shortcuts")
    check_names(desktop, "main menu")
    desktop.key("Escape")
    check_menus(desktop)
    check_windows(desktop)
    assert desktop.stop() == 0
    # Begun anew, as what was shown once keeps its old size in the tree.
    desktop.start()
    desktop.find("list item", contains="Bruno")
    narrow(desktop)
    check_fits(desktop, "library", 372)
    desktop.key("F9")
    check_fits(desktop, "ask", 372)
    check_names(desktop, "ask")
    desktop.key("Escape")
    desktop.press("Back")
    desktop.find("list item", contains="All Documents")
    check_fits(desktop, "side bar", 372)
    assert desktop.stop() == 0
