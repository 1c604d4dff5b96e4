"""`sfumato study …`: does recognition survive; one file for each verb, as for the others."""

from __future__ import annotations

import click

from sfumato.cli.verbs import Verbs

# Verb to what it does in a line; its module has its name.
VERBS = {
    "init": "Write a commented study.toml into DIR, to be edited.",
    "run": "Make the runs that DIR/study.toml asks for and that aren't there yet.",
    "analyse": "Answer, from the predictions in DIR alone, what obfuscation does; "
    "write DIR/study.json.",
    "report": "Analyse DIR, and write DIR/study.html and DIR/study.json.",
}


@click.group(cls=Verbs, verbs=VERBS, package="sfumato.cli.study")
def study() -> None:
    """Ask whether recognition survives the obfuscation, and what else it does."""
