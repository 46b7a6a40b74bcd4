"""A desktop of its own for each test: X server, session bus, the window, driven through AT-SPI and the keyboard.

Owns: starting and ending all of it, waiting for conditions (never for a time), finding and using what a screen reader would find.
Quirks of GTK 4.8 that are worked around here: a text button's accessible name doubles; a control without a name is called by its class;
entries take no "activate" action; nothing is ever SHOWING; extents exist in window coordinates alone, and outlive the widget's showing.
"""
import contextlib
import ctypes
import importlib.util
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import gi

gi.require_version("Atspi", "2.0")

# What the window is started under: forbid-connect, in the tests of suite promise that no call reaches for the network.
UNDER = os.environ.get("LECTERN_UNDER", "").split()
TIMEOUT_S = float(os.environ.get("LECTERN_UI_TIMEOUT", "300"))
# Finds races of a test with the window: up to so many seconds pass between seeing and acting, and the window stands still as long now and then.
JITTER_S = float(os.environ.get("LECTERN_UI_JITTER", "0"))


def jitter():
    if JITTER_S > 0:
        time.sleep(random.random() * JITTER_S * random.randrange(2))


def shake(process):
    """Stops and continues a program at random until it ends, as a busy machine does."""
    while process.poll() is None:
        time.sleep(random.random() * 2 * JITTER_S)
        process.send_signal(signal.SIGSTOP)
        time.sleep(random.random() * JITTER_S)
        process.send_signal(signal.SIGCONT)


def end_with_parent():
    """In a child: it is killed when the test is, however that ends (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def document_maker():
    """The module that makes documents byte by byte, of tests/fuzz."""
    spec = importlib.util.spec_from_file_location("documents", os.path.join(os.environ["LECTERN_TEST_DATA"], "../fuzz/make-documents.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_under():
    """The filter bites: a program under it dies of a socket that is not local."""
    code = "import socket; socket.socket()"
    done = subprocess.run([*UNDER, sys.executable, "-c", code], capture_output=True)
    assert not UNDER or done.returncode == -signal.SIGSYS, done


class Picture:
    """What is on the screen, by the pixel."""

    def __init__(self, width, height, data):
        self.width, self.height, self.data = width, height, data

    def at(self, x, y):
        start = 3 * (y * self.width + x)
        return tuple(self.data[start:start + 3])


class Notifications:
    """A desktop's notifications on the test's own bus: what is told, and the click on it."""

    INTERFACE = ("<node><interface name='org.freedesktop.Notifications'>"
                 "<method name='Notify'><arg type='s' direction='in'/><arg type='u' direction='in'/><arg type='s' direction='in'/>"
                 "<arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='as' direction='in'/><arg type='a{sv}' direction='in'/>"
                 "<arg type='i' direction='in'/><arg type='u' direction='out'/></method>"
                 "<method name='CloseNotification'><arg type='u' direction='in'/></method>"
                 "<signal name='ActionInvoked'><arg type='u'/><arg type='s'/></signal></interface></node>")
    PATH = "/org/freedesktop/Notifications"

    def __init__(self):
        self.told, self.ready = [], threading.Event()
        threading.Thread(target=self._run, daemon=True).start()
        assert self.ready.wait(30), "no place on the bus"

    def _run(self):
        from gi.repository import Gio, GLib
        context = GLib.MainContext.new()
        context.push_thread_default()
        address = os.environ["DBUS_SESSION_BUS_ADDRESS"]
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        self.bus = Gio.DBusConnection.new_for_address_sync(address, flags, None, None)
        self.bus.register_object(self.PATH, Gio.DBusNodeInfo.new_for_xml(self.INTERFACE).interfaces[0], self._on_call, None, None)
        self.bus.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName",
                           GLib.Variant("(su)", ("org.freedesktop.Notifications", 0)), None, 0, -1, None)
        self.ready.set()
        GLib.MainLoop.new(context, False).run()

    def _on_call(self, bus, sender, path, interface, method, parameters, invocation):
        from gi.repository import GLib
        if method == "Notify":
            _, _, _, title, body, actions, _, _ = parameters.unpack()
            self.told.append((title, body, actions))
            invocation.return_value(GLib.Variant("(u)", (len(self.told),)))
        else:
            invocation.return_value(None)

    def click(self, number):
        """As a person clicks on the notification itself."""
        from gi.repository import GLib
        self.bus.emit_signal(None, self.PATH, "org.freedesktop.Notifications", "ActionInvoked", GLib.Variant("(us)", (number, "default")))


class Desktop:
    """Use as a context: `with Desktop() as desktop: window = desktop.start()`."""

    def __init__(self, size="1280x900"):
        self.folder = tempfile.mkdtemp(prefix="lectern-ui-")
        self.size, self.children, self.window_process, self.log = size, [], None, None

    def __enter__(self):
        data = os.path.join(self.folder, "data")
        for name in ("home", "config", "cache", "run", "data"):
            os.makedirs(os.path.join(self.folder, name), mode=0o700)
        self.library = data
        read, write = os.pipe()
        server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", self.size + "x24", "-noreset", "-nolisten", "tcp"],
                                  pass_fds=[write], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent)
        os.close(write)
        self.children.append(server)
        with os.fdopen(read) as answer:
            display = answer.readline().strip()
        assert display, "the X server did not start"
        os.environ.update({
            "DISPLAY": ":" + display, "HOME": os.path.join(self.folder, "home"), "XDG_CONFIG_HOME": os.path.join(self.folder, "config"),
            "XDG_CACHE_HOME": os.path.join(self.folder, "cache"), "XDG_RUNTIME_DIR": os.path.join(self.folder, "run"),
            "LECTERN_DATA": data, "GDK_BACKEND": "x11", "GDK_DEBUG": "gl-disable", "GSK_RENDERER": "cairo", "GSETTINGS_BACKEND": "keyfile",
            "NO_AT_BRIDGE": "0", "LC_ALL": "C.UTF-8", "LANGUAGE": "C", "GTK_USE_PORTAL": "0", "ADW_DISABLE_PORTAL": "1",
        })
        os.environ.pop("WAYLAND_DISPLAY", None)
        bus = subprocess.Popen(["dbus-daemon", "--session", "--print-address", "--nofork"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               preexec_fn=end_with_parent)
        self.children.append(bus)
        os.environ["DBUS_SESSION_BUS_ADDRESS"] = bus.stdout.readline().strip()
        from gi.repository import Atspi  # finds the bus in the environment
        self.atspi = Atspi
        Atspi.init()
        Atspi.set_timeout(5000, 20000)
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.report()
        self.stop(kill=True)
        for child in reversed(self.children):
            child.terminate()
            child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        # The AT-SPI library keeps threads and a bus that is gone now: leave without its clean-up.
        sys.stdout.flush()
        sys.stderr.flush()
        if kind is not None:
            import traceback
            traceback.print_exception(kind, value, trace)
        os._exit(1 if kind is not None else 0)

    def report(self):
        """What there was to see when a test failed."""
        picture = os.environ.get("LECTERN_UI_PICTURE")
        if picture:
            subprocess.run(["import", "-window", "root", picture], check=False)
        try:
            for line in self.tree():
                print(line, file=sys.stderr)
        except Exception as error:  # the window may be gone
            print("no tree:", error, file=sys.stderr)
        if self.log and os.path.exists(self.log):
            print(open(self.log, errors="replace").read()[-4000:], file=sys.stderr)

    # ------------------------------------------------------------------------------------------------------ the program

    def start(self, *arguments, env=None):
        check_under()
        self.log = os.path.join(self.folder, "window.log")
        program = os.environ["LECTERN_WINDOW"]
        with open(self.log, "a") as log:
            self.window_process = subprocess.Popen([*UNDER, program, *arguments], stdout=log, stderr=log, env={**os.environ, "G_DEBUG": "fatal-criticals", **(env or {})},
                                                   preexec_fn=end_with_parent)
        if JITTER_S > 0:
            threading.Thread(target=shake, args=[self.window_process], daemon=True).start()
        self.app = self.wait(self._find_app)
        self.x_window = self.wait(lambda: self._x_windows()[0])
        return self.app

    def start_second(self, *arguments):
        """As the desktop opens a file while the window is there: the new process hands it over and ends."""
        subprocess.run([*UNDER, os.environ["LECTERN_WINDOW"], *arguments], check=True, capture_output=True, timeout=TIMEOUT_S)

    def _find_app(self):
        desktop = self.atspi.get_desktop(0)
        for i in range(desktop.get_child_count()):
            app = desktop.get_child_at_index(i)
            if app is not None and app.get_process_id() == self.window_process.pid and app.get_child_count() > 0:
                return app
        assert self.window_process.poll() is None, "the window ended"
        return None

    def _x_windows(self, name="."):
        return subprocess.run(["xdotool", "search", "--onlyvisible", "--name", name], capture_output=True, text=True).stdout.split()

    def stop(self, kill=False):
        """Ends the window as a user would (Ctrl+Q), or at once as a crash would."""
        process, self.window_process = self.window_process, None
        if process is None:
            return None
        if kill:
            process.kill()
        elif process.poll() is None:
            self.call_action("quit")
        return process.wait(timeout=TIMEOUT_S)

    def call_action(self, name, *parameters):
        """An action of the application, as the desktop calls it over D-Bus. Parameters in GVariant text."""
        subprocess.run(["gdbus", "call", "--session", "--dest", "org.lectern.Lectern", "--object-path", "/org/lectern/Lectern", "--method",
                        "org.freedesktop.Application.ActivateAction", name, "[" + ", ".join("<%s>" % p for p in parameters) + "]", "{}"],
                       check=True, capture_output=True)

    def call_window_action(self, name, *parameters):
        subprocess.run(["gdbus", "call", "--session", "--dest", "org.lectern.Lectern", "--object-path", "/org/lectern/Lectern/window/1", "--method",
                        "org.gtk.Actions.Activate", name, "[" + ", ".join("<%s>" % p for p in parameters) + "]", "{}"],
                       check=True, capture_output=True)

    # ---------------------------------------------------------------------------------------------------------- waiting

    def wait(self, condition, what=None, timeout=TIMEOUT_S):
        """The first true value of condition(); errors count as false, as things vanish while one looks."""
        end, error = time.monotonic() + timeout, None
        while True:
            began = time.monotonic()
            try:
                value = condition()
                if value:
                    jitter()
                    return value
            except AssertionError:
                raise
            except Exception as problem:
                error = problem
            if self.window_process is not None and self.window_process.poll() is not None:
                raise AssertionError("the window ended with %s" % self.window_process.returncode)
            if time.monotonic() > end:
                raise TimeoutError("waited %g s for %s (%s)" % (timeout, what or condition, error))
            time.sleep(max(0.1, 2 * (time.monotonic() - began)))  # looking costs the window time, too

    # ---------------------------------------------------------------------------------------------------------- finding

    @staticmethod
    def children_of(node):
        return [c for c in (node.get_child_at_index(i) for i in range(node.get_child_count())) if c is not None]

    def walk(self, root=None, most=20000):
        stack = [root or self.app]
        while stack and most:
            node = stack.pop()
            most -= 1
            yield node
            try:
                stack.extend(reversed(self.children_of(node)))
            except Exception:
                pass

    def visible(self, root=None):
        """Only what can be seen: GTK marks what a stack or a revealer hides as not visible."""
        stack = [root or self.app]
        while stack:
            node = stack.pop()
            try:
                if node.get_role_name() != "application" and not node.get_state_set().contains(self.atspi.StateType.VISIBLE):
                    continue
                yield node
                stack.extend(reversed(self.children_of(node)))
            except Exception:
                pass

    def top_levels(self, most=100):
        """What can be seen, from the top of the tree down, level by level, not far: what lies over all else, a toast, comes within twenty nodes. It
        goes after seconds: on a slow machine, whoever goes through all the pages below it comes too late."""
        level = [self.app]
        while level:
            below = []
            for node in level:
                try:
                    if node.get_role_name() != "application" and not node.get_state_set().contains(self.atspi.StateType.VISIBLE):
                        continue
                    yield node
                    below.extend(self.children_of(node))
                except Exception:
                    pass
                most -= 1
                if most == 0:
                    return
            level = below

    def text(self, node):
        if node.get_text_iface():
            return self.atspi.Text.get_text(node, 0, self.atspi.Text.get_character_count(node))
        return node.get_name() or ""

    def is_named(self, node, name):
        if node.get_name() == name:
            return True
        return node.get_role_name() in ("push button", "toggle button", "check box") and any(
            c.get_role_name() == "label" and self.text(c) == name for c in self.walk(node, 20))

    def is_placed(self, node):
        """What was never on the screen (a page of a stack, a closed revealer) has no size."""
        if not node.get_component_iface():
            return True
        box = node.get_component_iface().get_extents(self.atspi.CoordType.WINDOW)
        return box.width > 0 and box.height > 0

    def look(self, role=None, name=None, contains=None, root=None):
        """The first visible node that fits, or None, at once."""
        for node in self.visible(root):
            try:
                if role is not None and node.get_role_name() != role:
                    continue
                if name is not None and not self.is_named(node, name):
                    continue
                if contains is not None and contains not in self.text(node) and contains not in (node.get_name() or ""):
                    continue
                if self.is_placed(node):
                    return node
            except Exception:
                continue
        return None

    def find(self, role=None, name=None, contains=None, timeout=TIMEOUT_S):
        return self.wait(lambda: self.look(role, name, contains), "%s “%s”" % (role or "anything", name or contains), timeout)

    def gone(self, role=None, name=None, contains=None):
        self.wait(lambda: self.look(role, name, contains) is None, "%s “%s” to go" % (role, name or contains))

    def tree(self):
        """The visible tree as indented lines, for reports."""
        lines, stack = [], [(self.app, 0)]
        while stack:
            node, depth = stack.pop()
            try:
                if depth > 0 and not node.get_state_set().contains(self.atspi.StateType.VISIBLE):
                    continue
                lines.append("%s%s “%s”" % ("  " * depth, node.get_role_name(), self.text(node)[:70]))
                stack.extend((c, depth + 1) for c in reversed(self.children_of(node)))
            except Exception:
                pass
        return lines

    # ------------------------------------------------------------------------------------------------------------ using

    def press(self, name, role="push button", root=None, above=False):
        """A button by its name, of the window root if several have one: its own action, as a screen reader's user presses it. above: of a toast."""
        def act():
            for node in self.top_levels() if above else self.visible(root):  # a menu's button is a button within one of the same name, of which one acts
                if role in (None, node.get_role_name()) and self.is_named(node, name) and node.get_action_iface() and \
                        node.get_n_actions() > 0 and self.is_placed(node):
                    jitter()
                    return node.do_action(0)
            return False
        self.wait(act, "to press “%s”" % name)

    def window_named(self, title):
        """An X window by its whole title, once it is there."""
        return self.wait(lambda: self._x_windows("^%s$" % re.escape(title))[0], "the window “%s”" % title)

    def fill(self, title, text):
        """A dialog with one entry, by its title: types the text and Return into it, by which it goes; until then it lies over what is clicked on."""
        subprocess.run(["xdotool", "windowfocus", "--sync", self.window_named(title), "type", "--delay", "20", text], check=True, capture_output=True)
        subprocess.run(["xdotool", "key", "Return"], check=True)
        self.window_gone(title)

    def escape_from(self, title):
        """Escape, to the window of that title, which goes by it."""
        subprocess.run(["xdotool", "windowfocus", "--sync", self.window_named(title), "key", "Escape"], check=True, capture_output=True)
        self.window_gone(title)

    def window_gone(self, title):
        self.wait(lambda: not self._x_windows("^%s$" % re.escape(title)), "“%s” to go" % title)

    def focus_window(self):
        subprocess.run(["xdotool", "windowfocus", "--sync", self.x_window], check=False, capture_output=True)

    def look_elsewhere(self):
        """No window has the keyboard, as when a person works in another application."""
        x11 = ctypes.CDLL("libX11.so.6")
        x11.XOpenDisplay.restype = ctypes.c_void_p
        display = ctypes.c_void_p(x11.XOpenDisplay(None))
        x11.XSetInputFocus(display, ctypes.c_ulong(0), 0, ctypes.c_ulong(0))
        x11.XCloseDisplay(display)

    def key(self, *keys):
        self.focus_window()
        subprocess.run(["xdotool", "key", "--clearmodifiers", *keys], check=True)

    @contextlib.contextmanager
    def held(self):
        """The window stands still meanwhile: it meets at once all that is done to it, as by someone quick on a slow machine."""
        self.focus_window()
        self.window_process.send_signal(signal.SIGSTOP)
        yield
        self.window_process.send_signal(signal.SIGCONT)

    def type(self, text, *keys):
        """Text, and then at once the keys."""
        self.focus_window()
        subprocess.run(["xdotool", "type", "--delay", "20", text], check=True)
        if keys:
            subprocess.run(["xdotool", "key", "--clearmodifiers", *keys], check=True)

    def picture(self):
        """The window's pixels; it stands at the screen's origin, where no window manager moves it."""
        width, height = map(int, self.size.split("x"))
        return Picture(width, height, subprocess.run(["import", "-window", "root", "-depth", "8", "rgb:-"], capture_output=True, check=True).stdout)

    def toast(self, words, window=None):
        """The toast that says so, held: it stays for as long as the pointer is on it, and what it offers with it."""
        def find():
            return next((node for node in self.top_levels() if node.get_role_name() == "label" and words in self.text(node) and self.is_placed(node)), None)
        self.click(self.wait(find, "a toast “%s”" % words), window=window, repeat=0)

    def click(self, node, button="1", repeat=1, at=(0.5, 0.5), window=None):
        """With the pointer, in the middle of what is there, or elsewhere in it; in the main window, or another by its title. repeat 0: only points."""
        seen = [None]

        def settled():  # it has a place, and has kept it
            box = node.get_component_iface().get_extents(self.atspi.CoordType.WINDOW)
            place, seen[0] = seen[0], (box.x, box.y, box.width, box.height)
            return box if box.width > 0 and box.height > 0 and place == seen[0] else None
        extents = self.wait(settled, "a place to click on")
        x, y = extents.x + int(extents.width * at[0]), extents.y + int(extents.height * at[1])
        x_window = self.x_window if window is None else self.window_named(window)
        subprocess.run(["xdotool", "windowfocus", "--sync", x_window], check=False, capture_output=True)
        # Moved, be it by a pixel: what came to lie under a pointer at rest does not get its presses.
        move = ["mousemove", "--window", x_window]
        press = ["click", "--repeat", str(repeat), "--delay", "60", button] if repeat > 0 else []
        subprocess.run(["xdotool", *move, str(x + 1), str(y), *move, str(x), str(y), *press], check=True)

    def click_until(self, outcome, role, name=None, contains=None, **how):
        """Clicks on what is so called, wherever that is by then, until it has done what it should: lists are filled and moved while one aims.
        Gives the outcome."""
        what = "a click on “%s” to do something" % (name or contains)

        def attempt():
            value = outcome()
            if value:
                return value
            self.click(self.find(role, name, contains), **how)
            try:
                return self.wait(outcome, what, timeout=min(10, TIMEOUT_S))
            except TimeoutError:
                return None
        return self.wait(attempt, what)

    def menu_of(self, contains, entry):
        """The menu of a row, by the pointer's other button; gives that entry."""
        return self.click_until(lambda: self.look("menu item", contains=entry), "list item", contains=contains, button="3")

    def has_state(self, role, contains, state):
        node = self.look(role, contains=contains)
        return node is not None and node.get_state_set().contains(state)

    def resize(self, width, height):
        subprocess.run(["xdotool", "windowsize", "--sync", self.x_window, str(width), str(height)], check=True)

    # ------------------------------------------------------------------------------------------------------- the library

    def lectern(self, *arguments):
        """The command line over the same library: makes what a test needs, looks at what the window did."""
        done = subprocess.run([os.environ["LECTERN"], "--json", *arguments], capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def set_state(self, title, state, note):
        """What only rare accidents bring about (a scan, a failure) is written into the library, as if it had happened."""
        library = sqlite3.connect(os.path.join(self.library, "library.sqlite"))
        n = library.execute("UPDATE documents SET state=?, note=? WHERE title=?", (state, note, title)).rowcount
        library.commit()
        library.close()
        assert n == 1, (title, n)

    def write(self, name, text):
        path = os.path.join(self.folder, "home", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mode = "wb" if isinstance(text, bytes) else "w"
        with open(path, mode) as file:
            file.write(text)
        return path
