"""Checks: how they are written, collected, run and told.

A check is a function with a title; it gets a `Bench` and raises when the server is wrong. Each file of checks
works in a folder of its own.
"""

import os
import sys
import traceback

from files import Files
from sdk import Refused, Wrong

BOLD, RED, GREEN, DIM, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[2m", "\x1b[0m"
if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
    BOLD = RED = GREEN = DIM = PLAIN = ""

_registered = []


def check(title):
    """Makes a function a check."""

    def register(function):
        _registered.append((function.__module__, title, function))
        return function

    return register


class Bench(Files):
    """What a check works with: the SDK as `pds`, and a folder of its group as `home`."""

    def __init__(self, pds, group):
        super().__init__(pds)
        self.group = group
        self.home = self.folder(f"conformance-{group}", "root")


def run(pds, groups):
    """Runs the checks of some groups, in order. How many passed, how many did not."""
    passed = failed = 0
    for group in groups:
        print(f"{BOLD}{group}{PLAIN}", flush=True)
        bench = Bench(pds, group)
        for module, title, function in _registered:
            if module != group:
                continue
            problem = outcome(function, bench)
            if problem is None:
                passed += 1
                print(f"  {GREEN}ok{PLAIN}    {title}", flush=True)
            else:
                failed += 1
                print(f"  {RED}FAIL{PLAIN}  {title}\n        {problem}", flush=True)
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return passed, failed


def outcome(function, bench):
    """What is wrong, with the place in the check."""
    try:
        function(bench)
        return None
    except (Wrong, Refused) as problem:
        # A sentence says what; the line of the check says where.
        frames = [f for f in traceback.extract_tb(problem.__traceback__) if f.name == function.__name__]
        place = f" {DIM}({os.path.basename(frames[-1].filename)}:{frames[-1].lineno}){PLAIN}" if frames else ""
        return f"{problem}{place}"
    except Exception:
        lines = traceback.format_exc(limit=-3).strip().splitlines()
        return "\n        ".join(lines)
