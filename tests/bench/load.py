"""Load: a library of 10,000 small documents with about 5 million tokens in the cache: starting, listing, searching, asking.

usage: load.py LECTERN MAKE_LOAD MODEL [N_DOCUMENTS [FOLDER]]      FOLDER: kept, and used again when the library is there already

Each is the program's whole run, medians of five; the first run after making it is not counted. Takes about 20 GB of disk while it runs, in TMPDIR
or /tmp.
"""
import json, os, statistics, subprocess, sys, tempfile, time

lectern, make_load, model = (os.path.abspath(a) for a in sys.argv[1:4])
n_documents = int(sys.argv[4]) if len(sys.argv) > 4 else 10000
RUNS = 5
only = os.environ.get("LOAD_ONLY")  # part of a measure's name



def make(data):
    begun = time.monotonic()
    made = json.loads(subprocess.run([make_load, data, model, str(n_documents)], check=True, capture_output=True, text=True).stdout)
    size = sum(os.path.getsize(os.path.join(data, "cache", name)) for name in os.listdir(os.path.join(data, "cache")))
    print(f"{made['documents']:,} documents, {made['tokens']:,} tokens in {made['sections']:,} sections, {size / 1e9:.1f} GB of cache, "
          f"made in {time.monotonic() - begun:.0f} s", flush=True)


def measure_all(folder):
    data = os.path.join(folder, "data")
    if not os.path.isdir(data):
        make(data)
    environment = {**os.environ, "LECTERN_DATA": data, "HOME": folder}

    def run(*arguments):
        begun = time.monotonic()
        done = subprocess.run([lectern, "--json", "--quiet", *arguments], check=True, capture_output=True, text=True, env=environment)
        return time.monotonic() - begun, done.stdout

    def measure(name, *arguments, of=None):
        if only and only not in name:
            return
        run(*arguments)
        results = [run(*arguments) for _ in range(RUNS)]
        line = f"{name}: {statistics.median(r[0] for r in results):.2f} s"
        if of:
            line += "; " + of([json.loads(r[1]) for r in results])
        print(line, flush=True)

    def of_answers(answers):
        us = {key: statistics.median(a["us"][key] for a in answers) / 1e6 for key in ("choose", "first_token", "total")}
        return (f"chosen after {us['choose']:.2f} s, first word after {us['first_token']:.2f} s, {us['total']:.2f} s in all; {answers[0]['tokens']['cached']:,} tokens "
                f"cached, {answers[0]['tokens']['attended']:,} attended, {answers[0]['tokens']['computed_document']} of documents computed")

    number = n_documents * 7 // 10
    measure("starting (settings)", "settings")
    measure("one document", "library", "show", str(number))
    measure("listing all", "library")
    measure("searching (2 words)", "search", "overseer ledger")
    measure("asking one document", "ask", "-d", str(number), "How much did the company sell in month 3?", of=of_answers)
    measure("asking everything", "ask", f"What number has the overseer of district {number}?", of=of_answers)
    measure("cache list", "cache", "list")


if len(sys.argv) > 5:
    os.makedirs(sys.argv[5], exist_ok=True)
    measure_all(os.path.abspath(sys.argv[5]))
else:
    with tempfile.TemporaryDirectory(prefix="lectern-load-") as temporary:
        measure_all(temporary)
