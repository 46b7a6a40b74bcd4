#!/usr/bin/env python3
"""Are figures of financial statements answered when a person asks for them?

Owns: a question for each of the sixty figures of extract-values.py, and the rule that decides.
Usage: ask-values.py LECTERN DATA_FOLDER FOLDER_OF_REPORTS [--misses]     (the reports are not part of the project)

Reads the reports into DATA_FOLDER (what is read already is not read again), then asks each question of all ten reports together, and of
the one report that holds the figure. Right: the figure is the answer or stands in it. Said for each rate: in how many the quotation is
verbatim, and in how many of the others the figure stands in the passages by search below.
"""
import importlib.util
import json
import os
import re
import subprocess
import sys

spec = importlib.util.spec_from_file_location("values", os.path.join(os.path.dirname(os.path.abspath(__file__)), "extract-values.py"))
values = importlib.util.module_from_spec(spec)
spec.loader.exec_module(values)

COMPANIES = {"APPLE": "Apple", "EBAY": "eBay", "MCDONALDS": "McDonald's", "ORACLE": "Oracle"}
# How people call a row, where not by its label in small letters.
NAMES = {
    "Cost of sales: Products": "cost of sales of products", "Services": "net sales of services", "Diluted": "diluted earnings per share",
    "Other income/(expense), net": "other income or expense, net", "Net income (loss)": "net income or loss",
    "International Operated Markets": "revenues of International Operated Markets", "Earnings per share-diluted": "diluted earnings per share",
    "Hardware": "hardware revenues", "Income from operations": "income from operations",
    "Payments for dividends and dividend equivalents": "payments for dividends and dividend equivalents",
    "Total shareholders’ equity": "total shareholders' equity", "Total stockholders’ equity": "total stockholders' equity",
}
PLURAL = ("sales", "revenues", "expenses", "assets", "liabilities", "inventories", "repurchases", "payments", "purchases", "expenditures")


def question(report, label, head):
    company, period = report.split("_")[:2]
    name = NAMES.get(label, label[0].lower() + label[1:])
    verb = "were" if any(word in name.lower().split() for word in PLURAL) and not name.startswith(("cost", "provision")) else "was"
    owner = COMPANIES[company] + ("" if COMPANIES[company].endswith("'s") else "'s")
    when = "in the first quarter of " + head if "Q1" in period else "in " + head
    return f"What {verb} {owner} {name} {when}?"


def figure(value):
    return re.sub(r"[^0-9.]", "", value).strip(".")


def has_figure(value, text):
    return figure(value) in [figure(token) for token in re.findall(r"[0-9][0-9.,]*", text or "")]


def run(arguments, text=None):
    done = subprocess.run(arguments, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit("ask-values: %s failed: %s" % (" ".join(arguments[:3]), done.stderr.strip()))
    return done.stdout


def why(value, report, answer):
    """What a wrong answer got wrong, as far as it shows."""
    if not answer["found"]:
        return "said to be absent"
    quotation = answer["quotation"] or {}
    source = quotation.get("document") or ""
    if COMPANIES[report.split("_")[0]].lower() not in source.lower():
        return "another company"
    if has_figure(value, quotation.get("text")):
        return "the right line, another column"
    return "another line or year"


def ask_all(lectern, data, asked, extra):
    lines = run([lectern, "--data", data, "--json", "ask", *extra, "-"], "\n".join(text for _, text in asked) + "\n").splitlines()
    assert len(lines) == len(asked), (len(lines), len(asked))
    return [json.loads(line) for line in lines]


def report_rate(name, asked, answers, show):
    right, in_passages, reasons, verbatim, times = 0, 0, {}, 0, []
    for (one, text), answer in zip(asked, answers):
        report, label, head, value = one
        times.append(answer["us"]["total"])
        verbatim += bool(answer["quotation"] and answer["quotation"]["verified"])
        if has_figure(value, answer["answer"]):
            right += 1
            continue
        in_passages += any(has_figure(value, passage["snippet"]) for passage in answer["passages"])
        reason = why(value, report, answer)
        reasons[reason] = reasons.get(reason, 0) + 1
        if show:
            print(f"  {text}  wanted {value}, got {answer['answer']!r} ({reason}): {(answer['quotation'] or {}).get('text')!r}")
    n = len(asked)
    print(f"{name}: {right} of {n} right ({100 * right / n:.0f}%), {verbatim} quotations verbatim; of the {n - right} others {in_passages} have "
          f"the figure in the passages below; {', '.join(f'{count} {reason}' for reason, count in sorted(reasons.items()))}; "
          f"median {sorted(times)[n // 2] / 1e6:.2f} s", flush=True)


def main():
    lectern, data, folder = sys.argv[1:4]
    show = "--misses" in sys.argv
    asked = [(one, question(*one[:3])) for one in values.VALUES]
    run([lectern, "--data", data, "--quiet", "read", folder])
    report_rate("all ten reports", asked, ask_all(lectern, data, asked, []), show)
    answers = []
    for one, text in asked:
        answers += ask_all(lectern, data, [(one, text)], ["-d", os.path.join(folder, one[0] + ".pdf")])
    report_rate("the report that holds it", asked, answers, show)


if __name__ == "__main__":
    main()
