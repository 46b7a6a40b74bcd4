#!/usr/bin/python3
"""What the window says when there is nothing to show, or something went wrong: each by its words, and by what its button does."""
import os
import re
import subprocess
import zlib

from desktop import Desktop, document_maker

DOCUMENTS = os.environ["LECTERN_TEST_DOCUMENTS"]
RESOURCES = os.environ["LECTERN_RESOURCES"]


def says(desktop, *parts):
    """Labels that hold all of these, each in one of them."""
    for part in parts:
        desktop.find("label", contains=part)


def ask(desktop, question):
    entry = desktop.find("text", "Question")
    desktop.wait(lambda: desktop.atspi.EditableText.set_text_contents(entry, question))
    desktop.press("Send question")


def states(desktop):
    return {d["title"]: d["state"] for d in desktop.lectern("library")}


def wait_state(desktop, title, state):
    desktop.wait(lambda: states(desktop).get(title) == state, "“%s” to be %s, now %s" % (title, state, states(desktop)))


def check_chooser(desktop):
    """The button opens the desktop's file chooser."""
    desktop.window_named("Add Documents")
    desktop.escape_from("Add Documents")


def check_first_start(desktop):
    desktop.start()
    says(desktop, "Read Once, Ask on Any Day", "Nothing leaves the machine.", "Questions that you ask are kept here.", "Ask everything")
    desktop.press("Add Documents…")
    check_chooser(desktop)
    ask(desktop, "What is this about?")
    says(desktop, "the library is empty")
    answer = [n for n in desktop.visible() if n.get_role_name() == "push button" and desktop.is_named(n, "Add Documents…") and desktop.is_placed(n)][-1]
    assert answer.do_action(0)  # the one below the answer
    check_chooser(desktop)


def check_last_removed(desktop):
    """Without its last document the library is at its beginning again; with it, it is not."""
    desktop.start_second(desktop.write("only.txt", "The Only One\n\nIt is not alone for long.\n"))
    desktop.find("list item", contains="The Only One, Ready")
    desktop.click_until(lambda: desktop.look("label", "1 selected"), "label", "The Only One")
    desktop.key("Delete")
    desktop.toast("“The Only One” removed")
    desktop.gone("list item", contains="The Only One")
    desktop.press("Undo", above=True)
    desktop.find("list item", contains="The Only One, Ready")
    assert desktop.stop() == 0


def check_unread(desktop):
    """A question to what is not read says so, and its button has it read."""
    desktop.lectern("read", "--no-model", "--title", "Unread", desktop.write("unread.txt", "Unread\n\nNobody has looked at it yet.\n"))
    desktop.start()
    number = {d["title"]: d["number"] for d in desktop.lectern("library")}["Unread"]
    desktop.find("label", contains="Not read yet")
    desktop.call_window_action("ask-documents", "@ax [%d]" % number)
    desktop.find("label", "Ask this document")
    ask(desktop, "Who has looked at it?")
    says(desktop, "is not read with starter yet")
    desktop.press("Read Now")
    wait_state(desktop, "Unread", "ready")
    assert desktop.stop() == 0


def check_failed(desktop):
    """The reason, what to do, and the button that tries again."""
    desktop.set_state("Unread", 5, "the disk was full")
    desktop.start()
    says(desktop, "Could not be read", "the disk was full", "Try again; if it fails again, look whether the file opens in another application.")
    desktop.press("Try Again")
    desktop.find("list item", contains="Unread, Ready")
    assert desktop.stop() == 0


def check_full_disk(desktop):
    """No room for what is read, or none for the library itself, either: the document says why, and is read once there is room."""
    sample = open(os.path.join(RESOURCES, "samples/the-time-machine.txt")).read()
    full = {"LD_PRELOAD": os.environ["LECTERN_FULL_DISK"], "LECTERN_FULL_BYTES": "2000000"}
    path = desktop.write("large.txt", "A Large One\n\n" + sample[5000:17000])
    desktop.start(path, env={**full, "LECTERN_FULL_FOLDER": os.path.join(desktop.library, "cache")})
    says(desktop, "Paused at 0%", "the disk is full (No space left on device). Free space")
    wait_state(desktop, "A Large One", "paused")
    assert desktop.stop() == 0
    desktop.start(env={**full, "LECTERN_FULL_FOLDER": desktop.library})
    desktop.press("Read On")
    says(desktop, "Could not be read", "Try again")
    assert desktop.stop() == 0
    desktop.start()  # by itself: it was being read
    wait_state(desktop, "A Large One", "ready")
    assert desktop.stop() == 0


def make_scan(desktop, name="harvest.pdf", n_pages=1):
    """Pages as a scanner makes them: pictures of the words, the same on each."""
    documents = document_maker()
    page = documents.text_pdf([[(72, 100, 24, 2, "Harvest of the year"), (72, 160, 18, 1, "The barley came in before the rain.")]])
    drawn = subprocess.run(["pdftoppm", "-gray", "-r", "150", "-singlefile", "-"], input=page, capture_output=True, check=True).stdout
    kind, size, _, pixels = drawn.split(b"\n", 3)
    width, height = map(int, size.split())
    assert kind == b"P5" and len(pixels) == width * height
    picture = "/Type /XObject /Subtype /Image /Width %d /Height %d /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /FlateDecode" % (width, height)
    kids = b" ".join(b"%d 0 R" % (5 + i) for i in range(n_pages))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count %d /Kids [%s] >>" % (n_pages, kids),
               documents.stream(zlib.compress(b"q 612 0 0 792 0 0 cm /I Do Q"), "/Filter /FlateDecode"),
               documents.stream(zlib.compress(pixels), picture)]
    objects += [b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources << /XObject << /I 4 0 R >> >> >>"] * n_pages
    return desktop.write(name, documents.pdf_bytes(objects))


def on_terminal(*arguments):
    """What a program says to a terminal."""
    screen, terminal = os.openpty()
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=terminal) as program:
        os.close(terminal)
        said = b""
        try:
            while got := os.read(screen, 65536):
                said += got
        except OSError:  # its end, as Linux tells it
            pass
    os.close(screen)
    return said.decode()


def read_scan(desktop):
    desktop.press("Read the Scan…")
    desktop.press("Read", root=desktop.find(name="Read the Scan?"))


def check_scan_pages(desktop):
    """Recognition takes seconds a page: both the window and the command line say at which page it is, how long it takes, and can be stopped."""
    path = make_scan(desktop, "long harvest.pdf", 20)
    said = on_terminal(os.environ["LECTERN"], "--data", os.path.join(desktop.folder, "other"), "read", "--no-model", "--ocr", path)
    assert re.search("Taking in long harvest.pdf  [0-9]+ of 20 pages  .*/s  .* left", said), said
    desktop.start(path)
    desktop.find("list item", contains="long harvest, No text")
    read_scan(desktop)
    desktop.find("label", contains=" left")
    # Recognition stands still, so that there is something left to be stopped.
    subprocess.run(["pkill", "-STOP", "-P", str(desktop.window_process.pid), "lectern-extract"], check=True)
    says(desktop, "Adding long harvest.pdf", "Page ", " of 20 · ", " left")
    desktop.press("Stop Adding")
    desktop.gone("label", contains="Adding long harvest.pdf")
    desktop.find("list item", contains="long harvest, No text")
    read_scan(desktop)
    desktop.find("list item", contains="long harvest, Ready")
    desktop.gone("label", contains="Adding long harvest.pdf")
    assert desktop.stop() == 0


def check_scan(desktop):
    """Its pages are pictures: read with Tesseract where that is there, and why not where it is not."""
    desktop.start(make_scan(desktop), env={"TESSDATA_PREFIX": desktop.folder})
    says(desktop, "No text in it", "Its pages are pictures, or empty. Text recognition (OCR) reads pictures of text.")
    desktop.press("Read the Scan…")
    says(desktop, "Scans Cannot Be Read Here", "tesseract-ocr")
    desktop.press("Close", root=desktop.find(name="Scans Cannot Be Read Here"))
    assert desktop.stop() == 0
    desktop.start()
    desktop.press("Read the Scan…")
    says(desktop, "Read the Scan?", "Tesseract can read them on this computer")
    desktop.press("Read", root=desktop.find(name="Read the Scan?"))
    desktop.find("list item", contains="harvest, Ready")
    desktop.gone("label", contains="No text in it")
    assert desktop.lectern("search", "barley"), "what was recognised is not found"
    assert desktop.stop() == 0


def check_locked(desktop):
    """Nothing comes in without its password, and nothing is asked twice."""
    before = states(desktop)
    desktop.start(os.path.join(DOCUMENTS, "encrypted.pdf"))
    says(desktop, "Password Needed", "“encrypted.pdf” is encrypted.")
    desktop.press("Cancel")
    desktop.gone("label", "Password Needed")
    assert states(desktop) == before
    assert desktop.stop() == 0


def check_reader(desktop):
    """Without text and without its file there is nothing to be read, and the page says why."""
    scan = desktop.write("gone.pdf", open(os.path.join(DOCUMENTS, "scan.pdf"), "rb").read() + b"\n%another\n")
    subprocess.run([os.environ["LECTERN"], "read", "--no-model", "--title", "Gone", scan], capture_output=True)  # it fails: there is no text
    os.unlink(scan)
    number = {d["title"]: d["number"] for d in desktop.lectern("library")}["Gone"]
    desktop.start()
    desktop.call_action("open-document", "int64 %d" % number)
    says(desktop, "Nothing to Read", "text recognition can read it")
    assert desktop.stop() == 0


def check_no_model(desktop):
    """Said above the list and in answers, with the way to the models; what was added waits, and is read once there is one."""
    bare = os.path.join(desktop.folder, "bare")
    os.makedirs(bare)
    for name in os.listdir(RESOURCES):
        if name != "starter.safetensors":
            os.symlink(os.path.join(RESOURCES, name), os.path.join(bare, name))
    desktop.start(desktop.write("patient.txt", "Patient\n\nIt can wait.\n"), env={"LECTERN_RESOURCES": bare})
    says(desktop, "No model is loaded, so nothing can be read or answered: ", "Waiting")
    ask(desktop, "What can wait?")
    desktop.press("Models…")
    desktop.find("label", contains="The chosen one reads and answers.")
    assert states(desktop)["Patient"] == "queued", states(desktop)
    assert desktop.stop() == 0
    desktop.start()
    desktop.find("list item", contains="Patient, Ready")
    assert desktop.look("label", contains="No model is loaded") is None
    assert desktop.stop() == 0


def check_broken_library(desktop):
    """A library that cannot be opened is left as it is, and the window says why."""
    path = os.path.join(desktop.library, "library.sqlite")
    for end in ("-wal", "-shm"):
        if os.path.exists(path + end):
            os.unlink(path + end)
    garbage = b"this is no database\n" * 400
    open(path, "wb").write(garbage)
    desktop.start()
    says(desktop, "The Library Cannot Be Opened", "library.sqlite")
    assert desktop.stop() == 0
    assert open(path, "rb").read() == garbage


with Desktop() as desktop:
    for check in (check_first_start, check_last_removed, check_unread, check_failed, check_full_disk, check_scan, check_scan_pages, check_locked, check_reader,
                  check_no_model, check_broken_library):
        check(desktop)
        print(check.__name__)
