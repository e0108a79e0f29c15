"""ircc compiles a neural network in ONNX to native code, through three dialects made for reading.

    import ircc
    engine = ircc.compile("model.onnx")
    outputs = engine.run({"x": array})
    engine.save("model.engine")
    engine = ircc.load("model.engine")

The names below are resolved when they are first used: `ircc.load` brings in NumPy only, never the compiler.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .compiler import compile, emit, lower, recompile
    from .errors import Error
    from .ir.pipeline import Pipeline
    from .refitting import refit
    from .runtime.engine import Engine, load
    from .runtime.examples import example_inputs
    from .runtime.file import is_engine
    from .runtime.profile import profile

    onnx_backend: Any

__all__ = [
    "Engine", "Error", "Pipeline", "__version__", "compile", "emit", "example_inputs", "get_include", "is_engine",
    "load", "lower", "onnx_backend", "profile", "recompile", "refit",
]  # fmt: skip

# The one deferred import of the code base: public name -> the module that defines it.
_PLACES = {
    "Engine": ".runtime.engine",
    "Error": ".errors",
    "Pipeline": ".ir.pipeline",
    "compile": ".compiler",
    "emit": ".compiler",
    "example_inputs": ".runtime.examples",
    "is_engine": ".runtime.file",
    "load": ".runtime.engine",
    "lower": ".compiler",
    "profile": ".runtime.profile",
    "recompile": ".compiler",
    "refit": ".refitting",
}


def __getattr__(name: str) -> Any:
    if name == "onnx_backend":
        # ONNX's Backend API is a frontend and may not import the compiler: the two are joined here.
        compiler = import_module(".compiler", __name__)
        value = import_module(".frontends.onnx_backend", __name__).make_backend(compiler.compile)
    elif name in _PLACES:
        value = getattr(import_module(_PLACES[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def get_include() -> str:
    """The folder of ircc.h and ircc.c, for programs that run engines: cc -I$(python -c "import ircc;
    print(ircc.get_include())")."""
    return f"{__path__[0]}/runtime/c"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
