"""What a job would do, found out without writing anything."""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.ledger.ledger import Ledger, is_there
from sfumato.pipeline.driver import Job, Plan, check, check_release, make_plan
from sfumato.pipeline.job import observed
from sfumato.pipeline.lock import check_free


def planned(job: Job, stages: Sequence[str]) -> Plan:
    """Check a job and plan it, as far as its ledger is there already; nothing is written."""
    content, stages = check(job), observed(job, stages)
    for folder in (job.private, *(() if job.out is None else job.out.places())):
        check_free(folder)
    if not is_there(job.ledger):
        return make_plan(job, stages, None, content)
    with Ledger(job.ledger, read_only=True) as ledger, ledger.alone():
        check_release(job, ledger)
        return make_plan(job, stages, ledger, content)
