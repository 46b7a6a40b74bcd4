"""Promise 27: whatever the umask, all that the program leaves is readable by its owner alone: the library, states, settings, at the end and
at every moment on the way.

usage: promise-27.py LECTERN
"""
import os, stat, subprocess, sys, time
from place import Place

LECTERN = os.path.abspath(sys.argv[1])
os.umask(0)
text = "# A diary\n\n" + "\n\n".join(f"On day {i} the diarist wrote {i * 7} words and hid them behind the clock." for i in range(400))


def check(place):
    """Everything below the folders that the program writes to; sources and the test's own folders are not its business."""
    n = 0
    for top in (place.data, place.home, place.temporary):
        for path, folders, names in os.walk(top):
            for name in [os.path.join(path, n) for n in folders + names] + ([top] if top == place.data else []):
                try:
                    mode = os.lstat(name).st_mode
                except FileNotFoundError:
                    continue
                # A folder above lectern's own (~/.config) is everybody's; what is in ours is not.
                if "lectern" in name[len(place.folder):] or top == place.data:
                    assert stat.S_IMODE(mode) & 0o077 == 0, (name, oct(stat.S_IMODE(mode)))
                    n += 1
    return n


with Place(LECTERN) as place:
    source = place.write("diary.md", text)
    process = subprocess.Popen([LECTERN, "--quiet", "--threads", "1", "read", source], env=place.environment, cwd=place.work)
    while process.poll() is None:
        check(place)
        time.sleep(0.02)
    assert process.returncode == 0
    place.run("read", "--no-model", place.write("page.html", "<html><body><p>A page of the diary.</p></body></html>"))
    subprocess.run([LECTERN, "--quiet", "read", "--no-model", "-"], input=b"Words from a pipe.", env=place.environment, cwd=place.work, check=True)
    place.run("ask", "--conversation", "secrets", "How many words did the diarist write on day 40?")
    place.run("cache", "limit", "1GB")
    place.run("settings", "compute.threads", "1")
    n = check(place)
    assert n >= 8, n
    # What was opened to others by somebody is closed again.
    os.chmod(place.data, 0o755)
    os.chmod(os.path.join(place.data, "cache"), 0o755)
    os.chmod(os.path.join(place.data, "library.sqlite"), 0o644)
    place.run("ask", "How many words did the diarist write on day 41?")
    check(place)
    print(f"{n} files and folders, private")
