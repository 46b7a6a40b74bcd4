#!/usr/bin/env python3
"""Checks the rules of the tree that a compiler does not: which folder may include what, and how long a file may grow.

usage: check-layers.py SOURCE_FOLDER
The include paths in meson.build already hide higher layers; this refuses the ways around them.
"""
import os
import re
import sys

BELOW = {"kernels": {"kernels"}, "engine": {"engine", "kernels"}, "app": {"app", "engine", "kernels"}, "ui": {"ui", "app"}}
LINES_MAX = 1000


def sources(root):
    for layer in BELOW:
        for folder, _, names in os.walk(os.path.join(root, layer)):
            for name in names:
                if name.endswith((".c", ".h", ".cu", ".cuh")):
                    yield layer, os.path.join(folder, name)


def owners(root):
    """File name of a header -> layers that have one of that name, and whether it is public there."""
    found = {}
    for layer, path in sources(root):
        if path.endswith((".h", ".cuh")):
            found.setdefault(os.path.basename(path), set()).add((layer, "/public/" in path))
    return found


def main(root):
    headers, faults = owners(root), []
    for layer, path in sources(root):
        lines = open(path, encoding="utf-8").read().splitlines()
        if len(lines) > LINES_MAX:
            faults.append(f"{path}: {len(lines)} lines, the limit is {LINES_MAX}")
        for number, line in enumerate(lines, 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            name = match.group(1)
            if ".." in name.split("/"):
                faults.append(f"{path}:{number}: climbs out of its folder: {name}")
            homes = headers.get(os.path.basename(name), set())
            if homes and not any(home == layer or (home in BELOW[layer] and public) for home, public in homes):
                faults.append(f"{path}:{number}: {layer}/ may not see {name}")
            if layer == "app" and "/public/" in path and name in ("eng.h", "kern.h"):
                faults.append(f"{path}:{number}: a public header of app/ may not show the engine")
    print("\n".join(faults) if faults else "the layers hold")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
