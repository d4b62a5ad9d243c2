"""Runs all checks against a server. scripts/conformance starts this with the SDK's interpreter."""

import argparse
import importlib
import sys
from pathlib import Path
from urllib.parse import urlsplit

import checks
from sdk import Sdk

GROUPS = [
    "account",
    "uploads",
    "reading",
    "searching",
    "changing",
    "recycling",
    "feed",
    "download",
    "pictures",
    "revisions",
    "tasks",
    "batches",
    "refusals",
]
# They need the users, keys and applications that scripts/conformance gives the server it starts. The last moves
# its clock.
WITH_ACCOUNTS = ["accounts", "drives", "control"]


def main():
    """The exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--drive-id", required=True)
    parser.add_argument("--accounts", action="store_true")
    parser.add_argument("--only", choices=GROUPS + WITH_ACCOUNTS)
    chosen = parser.parse_args()
    url = urlsplit(chosen.endpoint)
    token = Path(chosen.token_file).read_text().strip()
    groups = [chosen.only] if chosen.only else GROUPS + (WITH_ACCOUNTS if chosen.accounts else [])
    for group in groups:
        importlib.import_module(group)
    passed, failed = checks.run(Sdk(url.netloc, token, chosen.drive_id, url.scheme), groups)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
