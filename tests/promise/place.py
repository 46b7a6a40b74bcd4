"""A library of its own for one test of the whole program.

Owns: folders, the environment, running lectern in it.  Does not own: what is tested.
"""
import json, os, shutil, subprocess, tempfile


class Place:
    def __init__(self, lectern, base=None):
        self.lectern = os.path.abspath(lectern)
        self.folder = tempfile.mkdtemp(prefix="lectern-promise-", dir=base)
        self.data = os.path.join(self.folder, "data")
        self.home = os.path.join(self.folder, "home")
        self.work = os.path.join(self.folder, "work")
        self.temporary = os.path.join(self.folder, "tmp")
        for folder in (self.home, self.work, self.temporary):
            os.mkdir(folder)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_") and not k.lower().endswith("_proxy")}
        self.environment.update(HOME=self.home, TMPDIR=self.temporary, LECTERN_DATA=self.data, LC_ALL="C.UTF-8")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def run(self, *arguments, under=(), code=0, timeout=300, **settings):
        """under: a command that runs the program."""
        done = subprocess.run([*under, self.lectern, *arguments], capture_output=True, env=self.environment, cwd=self.work, timeout=timeout,
                              stdin=subprocess.DEVNULL, **settings)
        text = done.stdout.decode(errors="surrogateescape")
        assert done.returncode == code, (arguments, done.returncode, text[-2000:], done.stderr[-2000:])
        return text

    def json(self, *arguments, **settings):
        return [json.loads(line) for line in self.run("--json", "--quiet", *arguments, **settings).splitlines()]

    def files(self, folder):
        return sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
