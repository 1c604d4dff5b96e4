"""Plant small faults in a module, one at a time, and see whether its tests notice (docs below).

    python -m scripts.mutation strength review.merging       # these modules
    python -m scripts.mutation pipeline --only _commit run    # only these functions
    python -m scripts.mutation all                            # every module that has a suite

Everything happens in a copy of the tree. One process imports what tests need once; each mutant gets
a fork of it, which runs the fast tests that pass through the changed lines, the quick ones first,
until one fails. Tests that fail without a mutant prove nothing: they are named and left out.
Survivors are printed with their line; those that `equivalent_mutants.txt` names with a reason,
because no outcome differs, are counted apart. Exit 1: others are left.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Generator, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from scripts.mutants import Mutant, mutants
from scripts.planting import forget, forked, planted

ROOT: Final = Path(__file__).resolve().parents[1]
EQUIVALENT: Final = Path(__file__).with_name("equivalent_mutants.txt")
# Module to the files whose fast tests are its own.
SUITES: Final = {
    "obfuscation.step": ("release", "misplaced_boxes", "sixteen_bits", "work", "second"),
    "obfuscation.second_images": ("second",),
    "pipeline.driver": ("driver", "pipeline_steps", "durability", "pipeline", "truth", "copying"),
    "pipeline.plan": ("plan", "truth", "pipeline_steps", "pipeline", "decisions"),
    "verification.failing": ("failing", "truth", "pipeline", "decisions"),
    "pipeline.job": ("job", "pipeline_steps", "pipeline", "misplaced_boxes", "truth"),
    "pipeline.traces": ("traces", "pipeline_steps", "pipeline", "truth"),
    "release.finalize": ("finish", "pipeline_steps", "pipeline", "durability", "truth"),
    "sources.imagefolder": ("imagefolder", "sources", "walking", "truth"),
    "sources.folder_sink": ("imagefolder", "sources", "durability", "finish", "truth"),
    "sources.reading": ("imagefolder", "durability"),
    "sources.notes": ("published", "sources", "plan", "finish", "truth"),
    "sources.disk": ("durability", "imagefolder", "job", "pipeline_steps"),
    "verification.checks": (
        "verification_limits",
        "verification",
        "misplaced_boxes",
        "second",
        "concealed",
        "sixteen_bits",
    ),
    "obfuscation.strength": ("strength", "misplaced_boxes"),
    "review.merging": ("review_merging",),
    "imaging.jpeg.proof": ("jpeg_proof",),
    "ledger.ledger": ("ledger", "ledger_questions", "ledger_hostile", "truth"),
    "ledger.records": ("ledger", "ledger_questions", "ledger_hostile"),
    "ledger.adoption": ("ledger_questions", "decisions"),
    "ledger.in_step": ("in_step",),
    "imaging.codec.metadata": (
        "metadata_walks",
        "metadata",
        "avif",
        "stripping",
        "panorama",
        "profile",
    ),
    "imaging.codec.inside.search": ("second", "metadata"),
    "imaging.codec.inside.removal": ("second", "metadata"),
    "boxes": ("detection", "obfuscation"),
    "obfuscation": ("obfuscation",),
    "obfuscation.covering": ("obfuscation",),
    "imaging.jpeg.editing": ("jpeg_edit",),
    "release.report.data": ("report",),
    "release.report.tally": ("report",),
    "imaging.codec.deep_editing": ("sixteen_bits",),
    "imaging.codec.writing": ("codec",),
    "imaging.codec.concealed_jpeg": ("concealed",),
    "imaging.codec.concealed_png": ("concealed",),
    "imaging.codec.concealed_tiff": ("concealed",),
    "imaging.codec.concealed_simple": ("concealed",),
    "imaging.embedded.profile": ("profile",),
    "imaging.embedded.panorama": ("panorama",),
    "imaging.embedded.orientation": ("orientation",),
    "sources.private": ("private",),
}
_MARKS: Final = "not slow and not e2e and not postgres and not ray and not study and not fuzz"
# The second of the plugins collects garbage at the end, which takes longer than most tests.
_WITHOUT: Final = ("-p", "no:cacheprovider", "-p", "no:unraisableexception")
_QUIET: Final = ("-q", *_WITHOUT, "-m", _MARKS)


class Tracer:
    """A plugin of pytest that notes which lines of a file each test passes, and how long it takes.

    What fixtures of a whole file do is noted for every test of that file.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.now = str(file), set[int]()
        self.tests: dict[str, tuple[float, set[int]]] = {}
        self.shared: defaultdict[str, set[int]] = defaultdict(set)
        self.failed = set[str]()

    def _call(self, frame: FrameType, *_: object) -> Any:
        return self._line if frame.f_code.co_filename == self.file else None

    def _line(self, frame: FrameType, *_: object) -> Any:
        self.now.add(frame.f_lineno)
        return self._line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note what fixtures pass."""
        self.now = set()
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.shared[item.nodeid.partition("::")[0]] |= self.now

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Note what the test passes."""
        self.now, began = set(), time.monotonic()
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.tests[item.nodeid] = time.monotonic() - began, self.now

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which fail, in whatever phase."""
        if report.failed:
            self.failed.add(report.nodeid)

    def lines(self) -> dict[str, tuple[float, set[int]]]:
        """Return duration and lines of each test that passes."""
        return {
            name: (seconds, lines | self.shared[name.partition("::")[0]])
            for name, (seconds, lines) in self.tests.items()
            if name not in self.failed
        }


class Chosen:
    """A plugin of pytest that runs these tests, in this order."""

    def __init__(self, names: Iterable[str]) -> None:
        self.order = {name: place for place, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the others."""
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order),
            key=lambda item: self.order[item.nodeid],
        )


def run(files: Iterable[str], plugin: object, *, stop: bool = True) -> int:
    """Run the fast tests of these files, to the first that fails; return 0 if all pass."""
    options = [*_QUIET, "-x"] if stop else _QUIET
    return int(pytest.main([*options, *files], plugins=[plugin]))


def _keep_bytecode(*, wanted: bool) -> None:
    sys.dont_write_bytecode = not wanted
    os.environ["PYTHONDONTWRITEBYTECODE"] = "" if wanted else "1"


class Trial:
    """One module, its tests, and the copy of the tree in which its source is replaced."""

    def __init__(self, tree: Path, module: str, files: Iterable[str]) -> None:
        self.tree, self.log = tree, tree / "log.txt"
        self.name = f"sfumato.{module}"
        path = tree / "src" / "sfumato" / module.replace(".", "/")
        self.file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        self.source = self.file.read_text(encoding="utf-8")
        functions = [n for n in ast.walk(ast.parse(self.source)) if isinstance(n, ast.FunctionDef)]
        self.inside = {  # lines of functions, but those that are cached: they run only once
            line
            for one in functions
            if "cache" not in str([*map(ast.dump, one.decorator_list)])
            for line in range(one.body[0].lineno, (one.end_lineno or 0) + 1)
        }
        self.suite = [f"tests/test_{name}.py" for name in files]
        pytest.main([*_QUIET, "--collect-only", "-qq", *self.suite])
        told = tree / "lines.json"
        _keep_bytecode(wanted=True)
        if forked(lambda: self._measure(told), 1800, self.log) not in (0, 1):
            raise SystemExit(f"the tests can't be run as they are:\n{self.log.read_text()}")
        self.tests: dict[str, tuple[float, list[int]]]
        self.tests, failed = json.loads(told.read_text())
        for name in failed:
            print(f"{module}: left out, for it fails without a mutant: {name}", flush=True)
        _keep_bytecode(wanted=False)  # or that of one mutant would be taken for the next
        for compiled in self.file.parent.glob(f"__pycache__/{self.file.stem}.*"):
            compiled.unlink()
        gc.collect()
        gc.freeze()

    def _measure(self, told: Path) -> int:
        tracer = Tracer(self.file)
        code = run(self.suite, tracer, stop=False)
        found = {name: (took, sorted(lines)) for name, (took, lines) in tracer.lines().items()}
        told.write_text(json.dumps([found, sorted(tracer.failed)]))
        return code

    def _rank(self, test: tuple[str, tuple[float, list[int]]]) -> tuple[int, float]:
        """Put the files of the suite in its order, and of each file the quick tests first."""
        return self.suite.index(test[0].partition("::")[0]), test[1][0]

    def survives(self, mutant: Mutant) -> bool:
        """Run the tests that pass the mutant's lines; all of them for what is done only once."""
        once = mutant.lines.start not in self.inside
        names = [
            name
            for name, (_, lines) in sorted(self.tests.items(), key=self._rank)
            if once or not set(lines).isdisjoint(mutant.lines)
        ]
        files = list(dict.fromkeys(name.partition("::")[0] for name in names))
        timeout = 15 + 5 * sum(self.tests[name][0] for name in names)
        self.file.write_text(mutant.source, encoding="utf-8")

        def attempt() -> int:
            if not planted(sys.modules[self.name], self.source, mutant):
                forget(self.tree)
            return next((code for one in files if (code := run([one], Chosen(names)))), 0)

        try:
            return not names or not forked(attempt, timeout, self.log)
        finally:
            self.file.write_text(self.source, encoding="utf-8")


def attempt(
    trial: Trial, module: str, only: Collection[str], known: Collection[str]
) -> Counter[str]:
    """Try all mutants of a module (of these functions); print who survives, and the score."""
    counts = Counter[str]()
    for mutant in mutants(trial.source):
        if only and not {*mutant.function.split("."), mutant.function} & set(only):
            continue
        counts["mutants"] += 1
        if not trial.survives(mutant):
            counts["killed"] += 1
            continue
        same = f"{module} {mutant.name}" in known
        counts["equivalent" if same else "left"] += 1
        if not same:
            print(f"{module}:{mutant.lines.start} {mutant.name}", flush=True)
    fair = counts["mutants"] - counts["equivalent"]
    print(
        f"{module}: {counts['mutants']} mutants, {counts['killed']} killed, "
        f"{counts['equivalent']} equivalent, {counts['left']} left: "
        f"{counts['killed'] / max(fair, 1):.1%}",
        flush=True,
    )
    return counts


def main() -> int:
    """Try the mutants of the modules that the command names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(" (docs")[0])
    parser.add_argument("modules", nargs="+", choices=[*SUITES, "all"])
    parser.add_argument("--only", nargs="+", default=[], help="functions")
    parser.add_argument("--tests", nargs="+", default=[], help="files, in the place of the suite")
    options = parser.parse_args()
    wanted = list(SUITES) if "all" in options.modules else options.modules
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines() if EQUIVALENT.exists() else []
    known = {line.partition("  # ")[0] for line in lines}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder).resolve() / "tree"
        tree.mkdir()
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, tree / name)
        shutil.copy(ROOT / "pyproject.toml", tree)
        os.chdir(tree)
        sys.path[:0] = [str(tree / "src"), str(tree)]
        os.environ["PYTHONPATH"] = str(tree / "src")
        left = 0
        for module in wanted:
            trial = Trial(tree, module, options.tests or SUITES[module])
            left += attempt(trial, module, options.only, known)["left"]
        return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
