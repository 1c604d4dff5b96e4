"""Any history of runs, kills, changes and checks: the manifest stays true, and no face shows.

Six small images with planted faces. After each step: where there is a manifest, every row is
what lies there (but for what an outsider changed since, which the next command must say), and no
face that the ledger knows can be seen. A run that isn't killed always gets to the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as explore

from sfumato.errors import Code, SampleError, UsageError
from sfumato.pipeline.driver import STAGES, run, write_report
from sfumato.release.report.data import Report
from sfumato.sources.imagefolder import ImageFolder
from sfumato.types import Sample
from tests import planted
from tests.command import Here
from tests.crash import Killed, dying
from tests.planted import KEYS, STRONG, WEAK, visible_in

METHODS = st.sampled_from(("pixelate", "fill", "gaussian"))
ANY = st.sampled_from(KEYS)
FACES = st.sets(st.sampled_from(("plain", "shy")))
DEATHS = st.integers(1, 90)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


class Histories(RuleBasedStateMachine):
    """What may happen to a source and its release."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="truth-"))
        self.site = planted.make(self.root)
        self.ledger = self.root / "out.sfumato/ledger.sqlite"
        self.method = "pixelate"
        self.seed = 100
        self.changed: set[str] = set()  # in OUT, by an outsider, since the last command's end
        self.begun = False
        self.exposed: set[str] = set()  # digests in which a verification saw a face
        self.maybe: set[str] = set()  # those of a verification that was killed
        self.unreadable: set[str] = set()
        self.kept: dict[str, bytes] = {}
        self.stack = ExitStack()
        self.stack.enter_context(self.site.watched())
        real = ImageFolder.sample

        def sample(folder: ImageFolder, key: str) -> Sample:
            if key in self.unreadable:
                raise SampleError(Code.FILE_UNREADABLE, "for a test")
            return real(folder, key)

        self.stack.enter_context(patch.object(ImageFolder, "sample", sample))

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()
            shutil.rmtree(self.root)

    # --- what sfumato does ----------------------------------------------------------------------

    def release(self, method: str, *, verify: str = WEAK, cover: bool = False) -> Report | None:
        job = self.site.job(method, verify=verify, overwrite=True, cover_findings=cover)
        self.begun = True
        self.method = method
        report = run(job, STAGES, Here())
        self.changed.clear()
        self.judge(report)
        wrong = {one.key for one in report.failed}
        seen = {key for key in self.keys() if sha256(self.site.out / key) in self.exposed}
        if verify == STRONG:
            seen |= {key for key in self.keys() if visible_in(self.site.out / key)}
        note(f"{method}: {report.verdict} {[(f.key, str(f.code)) for f in report.failed]}")
        assert (
            seen
            <= wrong
            <= seen
            | {
                key
                for key in self.keys()
                if sha256(self.site.out / key) in self.maybe or key in self.unreadable
            }
        )
        assert report.account.images_in == len(self.sources())
        assert {one.key for one in report.refused} == self.unreadable & self.sources() - self.keys()
        expected = "failed" if wrong else "refused" if self.refused() else "passed"
        assert report.verdict == expected
        assert (self.site.out / "manifest.parquet").is_file()
        return report

    @rule(method=METHODS, cover=st.booleans())
    def release_it(self, method: str, cover: bool) -> None:
        self.release(method, cover=cover)

    @rule()
    def release_it_again(self) -> None:
        """The same as before: nothing needs `overwrite`."""
        try:
            run(self.site.job(self.method), STAGES, Here())
        except UsageError:
            assert not self.begun
            raise
        self.begun = True
        self.release(self.method)

    @rule(method=METHODS, at=DEATHS, cover=st.booleans())
    def die_in_a_release(self, method: str, at: int, cover: bool) -> None:
        job = self.site.job(method, overwrite=True, cover_findings=cover)
        try:
            with dying(at):
                run(job, STAGES, Here())
        except Killed:
            self.begun |= self.ledger.is_file()
            self.method = self.last_method()
        else:
            self.release(method, cover=cover)

    @rule()
    def cover_what_was_seen(self) -> None:
        self.verify(STRONG)
        self.release(self.method, verify=STRONG, cover=True)
        self.release(self.method, verify=STRONG, cover=True)  # a cover may look like a face
        assert not any(visible_in(self.site.out / key) for key in self.keys())
        if not self.unreadable:
            assert self.verify(STRONG) in ("passed", "refused")

    @rule()
    def what_run_confirms_verify_does_not_refute(self) -> None:
        report = self.release(self.method)
        assert report is not None
        if not self.unreadable:
            assert self.verify(WEAK) == report.verdict

    @rule(watcher=st.sampled_from((WEAK, STRONG)))
    def verify_it(self, watcher: str) -> None:
        self.verify(watcher)

    def verify(self, watcher: str) -> str:
        if not self.begun:
            return ""
        changed = self.untrue_files()
        job = self.site.job(self.method, verify=watcher)
        try:
            report = run(job, ("verify",), Here())
        except UsageError:  # a run of another recipe was killed before it did anything
            return ""
        self.changed.clear()
        self.judge(report)
        if watcher == STRONG:
            for finding in report.failed:
                if finding.code is Code.VERIFY_FACE_FOUND and finding.key not in changed:
                    self.exposed.add(sha256(self.site.out / finding.key))
            if report.verdict in ("passed", "refused"):
                assert not any(visible_in(self.site.out / key) for key in self.keys())
        return report.verdict

    @rule()
    def report(self) -> None:
        if self.begun and (self.root / "out").is_dir():
            try:
                report = write_report(self.site.out, self.site.job().ledger)
            except UsageError:
                return
            self.changed.clear()
            self.judge(report)

    @rule(at=DEATHS, watcher=st.sampled_from((WEAK, STRONG)))
    def die_in_a_check(self, at: int, watcher: str) -> None:
        if self.begun:
            try:
                with dying(at):
                    run(self.site.job(self.method, verify=watcher), ("verify",), Here())
            except (Killed, UsageError):
                if watcher == STRONG:
                    self.maybe |= {sha256(self.site.out / key) for key in self.keys()}
                return
            self.verify(watcher)

    def judge(self, report: Report) -> None:
        """Whatever a command says is so."""
        wrong = self.untrue_files()
        if wrong:
            assert report.verdict in ("failed", "unfinished")
            assert not (self.site.out / "manifest.parquet").exists()

    # --- what others do -------------------------------------------------------------------------

    @rule(key=ANY, faces=FACES)
    def change_the_source(self, key: str, faces: set[str]) -> None:
        self.seed += 1
        planted.write(self.site.source / key, self.seed, sorted(faces))

    @rule(key=ANY)
    def remove_from_the_source(self, key: str) -> None:
        if len(self.sources()) > 1 and (self.site.source / key).exists():
            self.kept[key] = (self.site.source / key).read_bytes()
            (self.site.source / key).unlink()

    @rule(key=ANY)
    def put_back_into_the_source(self, key: str) -> None:
        if key in self.kept:
            path = self.site.source / key
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self.kept[key])
            os.utime(path, ns=(10**18, 10**18))

    @rule(key=ANY)
    def touch_or_chmod_the_source(self, key: str) -> None:
        path = self.site.source / key
        if path.exists():
            path.chmod(0o600)
            path.touch()

    @rule(key=ANY)
    def let_it_be_unreadable_or_mend_it(self, key: str) -> None:
        self.unreadable ^= {key}

    @rule(key=ANY, how=st.sampled_from(("original", "cut", "gone", "forged", "link", "touch")))
    def change_the_release(self, key: str, how: str) -> None:
        path, source = self.site.out / key, self.site.source / key
        if not path.is_file() or path.is_symlink() or not source.is_file():
            return
        before, state = sha256(path), path.stat()
        if how == "original":
            path.write_bytes(source.read_bytes())
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:-7])
        elif how == "gone":
            path.unlink()
        elif how == "forged":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
            os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        elif how == "link":
            path.unlink()
            path.symlink_to(source)
        else:
            path.chmod(0o640)
            path.touch()
        if sha256(path) != before or how == "link":
            self.changed.add(key)

    # --- what holds -----------------------------------------------------------------------------

    @invariant()
    def the_manifest_is_true(self) -> None:
        if hasattr(self, "site"):
            assert self.untrue_files() <= self.changed

    @invariant()
    def no_known_face_shows(self) -> None:
        if not hasattr(self, "site"):
            return
        for key in self.rows():
            if key not in self.changed:
                assert "plain" not in visible_in(self.site.out / key)

    def rows(self) -> dict[str, str]:
        """Return the digests that the manifest gives, none without one."""
        path = self.site.out / "manifest.parquet"
        if not path.is_file():
            return {}
        found = pq.read_table(path).to_pylist()
        return {row["path"]: row["sha256_out"] for row in found if row["sha256_out"]}

    def untrue_files(self) -> set[str]:
        out = self.site.out
        return {key for key, digest in self.rows().items() if sha256(out / key) != digest}

    def keys(self) -> set[str]:
        return {key for key in KEYS if (self.site.out / key).is_file()}

    def sources(self) -> set[str]:
        return {key for key in KEYS if (self.site.source / key).is_file()}

    def refused(self) -> set[str]:
        return self.sources() - self.keys()

    def last_method(self) -> str:
        """Return the method of the last run that got as far as the ledger."""
        if not self.ledger.is_file():
            return self.method
        sql = "SELECT recipe FROM runs WHERE command LIKE '%obfuscate%' ORDER BY seq DESC LIMIT 1"
        with closing(sqlite3.connect(self.ledger)) as ledger:
            for (recipe,) in ledger.execute(sql):
                return str(json.loads(recipe)["obfuscate"]["method"])
        return self.method


def _explore(machine: type[Histories], examples: int, steps: int, *, at_random: bool) -> None:
    explore(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=at_random,
            derandomize=not at_random,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_some_histories() -> None:
    """Always the same ones: what is new is looked for below."""
    _explore(Histories, 12, 50, at_random=False)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_any_history() -> None:
    _explore(Histories, 30, 50, at_random=True)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_one_long_history() -> None:
    """Five hundred steps on the same six images: what one leaves, all later ones meet."""
    _explore(Histories, 1, 500, at_random=True)


_CHILD = """
import sys
from pathlib import Path
from sfumato.pipeline.driver import STAGES, run
from tests import planted
from tests.command import Here
from tests.crash import dying
root, method, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
site = planted.Planted(root, planted.Eyes("weak-1", {"plain"}), planted.Eyes("strong-1", set()))
with site.watched(), dying(at, or_really=True):
    run(site.job(method, overwrite=True), STAGES, Here())
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_really_killed_at_any_moment_between_two_recipes(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    env = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    killed = 0
    for at in range(1, 60, 3):
        site = planted.make(tmp_path / str(at))
        with site.watched():
            run(site.job("pixelate"), STAGES, Here())
            wanted = {key: sha256(site.out / key) for key in KEYS}
            child = [sys.executable, "-c", _CHILD, str(site.root), "fill", str(at)]
            killed += subprocess.run(child, env=env, check=False).returncode == -9
            rows = site.out / "manifest.parquet"
            if rows.exists():
                for row in pq.read_table(rows).to_pylist():
                    assert row["sha256_out"] == sha256(site.out / row["path"])
            assert run(site.job("pixelate", overwrite=True), STAGES, Here()).verdict == "passed"
            assert {key: sha256(site.out / key) for key in KEYS} == wanted
    assert killed >= 15
