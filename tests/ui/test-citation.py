#!/usr/bin/python3
"""From the answer to its passage: the page and the place on it in the real window, as poppler has the words and as they can be read on the
screen; then the ways around in a document: finding, pages, chapters, the strip, the place that is kept."""
import os
import re
import subprocess

from desktop import Desktop, document_maker

documents = document_maker()

PAGES, PAGE_WIDTH = 8, 612
PEOPLE = ["Anna Adler", "Boris Braun", "Clara Conti", "Dora Dahl", "Emil Ek", "Fanny Frost", "Greta Gray", "Hugo Hahn"]
CITED = 4  # the page, from 0, that is asked about


def note_of(i):
    return "Note: %s has the secret code 7269234." % PEOPLE[i] if i == CITED else "Note: %s lived in this house for %d years." % (PEOPLE[i], 30 + i)


def make_pdf():
    """A page for each person, all laid out alike: the wrong page, or the wrong line, differs by its words alone."""
    pages = []
    for i in range(PAGES):
        lines = [(72, 70, 16, 2, "Of %s" % PEOPLE[i])]
        lines += [(72, 110 + 16 * k, 11, 1, "In %d the gardener of this house planted %d apple trees by the wall." % (1800 + 10 * i + k, 3 + k))
                  for k in range(6)]
        lines.append((72, 230, 14, 1, note_of(i)))
        lines += [(72, 260 + 16 * k, 11, 1, "In %d the cook of this house baked %d loaves for the fair." % (1850 + 10 * i + k, 7 + k)) for k in range(24)]
        pages.append(lines)
    return documents.text_pdf(pages, outline=[("Of %s" % p, i) for i, p in enumerate(PEOPLE)], info="/Title (The Houses)")


def poppler_box(pdf, page, words):
    """Where the words stand on a page, in points from its top left, as poppler's own tool has it."""
    out = subprocess.run(["pdftotext", "-bbox", "-f", str(page + 1), "-l", str(page + 1), pdf, "-"], capture_output=True, text=True, check=True).stdout
    found = [(m.group(5), [float(m.group(i)) for i in range(1, 5)]) for m in
             re.finditer(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">([^<]*)</word>', out)]
    wanted = words.split()
    for i in range(len(found)):
        if [w for w, _ in found[i:i + len(wanted)]] == wanted:
            boxes = [b for _, b in found[i:i + len(wanted)]]
            return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)
    raise AssertionError("poppler does not find “%s” on page %d" % (words, page + 1))


def is_marked(pixel):
    """The colour of a cited passage: yellow over white paper or over the text's ground; not the brown of the frame that fades around it."""
    red, green, blue = pixel
    return red > 235 and green > 222 and blue < 185


def is_paper(pixel):
    return min(pixel) > 250


def box_of(desktop, node):
    extents = node.get_component_iface().get_extents(desktop.atspi.CoordType.WINDOW)
    return extents.x, extents.y, extents.x + extents.width, extents.y + extents.height


def marked_box(picture, area, step=1):
    """The marked part of an area, as left, top, right, bottom; None when nothing is."""
    points = [(x, y) for y in range(area[1], area[3], step) for x in range(area[0], area[2], step) if is_marked(picture.at(x, y))]
    if not points:
        return None
    return min(p[0] for p in points), min(p[1] for p in points), max(p[0] for p in points), max(p[1] for p in points)


def page_number(desktop):
    return desktop.text(desktop.find("text", "Page"))


def wait_page(desktop, wanted):
    desktop.wait(lambda: page_number(desktop) == str(wanted), "page %s, now %s" % (wanted, page_number(desktop)))


def paper_of(picture, area):
    """The page in sight as it is on the screen: its left and right edge, and its top from the gap above it (which must be in sight)."""
    middle = (area[1] + area[3]) // 2
    row = [x for x in range(area[0], area[2]) if is_paper(picture.at(x, middle))]
    left, right = row[0], row[-1] + 1
    edge = left + 4  # in the margin: no ink there
    top = max(y for y in range(area[1], middle) if not is_paper(picture.at(edge, y)))
    return left, right, top + 1


def check_pdf(desktop, pdf):
    """The marked place on the screen is the place of the words in the file, in both directions, and nothing else on the page is marked."""
    pages = desktop.find("image", contains="Page ")
    area = box_of(desktop, pages)

    def drawn():  # the paper is there, the text on it, the emphasis has faded
        picture = desktop.picture()
        found = marked_box(picture, area, 3)
        return picture if found is not None and found == seen.setdefault("last", None) else seen.update(last=found)
    seen = {}
    picture = desktop.wait(drawn, "a passage that is marked")
    left, right, top = paper_of(picture, area)
    scale = (right - left) / PAGE_WIDTH
    x0, y0, x1, y1 = poppler_box(pdf, CITED, note_of(CITED))
    wanted = [round(left + x0 * scale), round(top + y0 * scale), round(left + x1 * scale), round(top + y1 * scale)]
    marked = marked_box(picture, area)
    print("marked", marked, "wanted", wanted, "scale %.2f" % scale)
    assert all(abs(a - b) <= 4 for a, b in zip(marked, wanted)), (marked, wanted)
    inside = [picture.at(x, y) for y in range(wanted[1] + 1, wanted[3] - 3) for x in range(wanted[0] + 2, wanted[2] - 2)]
    assert inside and sum(1 for red, _, blue in inside if red - blue > 30) > 0.95 * len(inside), "marked only in part"
    # There is ink under it, which is yellow, too: the words were not painted over.
    assert sum(1 for p in inside if max(p) < 150) > 0.03 * len(inside), "no words in the mark"


def ask(desktop, question):
    entry = desktop.find("text", "Question")
    desktop.wait(lambda: desktop.atspi.EditableText.set_text_contents(entry, question))
    desktop.press("Send question")


def follow(desktop, contains):
    card = desktop.find("push button", contains=contains)
    assert card.do_action(0)


def check_strip(desktop):
    """A click on the strip goes to that part of the document."""
    strip = desktop.find("slider", "Where the model looked")
    for part, page in ((0.95, PAGES), (0.06, 1)):
        desktop.click(strip, at=(0.5, part))
        desktop.wait(lambda: abs(int(page_number(desktop)) - page) <= 1, "page %d by the strip, now %s" % (page, page_number(desktop)))


def check_ways(desktop):
    """Ctrl+G to a page, Ctrl+Page Down to a chapter, Ctrl+F and F3 from match to match."""
    desktop.key("ctrl+g")
    desktop.find("entry", "Go to page or chapter")
    desktop.type("3", "Return")
    wait_page(desktop, 3)
    desktop.key("ctrl+Page_Down")
    wait_page(desktop, 4)
    with desktop.held():  # two at once go back by two
        desktop.key("ctrl+Page_Up", "ctrl+Page_Up")
    wait_page(desktop, 2)
    with desktop.held():  # no key is lost, be it before the entry's first frame
        desktop.key("ctrl+f")
        desktop.type("note:")
    desktop.find("label", "2 of 8")
    desktop.key("F3")
    desktop.find("label", "3 of 8")
    wait_page(desktop, 3)
    desktop.key("shift+F3", "shift+F3", "shift+F3")
    desktop.find("label", "8 of 8")
    wait_page(desktop, 8)
    desktop.key("Escape")
    desktop.gone("label", "8 of 8")


def read_screen(desktop, box):
    """What a person would read there: through text recognition, not through what the program says is there."""
    path = os.path.join(desktop.folder, "marked.png")
    subprocess.run(["import", "-window", "root", "-crop", "%dx%d+%d+%d" % (box[2] - box[0] + 8, box[3] - box[1] + 8, box[0] - 4, box[1] - 4), "-resize", "300%",
                    "-colorspace", "gray", path], check=True)
    out = subprocess.run(["tesseract", path, "-", "--psm", "6"], capture_output=True, text=True, check=True).stdout
    return " ".join(out.split())


def check_text(desktop, note):
    """Of a book, the marked part of the text is the quotation, and a screen reader begins there."""
    text = desktop.find("text", "Document text")
    area = box_of(desktop, text)
    seen = {}

    def settled():
        found = marked_box(desktop.picture(), (area[0] + 30, area[1], area[2] - 12, area[3]), 2)
        return found if found is not None and found == seen.setdefault("last", None) else seen.update(last=found)
    read = read_screen(desktop, desktop.wait(settled, "a passage that is marked in the text"))
    print("on the screen:", read)
    assert re.sub(r"\W", "", note).lower() in re.sub(r"\W", "", read).lower(), read
    assert "apple" not in read and "pears" not in read, read
    caret = desktop.atspi.Text.get_caret_offset(text)
    assert desktop.text(text)[caret:].startswith(note), desktop.text(text)[caret:caret + 80]


def make_epub(path):
    parts = [("Of the %s" % name, "".join("<p>In %d there were %d %s in the garden of the house.</p>" % (1700 + k, 3 + k, name) for k in range(40)))
             for name in ("apples", "pears")]
    parts.insert(1, ("Of the people", "<p>Nobody lived there long.</p><p>Note: Katya Brandt has the secret code 7740126.</p><p>It was a quiet house.</p>"))
    documents.epub(path, parts)


with Desktop() as desktop:
    pdf = desktop.write("houses.pdf", make_pdf())
    book = os.path.join(desktop.folder, "home", "book.epub")
    make_epub(book)
    desktop.lectern("read", "--title", "The Houses", pdf)
    desktop.lectern("read", "--title", "A Small Book", book)
    ids = {d["title"]: d["number"] for d in desktop.lectern("library")}
    desktop.start()

    # A PDF: page, place on the page; the strip beside it.
    desktop.call_action("open-document", "int64 %d" % ids["The Houses"])
    wait_page(desktop, 1)
    ask(desktop, "What is the secret code of %s?" % PEOPLE[CITED])
    follow(desktop, "“%s" % note_of(CITED)[:-1])
    wait_page(desktop, CITED + 1)
    check_pdf(desktop, pdf)
    check_strip(desktop)
    check_ways(desktop)

    # Left at a place, found at that place: on coming back, and in the next session.
    desktop.key("ctrl+g")
    desktop.find("entry", "Go to page or chapter")
    desktop.type("6", "Return")
    wait_page(desktop, 6)
    desktop.call_action("open-document", "int64 %d" % ids["A Small Book"])
    desktop.find("text", contains="In 1700 there were 3 apples")
    desktop.key("ctrl+n")
    desktop.find("push button", "What is asked: A Small Book")
    ask(desktop, "What is the secret code of Katya Brandt?")
    follow(desktop, "“Note: Katya Brandt has the secret code 7740126")
    check_text(desktop, "Note: Katya Brandt has the secret code 7740126")
    desktop.call_action("open-document", "int64 %d" % ids["The Houses"])
    wait_page(desktop, 6)
    desktop.key("alt+Page_Down")
    wait_page(desktop, 7)
    assert desktop.stop() == 0
    desktop.start()
    wait_page(desktop, 7)
    assert desktop.stop() == 0
