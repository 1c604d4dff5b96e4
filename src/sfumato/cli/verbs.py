"""A group of verbs, each in a module of its own that is imported when the verb is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import click

_MODULES: Final = {"import": "take"}  # a word of Python can't be a module's name


class Verbs(click.Group):
    """Loads a verb's module only when the verb is asked for, so that `--help` is quick.

    `verbs` has what each does in a line, in the order in which they are used. A verb is a command
    of its own name in `package`, in a module of that name.
    """

    def __init__(
        self, *arguments: Any, verbs: Mapping[str, str], package: str, **more: Any
    ) -> None:
        super().__init__(*arguments, **more)
        self._verbs = verbs
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Return the verbs in the order in which they are used."""
        return list(self._verbs)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 (click's signature)
        cmd_name: str,
    ) -> click.Command | None:
        """Return a verb's command, importing its module."""
        if cmd_name not in self._verbs:
            return None
        name = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = getattr(import_module(f"{self._package}.{name}"), name)
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 (click's signature)
        formatter: click.HelpFormatter,
    ) -> None:
        """List the verbs with what each does."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(self._verbs.items()))
