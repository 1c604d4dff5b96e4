"""The command line: one file for each verb; each parses, calls one function and prints.

Results go to standard output, everything else to standard error. Exit codes: 0 done and
passed; 1 finished, but a check failed; 2 wrong use or configuration; 3 finished with refused
images; 130 interrupted.
"""

from __future__ import annotations

import logging
import sys

import click

from sfumato.cli.extras import missing
from sfumato.cli.verbs import Verbs
from sfumato.errors import SfumatoError
from sfumato.ledger.database import failures, in_words
from sfumato.sources.names import on_terminal, shown
from sfumato.version import VERSION

# Verb to module and what it does in a line; a verb's module is imported when it is used.
VERBS = {
    "run": "Find, cover and check every face of a folder of images.",
    "detect": "Find faces and keep them in the ledger.",
    "obfuscate": "Cover the faces that were found and write the release.",
    "verify": "Check a release against its source: names, bytes, pixels, strength, faces left.",
    "review": "Let people confirm and correct, and estimate what is still missed.",
    "report": "Write the manifest and the reports of a release again.",
    "faces": "Write the boxes of a release to a file.",
    "calibrate": "Choose thresholds and growth for a wanted recall, from labelled images.",
    "audit": "Ask which groups of labelled faces are missed more often than others.",
    "study": "Ask whether recognition survives: arms, trainings, predictions, analysis, report.",
    "demo": "Run everything on images that come with sfumato.",
    "doctor": "Show versions, weights, disk and cores, and what is missing.",
}


@click.group(
    cls=Verbs,
    verbs=VERBS,
    package="sfumato.cli",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "SFUMATO",
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(VERSION)
def cli() -> None:
    """Obfuscate the faces of an image dataset, and nothing else, and prove it.

    SRC is a folder of images, any depth; OUT becomes the release. What must not be published
    (the ledger, reasons of refusals, a report with originals) goes to OUT.sfumato beside it.
    """


def main() -> None:
    """Run the command line and leave with its exit code."""
    with on_terminal():
        code = _ended()
    sys.exit(code)


def _ended() -> int:
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        code = cli.main(prog_name="sfumato", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return 2
    except SfumatoError as error:
        words = str(error)
    except ImportError as error:
        needed = missing(error, sys.argv[1:])
        if needed is None:
            raise
        words = str(needed)
    except failures() as error:
        words = (
            f"The ledger can't be read or written ({in_words(error)}): make room or mend that, or "
            "restore it from a backup (docs/ledger.md), else choose another with --ledger. The "
            "same command goes on where it stopped."
        )
    except (KeyboardInterrupt, click.Abort):
        print("sfumato: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    print(shown(f"sfumato: {words}"), file=sys.stderr)
    return 2
