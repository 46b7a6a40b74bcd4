#!/usr/bin/env python3
"""Uses Lectern as nobody would: reads, asks, removes, changes, pins, two at a time, stopped by Ctrl-C or killed at random moments; and looks
after every step whether anything is lost, wrong or left lying about.

usage: soak.py [--minutes 30] [--seed N] [--build FOLDER]

The seed is printed; the same seed does the same steps, as far as moments of time allow. Ends with 1 at the first thing that is wrong, and
keeps the folder then.
"""
import argparse, json, os, random, shutil, signal, sqlite3, stat, subprocess, sys, tempfile, time

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
N_SOURCES = 24
NAMES = "Katya Brandt,Ivo Lind,Mara Voss,Tilo Kern,Ada Moor,Ben Harrow,Cleo Finch,Dirk Alder".split(",")


class Wrong(Exception):
    pass


class Soak:
    def __init__(self, options):
        self.random = random.Random(options.seed)
        self.lectern = os.path.join(options.build, "app", "lectern")
        self.folder = tempfile.mkdtemp(prefix="lectern-soak-")
        self.data = os.path.join(self.folder, "data")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("LECTERN_") and not k.startswith("XDG_")}
        self.environment.update(HOME=self.folder, LECTERN_DATA=self.data, LECTERN_RESOURCES=os.path.join(TOP, "resources"),
                                LECTERN_EXTRACT=os.path.join(options.build, "app", "extract", "lectern-extract"), LC_ALL="C.UTF-8")
        os.umask(0)  # what is private must be so by itself
        self.sources = [os.path.join(self.folder, f"house-{i}.{'html' if i % 5 == 4 else 'md'}") for i in range(N_SOURCES)]
        self.codes = {}     # source -> the code in it now
        self.old_codes = {}  # source -> the code that the library may still have: the change was not taken in yet
        self.sure = set()    # sources whose documents must be there
        self.maybe = set()   # those whose adding or removing was stopped
        self.counts = {}
        self.log = []
        for source in self.sources:
            self.write(source)

    # ------------------------------------------------------------------------------------------------------------ sources

    def write(self, source):
        """A house with its code, and more or fewer words about it."""
        number = self.sources.index(source)
        code = str(self.random.randrange(1000000, 9999999))
        self.codes[source] = code
        lines = [f"# The house number {number}", "## Of the garden"]
        for i in range(self.random.randrange(4, 120)):
            lines.append(f"In year {1700 + i} the gardener of house {number} planted {3 + i} apple trees and two rows of beans, and the rain came late.")
        lines += ["## Of the people", f"Note: {NAMES[number % len(NAMES)]} has the secret code {code}. Nobody else was told."]
        if source.endswith(".html"):
            body = "".join(f"<h1>{line[2:]}</h1>" if line.startswith("# ") else f"<h2>{line[3:]}</h2>" if line.startswith("##") else f"<p>{line}</p>"
                           for line in lines)
            text = f"<html><body>{body}</body></html>"
        else:
            text = "\n\n".join(lines) + "\n"
        with open(source + ".new", "w") as file:
            file.write(text)
        os.rename(source + ".new", source)

    # ---------------------------------------------------------------------------------------------------------- processes

    def start(self, *arguments):
        return subprocess.Popen([self.lectern, "--json", "--quiet", "--threads", "1", *arguments], env=self.environment, cwd=self.folder,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, codes=(0,)):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        if process.returncode not in codes:
            raise Wrong(f"{arguments}: exit {process.returncode}: {err.strip()} {out.strip()[-500:]}")
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    def disturb(self, process, how):
        """Lets it run for a moment, then stops it. Returns its exit status."""
        time.sleep(self.random.random() ** 2 * 1.5)
        if process.poll() is None:
            process.send_signal(how)
        process.communicate(timeout=600)
        allowed = (0, 1, 130, -how)
        if process.returncode not in allowed:
            raise Wrong(f"{process.args}: ended with {process.returncode}")
        return process.returncode

    # -------------------------------------------------------------------------------------------------------------- steps

    def step_read(self):
        source = self.random.choice(self.sources)
        self.run("read", source)
        self.now_there(source)
        return os.path.basename(source)

    def step_read_together(self):
        some = self.random.sample(self.sources, 3)
        processes = [self.start("read", some[0], some[1]), self.start("read", some[1], some[2])]
        for process in processes:
            out, err = process.communicate(timeout=600)
            if process.returncode != 0:
                raise Wrong(f"{process.args}: exit {process.returncode}: {err}")
        for source in some:
            self.now_there(source)
        return " ".join(os.path.basename(s) for s in some)

    def step_read_disturbed(self):
        some = self.random.sample(self.sources, 2)
        how = self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
        self.maybe.update(s for s in some if s not in self.sure)
        code = self.disturb(self.start("read", *some), how)
        if code == 0:
            for source in some:
                self.now_there(source)
        return f"{' '.join(os.path.basename(s) for s in some)}: {code}"

    def step_ask(self):
        if not self.sure:
            return self.step_read()
        source = self.random.choice(sorted(self.sure))
        self.check_answer(source)
        return os.path.basename(source)

    def step_ask_disturbed(self):
        if not self.sure:
            return self.step_read()
        how = self.random.choice((signal.SIGKILL, signal.SIGINT))
        return str(self.disturb(self.start("ask", "--conversation", "soak", "What is the secret code?"), how))

    def step_remove(self):
        if not self.sure:
            return self.step_read()
        source = self.random.choice(sorted(self.sure))
        if self.random.random() < 0.4:
            self.sure.discard(source)
            self.maybe.add(source)
            return f"{os.path.basename(source)}: {self.disturb(self.start('remove', '--yes', source), signal.SIGKILL)}"
        self.run("remove", "--yes", source)
        self.sure.discard(source)
        self.old_codes.pop(source, None)
        return os.path.basename(source)

    def step_change(self):
        source = self.random.choice(self.sources)
        if source in self.sure or source in self.maybe:
            self.old_codes.setdefault(source, set()).add(self.codes[source])
        self.write(source)
        return os.path.basename(source)

    def step_limit(self):
        self.run("cache", "limit", self.random.choice(("1MB", "3MB", "20GB")), codes=(0, 1))
        return self.run("cache", "limit", "20GB")[1][0]

    def step_pin(self):
        if not self.sure:
            return self.step_read()
        source = self.random.choice(sorted(self.sure))
        self.run("cache", self.random.choice(("pin", "unpin")), source)
        return os.path.basename(source)

    def now_there(self, source):
        self.sure.add(source)
        self.maybe.discard(source)
        self.old_codes.pop(source, None)

    # -------------------------------------------------------------------------------------------------------------- checks

    def ask(self, source, *options):
        number = self.sources.index(source)
        answer = self.run("ask", *options, "-d", source, "--all", f"Tell me {NAMES[number % len(NAMES)]}'s secret code.")[1][0]
        if answer["tokens"]["computed_document"] != 0 or answer["tokens"]["cached"] == 0:
            raise Wrong(f"{source}: computed again: {answer['tokens']}")
        quotation = answer["quotation"] or {}
        return {"answer": answer["answer"], "quotation": quotation.get("text"), "start": quotation.get("start"), "tokens": answer["tokens"],
                "masses": [(part["section"], part["mass"]) for part in answer["attended"]], "dropped": answer["dropped_mass"]}

    def check_answer(self, source):
        """Whatever the model makes of it, the answer from this cache, in which evicted states are computed again and others are not, is to
        the last bit that of a library in which nothing ever happened."""
        self.run("read", source)
        self.now_there(source)
        fresh = os.path.join(self.folder, "fresh")
        self.run("read", "--data", fresh, source)
        cold, warm = self.ask(source, "--data", fresh), self.ask(source)
        shutil.rmtree(fresh)
        if cold != warm:
            raise Wrong(f"{source}: the answer is {warm}, in a fresh library {cold}")
        self.counts["right answers" if warm["answer"] == self.codes[source] else "other answers"] = 1 + self.counts.get(
            "right answers" if warm["answer"] == self.codes[source] else "other answers", 0)

    def check_library(self):
        documents = self.run("library")[1]
        paths = [d["source"] for d in documents]
        if len(paths) != len(set(paths)):
            raise Wrong(f"a document twice: {paths}")
        lost = [s for s in self.sure if s not in paths]
        if lost:
            raise Wrong(f"lost: {lost}")
        strange = [p for p in paths if p not in self.sure and p not in self.maybe]
        if strange:
            raise Wrong(f"removed, but there: {strange}")
        database = sqlite3.connect(os.path.join(self.data, "library.sqlite"))
        if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            raise Wrong("library.sqlite is damaged")
        for document in documents:
            text = "".join(row[0] for row in database.execute("SELECT text FROM passages WHERE document=? ORDER BY start", (document["number"],)))
            codes = {self.codes[document["source"]]} | self.old_codes.get(document["source"], set())
            if sum(f"code {code}." in text for code in codes) != 1 or "Of the garden" not in text:
                raise Wrong(f"{document['path']}: its text is not whole")
        for table in ("passages", "sections", "headings"):
            n = database.execute(f"SELECT count(*) FROM {table} WHERE document NOT IN (SELECT id FROM documents)").fetchone()[0]
            if n:
                raise Wrong(f"{n} {table} of no document")
        database.close()
        return {d["uid"] for d in documents}

    def check_cache(self, uids, was_killed):
        if was_killed:
            self.run("cache", "repair")  # cuts off what a killed writer left unfinished; all data is compared below
        code, reports = self.run("cache", "check", "--read-data", codes=(0, 1))
        if not reports[0]["sound"]:
            raise Wrong(f"the cache: {reports[0]}")
        strange = [entry["document"] for entry in self.run("cache", "list")[1] if entry["document"] not in uids]
        if strange:
            raise Wrong(f"states of documents that are not in the library: {strange}")

    def check_modes(self):
        for path, folders, names in os.walk(self.data):
            for name in folders + names:
                mode = os.lstat(os.path.join(path, name)).st_mode
                if stat.S_IMODE(mode) & 0o077:
                    raise Wrong(f"{os.path.join(path, name)} is not private: {stat.S_IMODE(mode):o}")

    def check(self, was_killed):
        self.check_cache(self.check_library(), was_killed)
        self.check_modes()

    # --------------------------------------------------------------------------------------------------------------- all

    def soak(self, seconds):
        steps = {self.step_read: 4, self.step_read_together: 2, self.step_read_disturbed: 8, self.step_ask: 4, self.step_ask_disturbed: 2,
                 self.step_remove: 3, self.step_change: 3, self.step_limit: 1, self.step_pin: 1}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            step = self.random.choices(list(steps), list(steps.values()))[0]
            name = step.__name__[5:]
            self.log.append(name)
            self.log[-1] = f"{name}: {step()}"
            self.counts[name] = self.counts.get(name, 0) + 1
            self.check(was_killed="disturbed" in name or name == "remove")
            self.counts["checks"] = self.counts.get("checks", 0) + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--build", default=os.path.join(TOP, "build"))
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    print(f"seed {options.seed}", flush=True)
    soak = Soak(options)
    try:
        soak.soak(options.minutes * 60)
    except (Wrong, subprocess.TimeoutExpired) as error:
        print("\n".join(soak.log[-12:]))
        print(f"WRONG after {sum(soak.counts.values())} steps and checks: {error}\nThe folder is kept: {soak.folder}")
        sys.exit(1)
    shutil.rmtree(soak.folder)
    print(", ".join(f"{n} {name}" for name, n in sorted(soak.counts.items())) + ": nothing lost, wrong or left over")


if __name__ == "__main__":
    main()
