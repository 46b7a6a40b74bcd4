#!/usr/bin/env python3
"""Do whole books come out of EPUB files as they went in?

Owns: EPUB 2 and 3 files made of plain-text books (with inline markup, entities, wrapped lines, files out of order), the comparison.
Usage: extract-books.py EXTRACT_DUMP BOOK.txt...     (long books are not part of the project)

Said for each: whether chapter titles and their order are right, and the character error: the least number of characters to change in
what came out, over those that went in, white space squeezed.
"""
import difflib
import html
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile

spec = importlib.util.spec_from_file_location("make", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "make-documents.py"))
make = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make)

TITLE = re.compile(r"(CHAPTER|Chapter|Letter|BOOK|PART|FIRST EPILOGUE|SECOND EPILOGUE|Epilogue|EPILOGUE)\b[^.!?]{0,80}$")


def read_chapters(path):
    """[(title, [paragraph])]: what stands before the first title is a chapter called Front."""
    with open(path, encoding="utf-8") as file:
        blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n", file.read())]
    found = [("Front", [])]
    for block in filter(None, blocks):
        if TITLE.match(block):
            found.append((block, []))
        else:
            found[-1][1].append(block)
    return found


def markup(generator, paragraph):
    """The paragraph as a publisher's tool might write it: words in italics, numeric entities, lines wrapped anywhere."""
    words = []
    for word in paragraph.split(" "):
        text = html.escape(word)
        if "—" in text and generator.random() < 0.5:
            text = text.replace("—", "&#8212;")
        if generator.random() < 0.02:
            text = f"<em>{text}</em>"
        words.append(text)
    lines = " ".join(words)
    return re.sub(r" ", lambda _: "\n  " if generator.random() < 0.05 else " ", lines)


def distance(a, b):
    """Levenshtein's, in rows; for texts that are nearly equal and short."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def errors(wanted, got):
    """Characters to change, paragraph by paragraph where they differ."""
    n = 0
    for tag, i0, i1, j0, j1 in difflib.SequenceMatcher(None, wanted, got, autojunk=False).get_opcodes():
        if tag != "equal":
            a, b = "\n".join(wanted[i0:i1]), "\n".join(got[j0:j1])
            n += distance(a, b) if len(a) * len(b) < 10**7 else max(len(a), len(b))
    return n


def extract(dump, path):
    """(titles, paragraphs with them, in order)"""
    titles, text = [], []
    for line in subprocess.run([dump, path], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines():
        kind, _, rest = line.split(" ", 2) if line.count(" ") >= 2 else (line, "", "")
        if kind.rstrip("+*0123456789") not in ("p", "h", "li", "fn", "th", "tr"):
            continue
        rest = " ".join(rest.replace("\r", " ").split())
        if kind.startswith("h"):
            titles.append(rest)
        if kind.endswith("+") and text:
            text[-1] += rest
        else:
            text.append(rest)
    return titles, text


def main():
    dump, books = sys.argv[1], sys.argv[2:]
    worst = 0
    for path in books:
        chapters = read_chapters(path)
        wanted = [line for title, paragraphs in chapters for line in [title] + paragraphs]
        n = sum(map(len, wanted))
        for version in (3, 2):
            generator = random.Random(len(wanted))
            parts = [(title, "\n".join(f"<p>{markup(generator, p)}</p>" for p in paragraphs)) for title, paragraphs in chapters]
            with tempfile.TemporaryDirectory() as folder:
                book = os.path.join(folder, "book.epub")
                make.epub(book, parts, version)
                titles, got = extract(dump, book)
            right = titles == [title for title, _ in chapters]
            rate = errors(wanted, got) / n
            worst = max(worst, rate, 0 if right else 1)
            print(f"{os.path.basename(path)}, EPUB {version}: {len(chapters)} chapters, titles and order "
                  f"{'right' if right else 'WRONG'}, {n:,} characters, error {100 * rate:.4f}%", flush=True)
    return 0 if worst < 0.001 else 1


if __name__ == "__main__":
    sys.exit(main())
