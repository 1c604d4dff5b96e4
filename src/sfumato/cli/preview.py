"""What a job would do (`--dry-run`): all is checked as in the job, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sfumato.cli.uploads import permitted
from sfumato.pipeline.driver import Job, planned


def preview(job: Job, stages: tuple[str, ...], values: Mapping[str, Any]) -> int:
    """Print what a job would do; raises whatever the job itself would at its start."""
    permitted(job, stages, values)
    plan = planned(job, stages)
    total = sum(len(shard.keys) for shard in plan.content.shards)
    numbers = {
        "images": total,
        "done": total - plan.images_left,
        "left": plan.images_left,
        "refused": len(plan.content.listing.failures),
        "other_files": len(plan.content.listing.others),
    }
    if values["as_json"]:
        print(json.dumps(numbers))
    else:
        print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in numbers.items()))
    return 0
