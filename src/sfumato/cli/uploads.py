"""Consent, price and limit of detectors that send images to a paid service."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sfumato.detection.detectors import meter, registry
from sfumato.errors import UsageError
from sfumato.pipeline.driver import Job, planned


@contextmanager
def uploads(job: Job, stages: Sequence[str], values: dict[str, Any]) -> Iterator[None]:
    """Let a job send images away if that was allowed, and say what it costs before and after.

    Does nothing for a job whose detectors all work on this machine.

    Raises:
        UsageError: nobody allowed it, or it would cost more than --max-cost before the first call.
    """
    sending = permitted(job, stages, values)
    if not sending:
        yield
        return
    tariff = meter.Tariff(values["upload_price"], values["max_cost"])
    left = planned(job, stages).images_left
    searching = registry.uploading(_searching(job, stages))
    least = left * len(searching) if "detect" in stages else 0
    _say(
        f"Images leave this machine: {', '.join(sending)}. {left:,} images are left: at least "
        f"{least:,} calls, about ${tariff.cost(least):,.2f} at ${tariff.price:g} for 1,000. "
        "Those with faces are searched again when they are covered and checked, crowded ones in "
        "parts."
    )
    tariff.check(least, f"{least:,} calls for {left:,} images")
    path = job.private / "uploads.json"
    with meter.allowed(path, tariff):
        try:
            yield
        finally:
            calls = meter.calls_at(path)
            _say(f"{calls:,} calls were made, about ${tariff.cost(calls):,.2f}.")


def permitted(job: Job, stages: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the detectors of a job that send images away; raises `UsageError` as `uploads`."""
    checking = job.recipe.verify.detectors if "verify" in stages else ()
    sending = registry.uploading(tuple(dict.fromkeys((*_searching(job, stages), *checking))))
    if sending and not values.get("allow_upload"):
        raise UsageError(
            f"{', '.join(sending)} would send images out of this machine, to a paid service. Say "
            "--allow-upload if they may go there."
        )
    return sending


def _searching(job: Job, stages: Sequence[str]) -> tuple[str, ...]:
    return job.recipe.detect.detectors if {"detect", "obfuscate"} & {*stages} else ()


def _say(text: str) -> None:
    print(text, file=sys.stderr)
