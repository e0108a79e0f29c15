"""`ircc sign ENGINE`: put a signature into an engine file, or make a pair of keys."""

from __future__ import annotations

from argparse import Namespace

from ..engines import new_key, sign_engine
from ..errors import InputError
from . import console


def run(args: Namespace) -> int:
    """Make keys with --new-key, then sign ENGINE if one is given."""
    private = args.key
    if args.new_key:
        private, public = f"{args.new_key}.pem", f"{args.new_key}.pub.pem"
        new_key(private, public)
        console.say(f"{private}: the private key, keep it to yourself\n{public}: the public key, for those who verify")
    if args.engine is None:
        if not args.new_key:
            raise InputError("nothing to sign", hint="ircc sign ENGINE --key PRIVATE.pem")
        return 0
    if private is None:
        raise InputError("no key to sign with", hint="--key PRIVATE.pem, or --new-key NAME to make one")
    sign_engine(args.engine, private)
    console.say(f"{args.engine}: signed with {private}")
    return 0
