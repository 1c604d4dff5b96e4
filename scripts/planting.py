"""Put the source of a mutant in the place of a module that is loaded, in a process of its own.

A function gets its new code, a module its new constants, wherever they were imported to: this
takes a millisecond. What can't be exchanged so (defaults, fields of classes) needs a new import.
"""

from __future__ import annotations

import ast
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from scripts.mutants import Mutant


def planted(module: ModuleType, original: str, mutant: Mutant) -> bool:
    """Exchange what the mutant changed; False (and nothing done) if that needs a new import."""
    names = mutant.function.split(".") if mutant.function else []
    new = compile(mutant.source, str(module.__file__), "exec")
    if not names:
        return _with_constants(module, new)
    function, depth = _found(module, names)
    if function is None:
        return False
    old = compile(ast.unparse(ast.parse(original)), str(module.__file__), "exec")
    before, after = (_code(code, names[:depth]) for code in (old, new))
    if after is None or before == after or after.co_freevars != function.__code__.co_freevars:
        return False
    function.__code__ = after
    return True


def _found(module: ModuleType, names: list[str]) -> tuple[FunctionType | None, int]:
    """Return the outermost function on a path of names, and how deep it lies."""
    here: Any = module
    for depth, name in enumerate(names, start=1):
        here = vars(here).get(name)
        here = getattr(here, "fget", None) or getattr(here, "__func__", here)
        while hasattr(here, "__wrapped__"):
            here = here.__wrapped__
        if isinstance(here, FunctionType):
            return here, depth
        if not isinstance(here, type):
            break
    return None, 0


def _code(code: CodeType, names: list[str]) -> CodeType | None:
    for name in names:
        found = [one for one in _inner(code) if one.co_name == name]
        if len(found) != 1:
            return None
        code = found[0]
    return code


def _inner(code: CodeType) -> Iterator[CodeType]:
    return (one for one in code.co_consts if isinstance(one, CodeType))


def _with_constants(module: ModuleType, new: CodeType) -> bool:
    scratch: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(new, scratch)  # our own source, with one change
    lost = (name for name in vars(module).keys() - scratch.keys() if not name.startswith("__"))
    if any(not isinstance(vars(module)[name], ModuleType) for name in lost):
        return False
    for name, value in scratch.items():
        old = vars(module).get(name)
        if name.startswith("__") or isinstance(value, type | FunctionType | ModuleType):
            continue
        for one in list(sys.modules.values()):
            if getattr(one, "__dict__", {}).get(name) is old and old is not None:
                setattr(one, name, value)
    return True


def forget(tree: Path) -> None:
    """Drop the modules of the tree, but compiled ones, and the errors that these have hold of."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
        if str(file).startswith(str(tree)) and not str(file).endswith((".so", "/errors.py")):
            del sys.modules[name]


def forked(work: Callable[[], int], timeout: float, log: Path) -> int:
    """Return the exit code of `work` in a fork of its own, -1 if it took too long or crashed."""
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setsid()
            with log.open("wb") as out:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
            code = work()
        finally:
            os._exit(code)
    end = time.monotonic() + timeout
    try:
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -1
    finally:
        with suppress(ProcessLookupError):  # what it started
            os.killpg(child, signal.SIGKILL)
