"""`ircc verify ENGINE`: whether a file is what it was, and whose it is. Loads none of its code."""

from __future__ import annotations

from argparse import Namespace

from ..engines import verify_engine
from . import console


def run(args: Namespace) -> int:
    """Check all hashes, and the signature where keys are given or the file has one."""
    found = verify_engine(args.engine, args.key)
    told = f", signed by {found.hex()}" if found else ", not signed"
    console.say(f"{args.engine}: header, code and weights have their hashes{told}")
    if found and not args.key:
        console.say("anybody can sign: --key PUBLIC.pem says whose signature is wanted")
    return 0
