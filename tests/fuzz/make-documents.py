#!/usr/bin/env python3
"""Writes the documents that the extractor's tests read: good ones whose text is known, and malformed ones.

Owns: small writers of PDF, EPUB, HTML, DOCX, ODT and RTF; nothing else makes these files, so none is kept in the project.
Usage: make-documents.py FOLDER EXCERPT STAMP     EXCERPT: a public-domain text for the EPUBs, chapters begin with "CHAPTER";
STAMP: a file that is made last.
The malformed ones are those of PROMISES 21 and 22: truncated, self-referential, filter bomb; overlap bomb, zip-slip, billion laughs.
"""
import hashlib
import html
import os
import re
import struct
import sys
import zipfile
import zlib


# ------------------------------------------------------------------------------------------------------------------ PDF

def pdf_bytes(objects, trailer="", version="1.4"):
    """objects: list of bytes, the first is number 1 and the catalog."""
    out = bytearray(f"%PDF-{version}\n%\xe2\xe3\n".encode("latin-1"))
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for offset in offsets:
        out += f"{offset:010d} 00000 n \n".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def stream(data, extra=""):
    return f"<< /Length {len(data)} {extra} >>\nstream\n".encode() + data + b"\nendstream"


def escape(text):
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def page_content(lines):
    """lines: (x, y from the top, size, font, text); a text that ends with | is placed by its right end."""
    out = []
    for x, y, size, font, text in lines:
        if text.endswith("|"):
            text = text[:-1]
            x -= len(text) * size * 0.556  # digits of Helvetica are this wide; near enough for others
        out.append(f"BT /F{font} {size} Tf 1 0 0 1 {x:.2f} {792 - y:.2f} Tm ({escape(text)}) Tj ET")
    return "\n".join(out).encode("cp1252")


def text_pdf(pages, outline=(), labels="", info=""):
    """pages: lists of lines. outline: (title, page)."""
    n = len(pages)
    objects = [b"", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"]
    kids = []
    for lines in pages:
        data = zlib.compress(page_content(lines))
        objects.append(stream(data, "/Filter /FlateDecode"))
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
                       f"/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>".encode())
        kids.append(len(objects))
    objects[1] = f"<< /Type /Pages /Count {n} /Kids [{' '.join(f'{k} 0 R' for k in kids)}] >>".encode()
    extra = labels
    if outline:
        root = len(objects) + 1
        extra += f" /Outlines {root} 0 R"
        first, last = root + 1, root + len(outline)
        objects.append(f"<< /Type /Outlines /First {first} 0 R /Last {last} 0 R /Count {len(outline)} >>".encode())
        for i, (title, page) in enumerate(outline):
            around = (f" /Prev {first + i - 1} 0 R" if i else "") + (f" /Next {first + i + 1} 0 R" if i + 1 < len(outline) else "")
            objects.append(f"<< /Title ({escape(title)}) /Parent {root} 0 R /Dest [{kids[page]} 0 R /Fit]{around} >>".encode())
    objects[0] = f"<< /Type /Catalog /Pages 2 0 R {extra} >>".encode()
    trailer = ""
    if info:
        objects.append(f"<< {info} >>".encode())
        trailer = f"/Info {len(objects)} 0 R"
    return pdf_bytes(objects, trailer)


PROSE = ("The company sells its goods in many countries and keeps its accounts in dollars. Nothing in this paragraph is a figure "
         "of a statement, and every line of it is as wide as its column allows. ").split()


def wrapped(x, y, width, n_lines, start=0):
    lines, word = [], start
    for i in range(n_lines):
        text = ""
        while len(text) * 4.6 < width - 30:
            text += PROSE[word % len(PROSE)] + " "
            word += 1
        lines.append((x, y + i * 12, 10, 1, text.strip()))
    return lines


def statement_page(number, rows, with_heads):
    lines = [(72, 40, 8, 1, "Northwind Traders annual report"), (300, 760, 8, 1, str(number))]
    y = 90
    if with_heads:
        lines += [(72, 70, 14, 2, "Consolidated Statements of Operations"), (355, y, 10, 2, "Years ended"),
                  (365, y + 14, 10, 2, "June 30,|"), (455, y + 14, 10, 2, "June 30,|"), (365, y + 28, 10, 2, "2022|"), (455, y + 28, 10, 2, "2021|")]
        y += 44
    for label, first, second in rows:
        lines.append((72, y, 10, 1, label))
        for right, value in ((370, first), (460, second)):
            if value.startswith("$"):
                lines.append((right - 60, y, 10, 1, "$"))
                value = value[1:]
            if value:
                lines.append((right, y, 10, 1, value + "|"))
        y += 14
    return lines


# Letters as strokes (x0, y0, x1, y1) in thousandths of an em from the base line, and their widths.
F_STROKES = [(90, 0, 170, 760), (90, 690, 330, 760), (10, 470, 300, 540)]
I_STROKES = [(90, 0, 170, 500), (80, 640, 180, 740)]
L_STROKES = [(90, 0, 170, 760)]
SHAPES = {"f": (330, F_STROKES), "i": (250, I_STROKES), "l": (250, L_STROKES)}


def shape(letter):
    """Others than f, i and l are a box whose size and cross stroke tell them apart; they need not be readable, only letters."""
    if letter in SHAPES:
        return SHAPES[letter]
    number = ord(letter)
    height = 740 if letter in "bdhkt" or letter.isupper() else 540
    bar = 60 + number * 37 % (height - 160)
    width = 600 if letter == "m" else 520  # poppler takes the size of such a font from its m
    return width, [(60, 0, 130, height), (width - 130, 0, width - 60, height), (60, bar, width - 60, bar + 70)]


def ligature_pdf(lines):
    """A report whose font has ff, fi, fl, ffi and ffl as one glyph each and maps them to U+0000, as one maker of PDF does. {fi} is one."""
    letters = sorted({c for line in lines for c in re.sub(r"{\w+}", "", line) if c != " "})
    glyphs = [" "] + letters + ["ff", "fi", "fl", "ffi", "ffl"]
    procs, widths, mapped = [], [], []
    for code, glyph in enumerate(glyphs):
        x, strokes = 0, []
        for letter in glyph:
            width, parts = (260, []) if letter == " " else shape(letter)
            strokes += [f"{x + x0} {y0} {x1 - x0} {y1 - y0} re" for x0, y0, x1, y1 in parts]
            x += width
        procs.append(f"{x} 0 0 -200 {x} 800 d1 {' '.join(strokes)} f".encode())
        widths.append(x)
        mapped.append(f"<{code:02X}> <{ord(glyph) if len(glyph) == 1 else 0:04X}>")
    cmap = ("/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapType 2 def 1 begincodespacerange <00> <FF> endcodespacerange\n"
            f"{len(mapped)} beginbfchar\n" + "\n".join(mapped) + "\nendbfchar endcmap end end").encode()
    content = []
    for row, line in enumerate(lines):
        codes = [glyphs.index(part.strip("{}")) for part in re.findall(r"{\w+}|.", line)]
        content.append(f"BT /F1 11 Tf 1 0 0 1 72 {700 - row * 16} Tm <{''.join(f'{c:02X}' for c in codes)}> Tj ET")
    first = 7
    names = ["m" if glyph == "m" else f"g{i}" for i, glyph in enumerate(glyphs)]
    font = (f"<< /Type /Font /Subtype /Type3 /FontMatrix [0.001 0 0 0.001 0 0] /FontBBox [0 -200 1000 800] /FirstChar 0 /LastChar {len(glyphs) - 1} "
            f"/Widths [{' '.join(map(str, widths))}] /ToUnicode 6 0 R /Resources << >> "
            f"/Encoding << /Differences [0 {' '.join('/' + name for name in names)}] >> "
            f"/CharProcs << {' '.join(f'/{name} {first + i} 0 R' for i, name in enumerate(names))} >> >>")
    return pdf_bytes([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
                      b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 4 0 R >> >> >>",
                      font.encode(), stream("\n".join(content).encode()), stream(cmap)] + [stream(proc) for proc in procs])


LIGATURES = ["the {fi}nancial results of the {fi}rst half of this year are for all", "of us a matter of signi{fi}cant relief for the {fl}eet of our firm",
             "and the e{ff}ect of di{ff}erent o{ffi}ces for those of the sta{ff}", "ba{ffl}es us for want of a proof of cash {fl}ow for each of four",
             "of them for it is part of the brief of a chief for which life", "of itself has half of the sake for a loaf of bread or of beef",
             "left for himself a leaf of gold if for all of that a thief of", "some craft ran far for after a shift of a raft of wolf and elf"]


def good_pdfs():
    yield "ligatures.pdf", ligature_pdf(LIGATURES)
    rows = [("Net sales:", "", ""), ("Products", "$1,234", "$1,111"), ("Services", "567", "(88)"), ("Total net sales", "1,801", "1,023")]
    more = [("Operating income", "321", "300"), ("Net income", "$99", "$87")]
    yield "table.pdf", text_pdf([statement_page(1, rows, True), statement_page(2, more, False),
                                 [(72, 40, 8, 1, "Northwind Traders annual report"), (300, 760, 8, 1, "3")] + wrapped(72, 90, 460, 20)],
                                outline=[("Consolidated Statements of Operations", 0)], info="/Title (Northwind Report) /Author (N. Wind)",
                                labels="/PageLabels << /Nums [0 << /S /r >> 2 << /S /D /St 1 >>] >>")
    columns = [(72, 60, 16, 2, "A Paper in Two Columns")] + wrapped(72, 100, 220, 30) + wrapped(320, 100, 220, 30, 7)
    columns[-31] = (72, 100 + 29 * 12, 10, 1, "and in the left column this line ends with an exam-")
    columns[31] = (320, 100, 10, 1, "ple of a word that the column divides.")
    notes = [wrapped(72, 80, 460, 40) + [(72, 700, 7, 1, "1 The first note, on page one, of the sales to customers abroad.")],
             wrapped(72, 80, 460, 40, 11) + [(72, 700, 7, 1, "2 The second note, on page two, of the dollars they were paid in.")]]
    yield "notes.pdf", text_pdf(notes)
    yield "columns.pdf", text_pdf([columns, [(72, 60, 10, 1, "An example and examples of the word stand here.")]])
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
               stream(zlib.compress(b"q 612 0 0 792 0 0 cm /I Do Q"), "/Filter /FlateDecode"),
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources << /XObject << /I 5 0 R >> >> >>",
               stream(zlib.compress(b"\xff" * 64 * 64), "/Type /XObject /Subtype /Image /Width 64 /Height 64 /BitsPerComponent 8 "
                      "/ColorSpace /DeviceGray /Filter /FlateDecode")]
    yield "scan.pdf", pdf_bytes(objects)
    yield "encrypted.pdf", encrypted_pdf(b"open sesame")


PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def rc4(key, data):
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) & 255
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) & 255
        j = (j + state[i]) & 255
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) & 255])
    return bytes(out)


def encrypted_pdf(password):
    """The oldest form (40-bit RC4): enough to be refused without the password and read with it."""
    padded = (password + PAD)[:32]
    owner = rc4(hashlib.md5(padded).digest()[:5], padded)
    identity = b"0123456789abcdef"
    key = hashlib.md5(padded + owner + struct.pack("<i", -4) + identity).digest()[:5]
    user = rc4(key, PAD)
    data = rc4(hashlib.md5(key + struct.pack("<I", 3)[:3] + b"\0\0").digest()[:10], page_content([(72, 100, 12, 1, "The secret text.")]))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>", stream(data),
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
               b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + owner.hex().encode() + b"> /U <" + user.hex().encode() + b"> >>"]
    return pdf_bytes(objects, f"/Encrypt 6 0 R /ID [<{identity.hex()}> <{identity.hex()}>]")


def bad_pdfs():
    whole = dict(good_pdfs())["table.pdf"]
    yield "truncated.pdf", whole[:len(whole) // 8]
    yield "no-objects.pdf", b"%PDF-1.7\n" + b"\0" * 4096
    yield "loop.pdf", pdf_bytes([b"<< /Type /Catalog /Pages 2 0 R /Outlines 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [2 0 R] /Parent 2 0 R >>"])
    inner = b"BT /F1 10 Tf 72 700 Td (boom) Tj ET\n" * 20000
    bomb = zlib.compress(zlib.compress(inner * 60, 9), 9)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
               stream(bomb, "/Filter [/FlateDecode /FlateDecode]"),
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents [" + b"3 0 R " * 400 + b"] /Resources << /Font << /F1 5 0 R >> >> >>",
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    yield "bomb.pdf", pdf_bytes(objects)
    form = stream(b"/X Do /X Do", "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 3 0 R >> >>")
    yield "form-loop.pdf", pdf_bytes([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>", form,
                                      b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 3 0 R /Resources << /XObject << /X 3 0 R >> >> >>"])


# ----------------------------------------------------------------------------------------------------------------- EPUB

CONTAINER = ('<?xml version="1.0"?><container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
             '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>')


def epub(path, parts, version=3, extra=(), container=CONTAINER, opf=None):
    """parts: (title, XHTML body without the heading). Spine order is the list's; files are written in another order."""
    names = [f"text/part%20{len(parts) - i}.xhtml" for i in range(len(parts))]
    manifest = "".join(f'<item id="p{i}" href="{name}" media-type="application/xhtml+xml"/>' for i, name in enumerate(names))
    spine = "".join(f'<itemref idref="p{i}"/>' for i in range(len(parts)))
    contents = ('<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>' if version == 3 else
                '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>')
    opf = opf or (f'<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="{version}.0"><metadata '
                  f'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A Small Book</dc:title><dc:creator>A. Author</dc:creator>'
                  f'<dc:language>en</dc:language></metadata><manifest>{contents}{manifest}</manifest><spine toc="ncx">{spine}</spine></package>')
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        book.writestr("META-INF/container.xml", container)
        book.writestr("OEBPS/content.opf", opf)
        if version == 3:
            items = "".join(f'<li><a href="{name}">{html.escape(title)}</a></li>' for name, (title, _) in zip(names, parts))
            book.writestr("OEBPS/nav.xhtml", f'<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><body>'
                          f'<nav epub:type="landmarks"><ol><li><a href="nav.xhtml">Wrong list</a></li></ol></nav>'
                          f'<nav epub:type="toc"><h1>Contents</h1><ol>{items}</ol></nav></body></html>')
        else:
            points = "".join(f'<navPoint id="n{i}"><navLabel><text>{html.escape(title)}</text></navLabel><content src="{name}"/></navPoint>'
                             for i, (name, (title, _)) in enumerate(zip(names, parts)))
            book.writestr("OEBPS/toc.ncx", f'<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>{points}</navMap></ncx>')
        for i in sorted(range(len(parts)), key=lambda k: -k):
            title, body = parts[i]
            # Version 2 leaves the heading to the contents, as many books do.
            heading = f"<h2>{html.escape(title)}</h2>" if version == 3 else ""
            book.writestr(f"OEBPS/text/part {len(parts) - i}.xhtml",
                          '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" '
                          f'xmlns:epub="http://www.idpf.org/2007/ops"><head><title>not text</title><style>p {{}}</style></head><body>{heading}{body}</body></html>')
        for name, data in extra:
            book.writestr(name, data)


def chapters(text):
    """Chapters of the excerpt: (title, paragraphs)."""
    found = []
    for block in re.split(r"\n\s*\n", text):
        block = " ".join(block.split())
        if block.startswith("CHAPTER"):
            found.append((block, []))
        elif block and found:
            found[-1][1].append(block)
    return found


def good_books(folder, text):
    parts = chapters(text)
    bodies = [(title, "\n".join(f"<p>{html.escape(p)}</p>" for p in paragraphs)) for title, paragraphs in parts]
    bodies[0] = (bodies[0][0], bodies[0][1] + '<aside epub:type="footnote" id="f1"><p>A note &amp; its caf&eacute;&nbsp;&#8364;.</p></aside>')
    epub(os.path.join(folder, "book3.epub"), bodies, 3)
    epub(os.path.join(folder, "book2.epub"), bodies, 2)
    with open(os.path.join(folder, "book.expected"), "w", encoding="utf-8") as out:
        for title, paragraphs in parts:
            out.write("\n".join([title] + paragraphs) + "\n")


def overlap_bomb(path):
    """Many entries of the directory lead to the same compressed data: one kernel, counted again and again."""
    n = 2000
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    plain = b"<p>boom</p>" * 400000
    data = kernel.compress(plain) + kernel.flush()
    crc = zlib.crc32(plain)
    name = b"mimetype"
    out = bytearray(struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0x21, zlib.crc32(b"application/epub+zip"), 20, 20, 8, 0) + name +
                    b"application/epub+zip")
    start = len(out)
    out += struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0x21, crc, len(data), len(plain), 6, 0) + b"a.html" + data
    directory = bytearray()
    for i in range(n):
        entry = b"%05d.html" % i
        directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 8, 0, 0x21, crc, len(data), len(plain), len(entry), 0, 0, 0, 0, 0,
                                 start) + entry
    at = len(out)
    out += directory + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, n, n, len(directory), at, 0)
    with open(path, "wb") as file:
        file.write(out)


LAUGHS = ('<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">' +
          "".join(f'<!ENTITY {chr(98 + i)}{chr(98 + i)} "' + f"&{'b' if i == 0 else 2 * chr(97 + i)};" * 10 + '">' for i in range(12)) + "]>")


def bad_books(folder):
    overlap_bomb(os.path.join(folder, "overlap.epub"))
    epub(os.path.join(folder, "slip.epub"), [("One", "<p>inside</p>")],
         container=CONTAINER.replace("OEBPS/content.opf", "../../../../etc/passwd"), extra=[("../../../../tmp/slipped.xhtml", "<p>out</p>")],
         opf='<package><manifest><item id="a" href="../../../../../etc/passwd" media-type="application/xhtml+xml"/>'
             '<item id="b" href="/etc/passwd" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>')
    epub(os.path.join(folder, "laughs.epub"), [("One", "<p>x</p>")], opf=LAUGHS + "<package><metadata><title>&mm;</title></metadata></package>")
    epub(os.path.join(folder, "drm.epub"), [("One", "<p>locked</p>")],
         extra=[("META-INF/encryption.xml", '<encryption xmlns="x" xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData>'
                 '<enc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></enc:EncryptedData></encryption>')])
    with open(os.path.join(folder, "not-zip.epub"), "wb") as out:
        out.write(b"PK\x03\x04" + b"mimetype" * 200)
    big = os.path.join(folder, "bomb.epub")
    epub(big, [("One", "<p>x</p>")], extra=[("OEBPS/huge.xhtml", b"a" * (120 << 20))])


# ------------------------------------------------------------------------------------------------- HTML, office documents

FILING = """<?xml version='1.0' encoding='ASCII'?>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:ix="http://www.xbrl.org/2013/inlineXBRL"><head><title>nw-20220630</title></head><body>
<div style="display:none"><ix:header><ix:hidden><ix:nonNumeric name="dei:Secret">hidden fact</ix:nonNumeric></ix:hidden></ix:header></div>
<div><span style="font-weight:700">FORM 10-K</span></div>
<div>For the fiscal year ended June&#160;30, 2022</div>
<div style="font-weight:bold">Northwind Traders, Inc.</div><div>(Exact name of registrant as specified in its charter)</div>
<div><span style="font-weight:700">PART II</span></div>
<div><b>Item 8. Financial Statements</b></div>
<div><b>CONSOLIDATED STATEMENTS OF OPERATIONS</b></div>
<table><tr><td></td><td></td><td colspan="6">Years ended</td></tr>
<tr><td></td><td></td><td colspan="2">June 30, 2022</td><td></td><td colspan="2">June 30, 2021</td><td></td></tr>
<tr><td>Net sales</td><td></td><td>$</td><td><ix:nonFraction name="us-gaap:Revenues" contextRef="c">394,328</ix:nonFraction></td><td></td><td>$</td><td>365,817</td><td></td></tr>
<tr><td>Other income/(expense),&#160;net</td><td></td><td></td><td>(334</td><td>)</td><td></td><td>258</td><td></td></tr>
<tr><td>Margin</td><td></td><td></td><td>43.3</td><td>%</td><td></td><td>41.8</td><td>%</td></tr></table>
<table><tr><td>&#8226;</td><td>First point</td></tr><tr><td>&#8226;</td><td>Second point</td></tr></table>
<script>document.write('never')</script><p>Prices &lt; 5 &amp; more.</p></body></html>
"""

DOCX = """<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>
<w:p><w:pPr><w:pStyle w:val="Kop1"/></w:pPr><w:r><w:t>First heading</w:t></w:r></w:p>
<w:p><w:r><w:t xml:space="preserve">Some </w:t></w:r><w:r><w:t>text</w:t><w:footnoteReference w:id="2"/></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>
<w:tbl><w:tr><w:tc><w:p/></w:tc><w:tc><w:p><w:r><w:t>2022</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>2021</w:t></w:r></w:p></w:tc></w:tr>
<w:tr><w:tc><w:p><w:r><w:t>Net sales</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>$ 1,234</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>(88)</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
</w:body></w:document>"""

ODT = """<office:document-content xmlns:office="o" xmlns:text="t" xmlns:table="b"><office:body><office:text>
<text:h text:outline-level="1">First heading</text:h><text:p>Some <text:span>text</text:span><text:note><text:note-citation>1</text:note-citation>
<text:note-body><text:p>The note.</text:p></text:note-body></text:note></text:p><table:table>
<table:table-row><table:table-cell><text:p/></table:table-cell><table:table-cell><text:p>2022</text:p></table:table-cell></table:table-row>
<table:table-row><table:table-cell><text:p>Net sales</text:p></table:table-cell><table:table-cell><text:p>$ 1,234</text:p></table:table-cell></table:table-row>
</table:table></office:text></office:body></office:document-content>"""

RTF = (r"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\stylesheet{\s0 Normal;}{\s1 heading 1;}}{\info{\title A letter}{\author R. Writer}}"
       r"\pard\s1 First heading\par\pard Caf\'e9 for \u8364?100{\footnote The note.} only\par"
       r"\trowd\cellx1\cellx2\pard\intbl Year\cell 2022\cell 2021\cell\row\trowd\pard\intbl Net sales\cell 1,234\cell (88)\cell\row\pard After\par}")


def office(folder):
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    with zipfile.ZipFile(os.path.join(folder, "letter.docx"), "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("[Content_Types].xml", "<Types/>")
        out.writestr("word/document.xml", DOCX)
        out.writestr("word/styles.xml", f'<w:styles {w}><w:style w:styleId="Kop1"><w:name w:val="heading 1"/></w:style></w:styles>')
        out.writestr("word/footnotes.xml", f'<w:footnotes {w}><w:footnote w:id="2"><w:p><w:r><w:t>The note.</w:t></w:r></w:p></w:footnote></w:footnotes>')
        out.writestr("docProps/core.xml", '<c xmlns:dc="d"><dc:title>A letter</dc:title><dc:creator>R. Writer</dc:creator></c>')
    with zipfile.ZipFile(os.path.join(folder, "letter.odt"), "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("mimetype", "application/vnd.oasis.opendocument.text", zipfile.ZIP_STORED)
        out.writestr("content.xml", ODT)
    with open(os.path.join(folder, "broken.docx"), "wb") as out:
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("word/document.xml", DOCX[:300])


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, data in list(good_pdfs()) + list(bad_pdfs()):
        write(folder, name, data)
    with open(sys.argv[2], encoding="utf-8") as file:
        good_books(folder, file.read())
    bad_books(folder)
    office(folder)
    write(folder, "filing.htm", FILING.encode())
    write(folder, "latin1.html", "<html><head><meta charset=iso-8859-1></head><body><h1>\xdcber</h1><p>caf\xe9</body></html>".encode("latin-1"))
    write(folder, "deep.html", b"<html><body>" + b"<div>" * 300000 + b"deep" + b"</div>" * 10)
    write(folder, "letter.rtf", RTF.encode())
    write(folder, "deep.rtf", b"{\\rtf1" + b"{" * 200000 + b"x")
    write(folder, "empty.pdf", b"")
    write(folder, "empty.txt", b"")
    with open(sys.argv[3], "wb"):
        pass


if __name__ == "__main__":
    main()
