#!/usr/bin/env python3
"""How often planted facts are found, by the size of the library: attending to everything and after choosing sections.

usage: ask-rates.py [options] LECTERN TEXT...

LECTERN is the program, each TEXT a plain text (public-domain prose, say) that the facts are hidden in; texts are repeated under other
titles until they suffice. The library is read once, in parts, so that each size holds the smaller ones: the same facts in more and more
hay, and more facts. With --data an existing folder is used again: what is read in it already is not read again.

Owns: making the texts, running the program, counting. Does not own: any judgement of the answers beyond the planted value.
"""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time

FIRST = "Priya Celia Katya Yusuf Quentin Boris Stefan Marta Anselm Ingrid Tobias Noor Rhea Casimir Odile Bram Lucia Emil Farah Gustav".split()
LAST = "Osborne Quist Brandt Jansen Moreau Hargreave Rask Dorn Whitlock Abara Linden Sorel Pascoe Varga Ekholm Tindall Mirza Corvin".split()
WORDS = "grove jade basil denim ivory cedar plum slate ember coral maple onyx fern amber lilac quartz heron saffron birch cobalt".split()
CITIES = "Lisbon Tromso Bergen Cadiz Varna Galway Turku Parma Izmir Leiden Split Utrecht Ghent Riga Malmo Porto".split()
KINDS = ["locker number", "magic number", "secret code", "pass phrase", "telephone extension", "birthplace"]
STATEMENTS = ["The {kind} of {name} is {value}.", "Note: {name} has the {kind} {value}.", "{name}'s {kind} is {value}."]
QUESTIONS = ["What is the {kind} of {name}?", "Tell me {name}'s {kind}.", "What is {name}'s {kind}?"]
BYTES_PER_TOKEN = 4.3  # English prose in the starter's vocabulary; the program's own count is printed


def make_facts(generator, n):
    names = [first + " " + last for first in FIRST for last in LAST]
    generator.shuffle(names)
    facts = []
    for i in range(n):
        name, kind = names[i % len(names)], KINDS[(i + i // len(names)) % len(KINDS)]
        if kind == "birthplace":
            value = generator.choice(CITIES)
        elif generator.random() < 0.5:
            value = str(generator.randrange(1000000, 10000000))
        else:
            value = "-".join(generator.sample(WORDS, 2))
        shape = {"kind": kind, "name": name, "value": value}
        facts.append({"statement": generator.choice(STATEMENTS).format(**shape), "question": generator.choice(QUESTIONS).format(**shape),
                      "value": value})
    return facts


class Hay:
    """Paragraphs of the texts, one after the other, from the beginning again when they are used up."""

    def __init__(self, paths):
        self.paragraphs = []
        for path in paths:
            with open(path, encoding="utf-8", errors="replace") as file:
                blocks = re.split(r"\n\s*\n", file.read())
            self.paragraphs += [" ".join(block.split()) for block in blocks if len(block.split()) > 8]
        if not self.paragraphs:
            sys.exit("ask-rates: the texts hold no paragraphs")
        self.at = 0

    def take(self, n_bytes):
        taken, size = [], 0
        while size < n_bytes:
            paragraph = self.paragraphs[self.at % len(self.paragraphs)]
            self.at += 1
            taken.append(paragraph)
            size += len(paragraph.encode()) + 2
        return taken


def plant(generator, paragraphs, facts):
    """Each fact behind a sentence in the middle of some paragraph."""
    for at, fact in zip(sorted(generator.sample(range(len(paragraphs)), len(facts))), facts):
        ends = [m.end() for m in re.finditer(r"[.!?] ", paragraphs[at])]
        cut = generator.choice(ends) if ends else len(paragraphs[at])
        before, after = paragraphs[at][:cut].rstrip(), paragraphs[at][cut:].lstrip()
        paragraphs[at] = " ".join(part for part in (before, fact["statement"], after) if part)


def make_library(folder, texts, sizes, facts_per_size, tokens_per_document):
    """Files by size class: [(size, [path], [fact])], each size's own; deterministic."""
    hay, generator, classes, done = Hay(texts), random.Random(20260101), [], 0
    facts = make_facts(generator, facts_per_size * len(sizes))
    for number, size in enumerate(sizes):
        own, paths = facts[number * facts_per_size:(number + 1) * facts_per_size], []
        n_documents = max(1, round((size - done) / tokens_per_document))
        share = (size - done) / n_documents
        for d in range(n_documents):
            paragraphs = hay.take(share * BYTES_PER_TOKEN * 0.97)
            mine = own[d * len(own) // n_documents:(d + 1) * len(own) // n_documents]
            plant(generator, paragraphs, mine)
            path = os.path.join(folder, "hay-%d-%02d.txt" % (size, d + 1))
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n\n".join(paragraphs) + "\n")
            paths.append(path)
        classes.append((size, paths, own))
        done = size
    return classes


def run(arguments, text=None):
    done = subprocess.run(arguments, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit("ask-rates: %s failed (%d): %s" % (" ".join(arguments[:3]), done.returncode, done.stderr.strip()))
    return done.stdout


def ask(options, documents, facts, extra):
    command = [options.lectern, "--data", options.data, "--json"] + options.common + ["ask", "--passages", "3"] + extra
    for document in documents:
        command += ["-d", document]
    lines = run(command + ["-"], "\n".join(fact["question"] for fact in facts) + "\n").splitlines()
    answers = [json.loads(line) for line in lines]
    if len(answers) != len(facts):
        sys.exit("ask-rates: %d answers to %d questions" % (len(answers), len(facts)))
    return answers


def is_found(fact, answer):
    return answer["found"] and answer["answer"].strip().rstrip(".") == fact["value"]


def is_quoted(fact, answer):
    return answer["found"] and fact["value"] in answer["quotation"]["text"] and answer["quotation"]["verified"]


def report(label, size, facts, answers, show_misses):
    n = len(facts)
    found = sum(map(is_found, facts, answers))
    quoted = sum(map(is_quoted, facts, answers))
    in_passages = sum(any(fact["value"] in passage["snippet"] for passage in answer["passages"]) for fact, answer in zip(facts, answers))
    verbatim = [answer["quotation"]["verified"] for answer in answers if answer["found"]]
    times = sorted(answer["us"]["first_token"] for answer in answers)
    attended = sorted(answer["tokens"]["attended"] for answer in answers)
    computed = sum(answer["tokens"]["computed_document"] for answer in answers)
    print("| %s | %s | %d | %.0f%% | %.0f%% | %.0f%% | %.0f%% | %s | %.2f s | %d |" %
          ("{:,}".format(answers[0]["tokens"]["cached"]), label, n, 100 * found / n, 100 * quoted / n,
           100 * sum(verbatim) / max(1, len(verbatim)), 100 * in_passages / n, "{:,}".format(attended[n // 2]), times[n // 2] / 1e6, computed),
          flush=True)
    for fact, answer in zip(facts, answers) if show_misses else []:
        if not is_found(fact, answer):
            print("    %s (%s): %s / %s" % (fact["question"], fact["value"], answer["answer"], (answer["quotation"] or {}).get("text")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lectern")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--sizes", default="8000,32000,128000,1000000", help="tokens, each holding the ones before")
    parser.add_argument("--facts", type=int, default=24, help="planted with each size")
    parser.add_argument("--most-all", type=int, default=24, help="questions asked attending to everything, at most")
    parser.add_argument("--most", type=int, default=96, help="questions asked after choosing, at most")
    parser.add_argument("--document-tokens", type=int, default=100000)
    parser.add_argument("--budget", default="8192", help="budgets of tokens for choosing, separated by commas")
    parser.add_argument("--data", help="library to use (again); default: a temporary one")
    parser.add_argument("--model")
    parser.add_argument("--no-all", action="store_true")
    parser.add_argument("--misses", action="store_true", help="print what was not found")
    options = parser.parse_args()
    options.common = ["--model", options.model] if options.model else []
    sizes = [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        options.data = options.data or os.path.join(temporary, "data")
        texts = os.path.join(options.data + "-texts")
        os.makedirs(texts, exist_ok=True)
        classes = make_library(texts, options.texts, sizes, options.facts, options.document_tokens)
        print("| tokens | looks at | questions | answer right | quoted | verbatim | in passages | tokens looked at | first word | computed |")
        print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
        documents, facts = [], []
        for size, paths, own in classes:
            started = time.time()
            run([options.lectern, "--data", options.data, "--quiet"] + options.common + ["read"] + paths)
            print("read %d tokens more in %.0f s" % (size, time.time() - started), file=sys.stderr)
            documents += paths
            facts = own + facts
            picked = random.Random(size).sample(facts, len(facts))
            if not options.no_all:
                some = picked[:options.most_all]
                report("everything", size, some, ask(options, documents, some, ["--all"]), options.misses)
            for budget in options.budget.split(","):
                some = picked[:options.most]
                report("chosen, " + budget, size, some, ask(options, documents, some, ["--budget-tokens", budget]), options.misses)


if __name__ == "__main__":
    main()
