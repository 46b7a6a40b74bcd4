"""Promise 23: 10 GB of text in one line: bounded memory, stopped at once by Ctrl-C, and refused in words beyond the limit.

usage: promise-23.py LECTERN
"""
import os, re, signal, subprocess, sys, threading, time
from place import Place

LECTERN = os.path.abspath(sys.argv[1])
WORDS = b"the keeper counted lamps and boats and wrote them down again " * 16384
LIMIT_BYTES = 160 << 20  # of memory that is not a mapped file


def anonymous_bytes(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            return int(re.search(r"RssAnon:\s+(\d+)", file.read()).group(1)) << 10
    except (OSError, AttributeError):
        return 0  # it has ended


class Endless:
    """A process that is fed words without a line break: up to n_bytes, or until it stops reading."""

    def __init__(self, place, n_bytes, *arguments):
        self.process = subprocess.Popen([LECTERN, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=place.environment, cwd=place.work)
        self.n_fed, self.n_bytes, self.peak = 0, n_bytes, 0
        threading.Thread(target=self.feed, daemon=True).start()

    def feed(self):
        try:
            while self.n_fed < self.n_bytes:
                self.process.stdin.write(WORDS)
                self.n_fed += len(WORDS)
            self.process.stdin.close()
        except OSError:
            pass

    def watch(self, until):
        while self.process.poll() is None and not until():
            self.peak = max(self.peak, anonymous_bytes(self.process.pid))
            assert self.peak < LIMIT_BYTES, f"{self.peak >> 20} MiB after {self.n_fed >> 20} MiB of text"
            time.sleep(0.02)

    def end(self):
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.wait(timeout=120), (out + err).decode()


with Place(LECTERN) as place:
    # AddressSanitizer would keep 256 MB of what was freed.
    place.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=8"

    # A file of 10 GB is refused before it is read.
    large = os.path.join(place.folder, "large.txt")
    with open(large, "wb") as file:
        file.write(WORDS)
        file.truncate(10 << 30)
    said = subprocess.run([LECTERN, "read", "--no-model", large], env=place.environment, capture_output=True, text=True, timeout=300)
    assert said.returncode == 1 and "larger than 2 GB" in said.stderr, said
    os.remove(large)

    # Fed without an end, and stopped: while it is kept, and while it is taken in.
    for n_bytes, words in ((10 << 30, 100 << 20), (96 << 20, 96 << 20)):
        endless = Endless(place, n_bytes, "read", "--no-model", "-")
        endless.watch(lambda: endless.n_fed >= words)
        if n_bytes == words:  # all was fed: now it is being cut and written
            begun = time.monotonic()
            endless.watch(lambda: time.monotonic() - begun > 1)
        assert endless.process.poll() is None, endless.end()
        endless.process.send_signal(signal.SIGINT)
        endless.watch(lambda: False)
        code, text = endless.end()
        assert code == 130, (code, text)
        assert place.json("library") == []

    # Taken in whole: what it takes does not grow with the line.
    endless = Endless(place, 96 << 20, "read", "--no-model", "-")
    endless.watch(lambda: False)
    code, text = endless.end()
    assert code == 0, (code, text)
    assert place.json("library")[0]["bytes"] > 95 << 20
    print(f"a line of {endless.n_fed >> 20} MiB took {endless.peak >> 20} MiB of memory")
