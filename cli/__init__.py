"""The command `ircc`. A subcommand `bench` is the file `bench.py` here, imported when it is asked for.

Exit status: 0 done · 1 the model, an input or a file is wrong · 2 usage · 3 the model is valid, but ircc cannot compile
it · 4 it runs, but needs Python, so that no engine file can hold it · 70 a bug in ircc · 130 interrupted · 141 the
reader of the output went away.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from ..errors import Error
from .parser import parse

BUG, INTERRUPTED, PIPE = 70, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status. What goes wrong is one message on stderr, never a traceback."""
    words = os.environ.get("IRCC_LOG", "").lower().split(",")
    _start_logging(words)
    try:
        args = parse(list(sys.argv[1:] if arguments is None else arguments))
        status: int = command(args.command).run(args)
        sys.stdout.flush()
        return status
    except Error as error:
        _debug(words)
        return _failed(str(error), error.exit_status)
    except BrokenPipeError:
        # Python flushes stdout once more at exit: let it go where nobody complains
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return PIPE
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except OSError as error:
        _debug(words)
        return _failed(f"{error.filename or 'file'}: {error.strerror or error}", 1)
    except MemoryError as error:
        _debug(words)
        return _failed(f"there is not enough memory: {error or 'smaller sizes need less'}", 1)
    except Exception as error:
        _debug(words)
        what = " ".join(str(error).split())[:300]
        hint = "" if "debug" in words else "\n  hint: IRCC_LOG=debug shows where; please report it"
        return _failed(f"this is a bug in ircc: {type(error).__name__}: {what}{hint}", BUG)


def command(name: str) -> ModuleType:
    """The module of a subcommand."""
    return import_module(f".{name.replace('-', '_')}", __name__)


def _failed(message: str, status: int) -> int:
    sys.stderr.write(f"ircc: {message}\n")
    return status


def _debug(words: Sequence[str]) -> None:
    if "debug" in words:
        traceback.print_exc()


def _start_logging(words: Sequence[str]) -> None:
    """IRCC_LOG holds words: a level (debug, info, warning), and what other parts listen to (perf)."""
    levels = [logging.getLevelNamesMapping()[w.upper()] for w in words if w.upper() in logging.getLevelNamesMapping()]
    logging.basicConfig(format="ircc: %(message)s", level=min(levels, default=logging.WARNING))
    warnings.showwarning = lambda message, *_: _failed(f"warning: {message}", 0)
