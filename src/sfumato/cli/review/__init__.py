"""`sfumato review …`: people in the loop; one file for each verb, as for the others."""

from __future__ import annotations

import click

from sfumato.cli.verbs import Verbs

# Verb to what it does in a line; its module has its name (that of `import` is take).
VERBS = {
    "serve": "Serve the review page, and print the links of those who review.",
    "status": "Show how far the review is, and how good its people are.",
    "invite": "Make a person's secret link, or a new one.",
    "revoke": "End a person's link.",
    "export": "Write images with their proposals for Label Studio, CVAT or COCO.",
    "import": "Take over what annotators of another tool said.",
    "offer": "Offer the review to paid participants (Prolific).",
    "merge": "Decide what several people said; send disputes to adjudicators.",
    "estimate": "Estimate how many faces are still in there, from the random sample.",
}


@click.group(cls=Verbs, verbs=VERBS, package="sfumato.cli.review")
def review() -> None:
    """Let people confirm and correct what was found, and learn what is still missed.

    SRC is a folder that `sfumato detect` has searched. Everything lies in its ledger; decisions
    count in the next `sfumato run` or `sfumato obfuscate`.
    """
