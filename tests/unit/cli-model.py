"""Drives `lectern model` and what other models than the starter do: import, plan, continuous reading, thinking, choices that are kept.

The models are tiny and random: what they say means nothing, how they are handled is what is looked at.
usage: cli-model.py LECTERN TEST_DATA
"""
import json, os, shutil, subprocess, sys, tempfile

LECTERN, DATA = sys.argv[1:3]
folder = tempfile.TemporaryDirectory(prefix="lectern-model-")
environment = dict(os.environ, LECTERN_DATA=os.path.join(folder.name, "data"), LC_ALL="C.UTF-8")
QWEN = os.path.join(DATA, "qwen3")


def run(*arguments, code=0):
    done = subprocess.run([LECTERN, "--no-gpu", *arguments], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def lines(*arguments):
    done = subprocess.run([LECTERN, "--no-gpu", "--json", *arguments], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def info(name): return lines("model", "info", name)[0]


def note(name, text):
    path = os.path.join(folder.name, name)
    with open(path, "w") as file: file.write(text)
    return path


# Importing: what it will need is said first; each kind of source, each way of storing it.
mixed, sharded = os.path.join(QWEN, "mixed.gguf"), os.path.join(QWEN, "sharded-bf16-gqa4")
plan = lines("model", "import", mixed, "--plan")[0]
assert plan["parameters"] == 337280 and 337280 < plan["disk_bytes"] < 2 * 337280 and plan["memory_bytes"] > plan["disk_bytes"], plan
assert plan["answer_tokens_per_s"] > 0 and plan["read_tokens_per_s"] > 0 and plan["memory_total_bytes"] > 1 << 28, plan
assert not os.path.exists(os.path.join(folder.name, "data", "models"))
said = run("model", "import", mixed, "--name", "eight")
assert "on the disk" in said and "tokens/s" in said and "Imported" in said, said
run("model", "import", mixed, "--name", "four", "--bits", "4")
run("model", "import", mixed, "--name", "whole", "--bits", "as-is")
run("model", "import", sharded, "--name", "shards", "--bits", "as-is")
run("model", "import", sharded)
assert "there is a model" in run("model", "import", sharded, code=1).lower()
assert "--bits" in run("model", "import", mixed, "--bits", "5", code=2)
assert info("eight")["weight_types"] == "q8" and info("four")["weight_types"] == "q4" and "bf16" in info("shards")["weight_types"]
assert info("whole")["path"].endswith("whole.gguf") and info("whole")["tokenizer_sha256"] == info("eight")["tokenizer_sha256"]
assert "when asked to" in run("model", "info", "eight")
broken = os.path.join(folder.name, "broken.gguf")
shutil.copyfile(mixed, broken)
os.truncate(broken, 200000)
assert "complete" in run("model", "import", broken, code=1)
assert {one["name"] for one in lines("model", "list")[0]} >= {"eight", "four", "whole", "shards", "sharded-bf16-gqa4"}

# Continuous reading, whole and resumed; a longer document than the context is refused before it is read.
short = note("short.txt", "Chapter one\n\n" + "The lamp was green. " * 5 + "\n\nChapter two\n\nIt stood in the hall.\n")
assert "ready" in run("--model", "eight", "read", short)
answer = lines("--model", "eight", "ask", "What colour was the lamp?", "--max-tokens", "8")[0]
assert answer["tokens"]["computed_document"] == 0 and not answer["joined_approximately"] and answer["tokens"]["generated"] <= 8, answer
thought = lines("--model", "eight", "ask", "What colour?", "--think", "--seed", "3")[0]
assert thought["tokens"]["generated"] > 8 or thought["complete"], thought
long = note("long.txt", "".join(f"Line {i} of a long text.\n\n" for i in range(160)))
refused = run("--model", "eight", "read", long, code=1)
assert "2,048" in refused and "model sections eight independent" in refused, refused

# Section by section: any length, and said to be an approximation.
run("model", "sections", "eight", "independent")
assert "approximation" in run("model", "info", "eight")
assert "ready" in run("--model", "eight", "read", long)
answer = lines("--model", "eight", "ask", "-d", "long", "What line?", "--max-tokens", "4", "--all")[0]
assert answer["joined_approximately"] and answer["sections"]["attended"] > 1, answer
run("model", "sections", "eight", "continuous")
assert "2,048" in run("--model", "eight", "read", long, code=1)

# The number of kept features is a choice that is kept; it is part of what a cache belongs to.
assert info("eight")["k_key"] == 32
run("model", "calibrate", "eight", "--choose", "16:32", "--tokens", "300")
assert info("eight")["k_key"] == 16 and info("eight")["k_query"] == 32
table = lines("model", "calibrate", "eight", "--show")[0]
assert len(table["rows"]) == 9 and sum(row["rotated"] for row in table["rows"]) == 4, table
assert {(row["k_key"], row["k_query"]) for row in table["rows"]} == {(32, 32), (16, 16), (16, 32), (24, 24), (24, 32)}, table
assert table["rows"][0]["kl_nats"] < 1e-6 and all(row["perplexity"] > 1 for row in table["rows"])
assert "read again" in run("--model", "eight", "ask", "-d", "short", "What?", code=1)
assert "ready" in run("--model", "eight", "read", short)
# So is a rotation, which is measured with the table.
assert not info("eight")["rotated"]
assert "read again" in run("model", "calibrate", "eight", "--choose", "16:32:rotated")
assert info("eight")["rotated"] and ", rotated" in run("model", "info", "eight")
assert "read again" in run("--model", "eight", "ask", "-d", "short", "What?", code=1)
assert "ready" in run("--model", "eight", "read", short)
lines("--model", "eight", "ask", "-d", "short", "What?", "--max-tokens", "2")
assert "in use" in [row for row in run("model", "calibrate", "eight", "--show").splitlines() if "16 of 32, dense queries, rotated" in row][0]
run("model", "calibrate", "eight", "--choose", "16:32")
assert not info("eight")["rotated"] and "ready" in run("--model", "eight", "read", short)
assert "--choose" in run("model", "calibrate", "eight", "--choose", "many", code=2)
assert "--choose" in run("model", "calibrate", "eight", "--choose", "16:rotated:32", code=2)
run("model", "calibrate", "eight", "--choose", "own")
assert info("eight")["k_key"] == 32
lines("--model", "eight", "ask", "-d", "short", "What?", "--max-tokens", "2")  # what was read before the choice is there still

run("model", "remove", "eight")
assert not [name for name in os.listdir(os.path.join(folder.name, "data", "models")) if name.startswith("eight")]
