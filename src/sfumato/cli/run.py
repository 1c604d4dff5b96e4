"""`sfumato run SRC OUT`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from sfumato.cli import options
from sfumato.cli.outcome import conclude
from sfumato.cli.preview import preview
from sfumato.cli.progress import progress
from sfumato.cli.uploads import uploads
from sfumato.pipeline.driver import STAGES, Job
from sfumato.pipeline.driver import run as run_job
from sfumato.pipeline.executors.local import Local
from sfumato.pipeline.settings import Settings
from sfumato.sources import open_sink, open_source
from sfumato.sources.selection import Globs


@click.command()
@options.source
@options.release
@options.selecting
@options.detection
@options.obfuscation
@options.review
@options.verification
@options.sending
@options.writing
@options.running
@options.ledger
@options.output
@options.config
def run(src: Path, out: Path, **values: Any) -> int:
    """Find, cover and check every face of the images below SRC; write the release to OUT.

    Detection, obfuscation and verification in one pass; killed at any moment, the same command
    finishes the work. Images without a face leave byte for byte as they came (but see
    --metadata). What can't be read, searched or covered is refused by name and not in OUT.
    """
    return release(src, out, STAGES, options.settings(values), options.executor(values), values)


def release(
    src: Path,
    out: Path,
    stages: tuple[str, ...],
    settings: Settings,
    executor: Local,
    values: dict[str, Any],
) -> int:
    """Run stages that end in a release, and print its account."""
    began = time.monotonic()
    source = open_source(src)
    job = Job(
        source=source,
        recipe=settings.recipe(),
        ledger=options.ledger_of(values, absolute(out)),
        out=open_sink(out, like=source, link=values.get("link", "auto")),
        selection=settings.selection(),
        boxes=settings.boxes,
        # What `sfumato detect SRC` has found and people have decided since.
        detections=(source.beside / "ledger.sqlite",),
        **writing(values),
    )
    return carry_out(job, stages, executor, values, began)


def writing(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a job that say how OUT is written, as far as a verb has options for it.

    Verbs that write none leave them at their defaults.
    """
    copied = values.get("copy_other")
    return {
        "copy_other": copied is not None,
        "unchecked": Globs(copied or ()),
        "overwrite": values.get("overwrite", False),
        "resume": values.get("resume", True),
        "cover_findings": values.get("cover_findings", False),
    }


def carry_out(
    job: Job, stages: tuple[str, ...], executor: Local, values: dict[str, Any], began: float
) -> int:
    """Run a job that ends in a release, or say what it would do, and print its account."""
    if job.out is None:
        raise ValueError("a release needs a folder")
    if values.get("dry_run"):
        return preview(job, stages, values)
    with (
        uploads(job, stages, values),
        progress(stages[-1], quiet=values["quiet"]) as shown,
    ):
        report = run_job(job, stages, executor, progress=shown)
    return conclude(report, Path(job.out.url), job.private, values, began)


def absolute(path: Path) -> Path:
    """Return a path without "." and "..", so that its name is the folder's name; links stay."""
    return Path(os.path.abspath(path))
