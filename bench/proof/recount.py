#!/usr/bin/env python3
"""Recounts what logforge stored, from the access log alone.

Nothing is shared with the project: own parser of the log, own idea of the
files. Exits with 1 and says what differs.

    recount.py --log access.log.gz --dir DIR                      each line of the log, once
    recount.py --log access.log.gz --dir DIR --batches FILE.tsv   what the batches' states say

DIR has logs/ and analytics/. FILE.tsv has a line per batch: first record,
number of records, state (acknowledged, refused, unknown); record i is line
i modulo the log's length, with ?id=i appended to its path.
"""
import argparse
import collections
import datetime
import gzip
import json
import pathlib
import re
import sys

LINE = re.compile(r'^\S+ \S+ \S+ \[([^\]]+)\] "(?:\S+) (\S+)(?: [^"]*)?" \d+ \S+ "[^"]*" "([^"]*)')
FILE = re.compile(r"^(\d{4}-\d\d-\d\d)/(\d\d)\.log\.json$")
problems = []


def wrong(text):
    problems.append(text)


def read_log(name):
    with gzip.open(name, "rt", encoding="utf-8") as f:
        for line in f:
            at, path, agent = LINE.match(line.rstrip("\n")).groups()
            at = datetime.datetime.strptime(at, "%d/%b/%Y:%H:%M:%S %z").astimezone(datetime.timezone.utc)
            yield at.strftime("%Y-%m-%dT%H:%M:%SZ"), path, agent


def unique(pairs):
    """A JSON object as its pairs, so that order and repetition are seen."""
    return pairs


def read_stored(logs):
    """Yields hour and (timestamp, path, userAgent) of every line of every hourly file."""
    for file in sorted(logs.rglob("*")):
        name = file.relative_to(logs).as_posix()
        if file.is_dir() or any(part.startswith(".") for part in name.split("/")):
            continue
        match = FILE.match(name)
        if not match:
            wrong(f"{name}: not the name of an hourly file")
            continue
        hour = "T".join(match.groups())
        text = file.read_bytes()
        if text and not text.endswith(b"\n"):  # empty: killed before its first line
            wrong(f"{name}: ends within a line")
        for n, line in enumerate(text.split(b"\n")[:-1], 1):
            try:
                pairs = json.loads(line, object_pairs_hook=unique)
                members = [member for member, _ in pairs]
                values = tuple(value for _, value in pairs)
            except (ValueError, TypeError) as e:
                wrong(f"{name}:{n}: {e}: {line[:80]!r}")
                continue
            if members != ["timestamp", "path", "userAgent"]:
                wrong(f"{name}:{n}: members {members}")
            elif values[0][:13] != hour:
                wrong(f"{name}:{n}: a record of {values[0]}")
            else:
                yield hour, values


def compare(what, want, got):
    for key in want.keys() | got.keys():
        if want.get(key, 0) != got.get(key, 0):
            wrong(f"{what}: {key}: expected {want.get(key, 0)}, found {got.get(key, 0)}")


def check_batches(file, log, stored):
    """An acknowledged batch is there once, a refused one not at all; of an
    unknown one each hour has the first so many records, once."""
    left = collections.Counter(stored)
    counts = collections.Counter()
    for line in open(file, encoding="utf-8"):
        first, n, state = line.split("\t")
        first, n, state = int(first), int(n), state.strip()
        cut, found = set(), 0
        for i in range(first, first + n):
            at, path, agent = log[i % len(log)]
            record = (at, f"{path}?id={i}", agent)
            times = left.pop(record, 0)
            found += times
            if times > 1:
                wrong(f"record {i} is stored {times} times")
            if times == 0:
                cut.add(at[:13])
            elif at[:13] in cut:
                wrong(f"record {i} is stored, an earlier one of its hour is not")
        if state == "acknowledged" and found != n:
            wrong(f"records {first} to {first + n - 1} were acknowledged, {n - found} are missing")
        if state == "refused" and found:
            wrong(f"records {first} to {first + n - 1} were refused, {found} are stored")
        if state == "unknown":
            state += " " + ("whole" if found == n else "not there" if not found else "in part")
        counts[state] += 1
    for record in left:
        wrong(f"never sent: {record}")
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))


def check_summaries(analytics, hours):
    files = {f"{f.parent.name}T{f.stem[-2:]}": f for f in analytics.glob("*/summary_??.json")}
    compare("summaries", dict.fromkeys(hours, 1), dict.fromkeys(files, 1))
    for hour, records in hours.items():
        if hour not in files:
            continue
        summary = json.loads(files[hour].read_bytes())
        if summary["hour"] != f"{hour}:00:00Z":
            wrong(f"summary of {hour}: its hour is {summary['hour']}")
        if summary["records"] != len(records):
            wrong(f"summary of {hour}: {summary['records']} records, counted {len(records)}")
        compare(f"summary of {hour}, paths", collections.Counter(r[1] for r in records), summary["requestsPerPath"])
        compare(f"summary of {hour}, agents", collections.Counter(r[2] for r in records), summary["requestsPerUserAgent"])


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--log", required=True)
    args.add_argument("--dir", required=True, type=pathlib.Path)
    args.add_argument("--batches")
    args = args.parse_args()

    log = list(read_log(args.log))
    hours = collections.defaultdict(list)
    for hour, record in read_stored(args.dir / "logs"):
        hours[hour].append(record)
    stored = collections.Counter(record for records in hours.values() for record in records)
    outcome = ""
    if args.batches:
        outcome = "; batches: " + check_batches(args.batches, log, stored)
    else:
        compare("record", collections.Counter(log), stored)
    check_summaries(args.dir / "analytics", hours)

    for problem in problems[:20]:
        print(problem)
    if problems:
        print(f"{len(problems)} problems")
        sys.exit(1)
    print(f"{stored.total()} records in {len(hours)} hours, as they should be{outcome}")


main()
