"""Errors come in the language of whoever reads them; exit codes, and what other programs read, in none.

usage: cli-language.py LECTERN LOCALES ENCRYPTED_PDF
"""
import contextlib, json, os, pty, re, shutil, sqlite3, subprocess, sys, tempfile

LECTERN, LOCALES, ENCRYPTED = sys.argv[1:]
folder = tempfile.TemporaryDirectory(prefix="lectern-cli-")
environment = dict(os.environ, LECTERN_DATA=os.path.join(folder.name, "data"), XDG_CONFIG_HOME=os.path.join(folder.name, "config"),
                   LECTERN_LOCALE=LOCALES, LANGUAGE="")
ENGLISH = {"LC_ALL": "C.UTF-8"}
# A machine that builds has seldom a German locale. LANGUAGE alone says it to older C libraries; newer ones want a locale of another name, which
# C.UTF-8's will do under, as the texts are our own.
LANGUAGES = [{"LC_ALL": "C.UTF-8", "LANGUAGE": "de"}, {"LC_ALL": "de_DE.UTF-8", "LOCPATH": os.path.join(folder.name, "locales")}]
if os.path.isdir("/usr/lib/locale/C.utf8"):
    shutil.copytree("/usr/lib/locale/C.utf8", os.path.join(LANGUAGES[1]["LOCPATH"], "de_DE.utf8"))


def run(language, *arguments):
    done = subprocess.run([LECTERN, *arguments], capture_output=True, text=True, env={**environment, **language}, timeout=60)
    return done.returncode, done.stdout, done.stderr


GERMAN = next((language for language in LANGUAGES if "Befehl" in run(language, "nonsense")[2]), LANGUAGES[0])


def check(english, german, *arguments):
    """Both say what they must, and end alike; with --json, all is the same."""
    code, out, words = run(ENGLISH, *arguments)
    code_there, out_there, words_there = run(GERMAN, *arguments)
    assert code != 0 and english in words, (arguments, words)
    assert german in words_there and english not in words_there, (arguments, words_there)
    assert (code, out) == (code_there, out_there), (arguments, code_there, out_there)
    assert run(ENGLISH, "--json", *arguments) == run(GERMAN, "--json", *arguments), arguments


# The command line's own, those of app/, what one takes into the other, and what is passed on by the process that takes documents apart.
check("there is no command “nonsense”", "es gibt keinen Befehl „nonsense“", "nonsense")
check("which words?\n`lectern search --help` shows how it is used", "welche Wörter?\n`lectern search --help` zeigt, wie es benutzt wird", "search")
check("the value for remote.url is not encrypted (http) and points outside your own network: https is needed",
      "der Wert für remote.url ist nicht verschlüsselt (http) und führt aus Ihrem eigenen Netz hinaus: nötig ist https",
      "settings", "remote.url", "http://example.com/v1")
check("the value for network.timeout is not a whole number from 1 to 3600", "der Wert für network.timeout ist keine ganze Zahl von 1 bis 3600",
      "settings", "network.timeout", "5000")
check("There is no model “none”; `lectern model list` shows what there is", "Es gibt kein Modell „none“; `lectern model list` zeigt, welche es gibt",
      "model", "info", "none")
check("Cannot read “/nowhere/x.txt”: ", "„/nowhere/x.txt“ kann nicht gelesen werden: ", "read", "--no-model", "/nowhere/x.txt")
check("it is encrypted and needs a password\nGive it with", "die Datei ist verschlüsselt und braucht ein Passwort\nGeben Sie es mit",
      "read", "--no-model", ENCRYPTED)
# With a number in it: two pages with nothing on them, without any table of their places.
EMPTY = os.path.join(folder.name, "empty.pdf")
with open(EMPTY, "w") as file:
    file.write("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Count 2/Kids[3 0 R 4 0 R]>>endobj\n")
    file.writelines("%d 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\n" % i for i in (3, 4))
    file.write("trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n")
check("there is no text on its pages (2)", "auf den Seiten ist kein Text (2)", "read", "--no-model", EMPTY)
check("No document in the library is “Alice”", "Kein Dokument in der Bibliothek heißt „Alice“", "library", "show", "Alice")

# The engine's: of the call that failed, with names in them, and a reason that is a text by itself.
TORN = os.path.join(folder.name, "torn.safetensors")
with open(TORN, "w") as file:
    file.write("torn")
check(TORN + ": too short for a safetensors file", TORN + ": zu kurz für eine safetensors-Datei", "model", "info", TORN)

# Help: of each command, with the same options and subcommands.
COMMANDS = re.findall(r"^  (\w+) +\S", run(ENGLISH, "--help")[1].split("\n\n")[1], re.M)
assert len(COMMANDS) == 13, COMMANDS
for words in [[], *([name] for name in COMMANDS), *(["model", name] for name in ("calibrate", "sections", "download", "downloads", "catalogue"))]:
    english, german = run(ENGLISH, *words, "--help")[1], run(GERMAN, *words, "--help")[1]
    assert english.startswith("Usage:") and german.startswith("Aufruf:") and "Usage" not in german and "Options of" not in german, (words, german)
    for pattern in (r"--[a-z-]+", r"^ *(?:Usage: |Aufruf: )?lectern ([a-z -]*)"):
        assert sorted(set(re.findall(pattern, english, re.M))) == sorted(set(re.findall(pattern, german, re.M))), (words, pattern, german)
    assert max(map(len, german.splitlines())) <= max(130, max(map(len, english.splitlines()))), (words, german)
    assert run(GERMAN, "--json", *words, "--help") == run(ENGLISH, "--json", *words, "--help"), words

# A question, and its answer: the letter for yes in either language.
def confirm(language, letter, *arguments):
    """On a terminal, which it asks for."""
    master, slave = pty.openpty()
    process = subprocess.Popen([LECTERN, *arguments], stdin=slave, stdout=subprocess.DEVNULL, stderr=slave, env={**environment, **language})
    os.close(slave)
    os.write(master, (letter + "\n").encode())
    told = b""
    with contextlib.suppress(OSError):  # its end
        while piece := os.read(master, 4096):
            told += piece
    os.close(master)
    process.wait(timeout=60)
    return told.decode()


for language, letter, removes, words in ((GERMAN, "n", False, "1 Dokument entfernen? [j/N]"), (ENGLISH, "j", False, "Remove 1 document? [y/N]"),
                                         (GERMAN, "j", True, "1 Dokument entfernen? [j/N]"), (ENGLISH, "y", True, "Remove 1 document? [y/N]"),
                                         (GERMAN, "Y", True, "1 Dokument entfernen? [j/N]")):
    path = os.path.join(folder.name, "page.txt")
    with open(path, "w") as file:
        file.write("Page\n\nWords that stay.\n")
    assert run(ENGLISH, "read", "--no-model", path)[0] == 0
    told = confirm(language, letter, "remove", "Page")
    assert words in told and (run(ENGLISH, "library", "show", "Page")[0] != 0) == removes, (letter, told)

# The doctor: the same findings in other words, but for commands to copy.
english, german = (run(language, "doctor")[1].rstrip().splitlines() for language in (ENGLISH, GERMAN))
assert len(english) == len(german) > 20, german
for line, words in zip(english, german):
    assert words != line or line.strip() == "" or line.startswith("          chmod "), line
    assert words[:10].isspace() == line[:10].isspace() and (words[:2] == "  ") == (line[:2] == "  "), words
assert "  gut     das Startmodell ist da" in german and "  gut     die Bibliothek ist unversehrt" in german, german
assert json.loads(run(GERMAN, "--json", "doctor")[1])["findings"][0]["text"] == "the starter model is there"

# Why a document could not be read is kept in parts, and said in the language of whoever asks.
TEXT = os.path.join(folder.name, "garden.txt")
with open(TEXT, "w") as file:
    file.write("Garden\n\nThe gardener planted three apple trees in 1805.\n")
assert run(GERMAN, "read", "--no-model", TEXT)[0] == 0
library = sqlite3.connect(os.path.join(folder.name, "data", "library.sqlite"))
library.execute("UPDATE documents SET state=5, note=? WHERE title='Garden'", ("\x1f".join(("cannot open %s: %s", "x.lkv", "no GPU", "")),))
library.commit()
library.close()
for language, text in ((ENGLISH, "cannot open x.lkv: no GPU"), (GERMAN, "x.lkv kann nicht geöffnet werden: keine GPU")):
    assert ": " + text + "\n" in run(language, "library", "show", "Garden")[1], run(language, "library", "show", "Garden")
    assert "cannot open x.lkv: no GPU" in run(language, "--json", "library", "show", "Garden")[1]
