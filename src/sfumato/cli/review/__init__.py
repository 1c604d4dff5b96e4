"""`sfumato review …`: people in the loop; one file for each verb, as for the others."""

from __future__ import annotations

from importlib import import_module

import click

# Verb to what it does in a line; its module, of the same name, is imported when it is used.
VERBS = {
    "serve": "Serve the review page, and print the links of those who review.",
    "status": "Show how far the review is, and how good its people are.",
    "invite": "Make a person's secret link, or a new one.",
    "revoke": "End a person's link.",
    "export": "Write pictures with their proposals for Label Studio, CVAT or COCO.",
    "import": "Take over what annotators of another tool said.",
    "offer": "Offer the review to paid participants (Prolific).",
    "merge": "Decide what several people said; send disputes to adjudicators.",
    "estimate": "Estimate how many faces are still in there, from the random sample.",
}
_FILES = {"import": "take"}  # a word of Python


class ReviewVerbs(click.Group):
    """Loads a verb's module only when the verb is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the verbs in the order in which they are used."""
        return list(VERBS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 (click's signature)
        cmd_name: str,
    ) -> click.Command | None:
        """Return a verb's command, importing its module."""
        if cmd_name not in VERBS:
            return None
        name = _FILES.get(cmd_name, cmd_name)
        command: click.Command = getattr(import_module(f"sfumato.cli.review.{name}"), name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 (click's signature)
        formatter: click.HelpFormatter,
    ) -> None:
        """List the verbs with what each does."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=ReviewVerbs)
def review() -> None:
    """Let people confirm and correct what was found, and learn what is still missed.

    SRC is a folder that `sfumato detect` has searched. Everything lies in its ledger; decisions
    count in the next `sfumato run` or `sfumato obfuscate`.
    """
