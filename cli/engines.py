"""The engine that `run` and `bench` work on: loaded where MODEL is one, without the compiler; else compiled."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from .. import Engine, is_engine, load
from ..errors import InputError
from . import command

Shapes = Mapping[str, "int | tuple[int | None, ...]"]


def open_engine(args: Namespace) -> tuple[Engine, Shapes]:
    """The engine that MODEL names, or what stands for one where Python is needed, and the shapes that are
    still to be chosen for its runs."""
    if args.model == "-" or not is_engine(args.model):
        return command("compile").engine(args), {}  # --shape is in it
    if args.passes is not None or args.target is not None:
        raise InputError(f"{args.model} is compiled already", hint="--passes and --target need the model")
    return load(args.model, args.threads), dict(args.shape)
