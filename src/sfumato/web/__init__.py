"""The review page and its server: Starlette in front of `sfumato.review.queue`.

    browser --admission--> routes --sessions--> queue (ledger)
                                  --images--> files of the source

Starlette and uvicorn come with the extra `review`. This module, `limits` and `serving` can be
imported without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    from starlette.applications import Starlette


def build(*arguments: Any, **settings: Any) -> Starlette:
    """Build the application; takes what `sfumato.web.application.build` takes.

    Raises:
        MissingExtra: Starlette isn't installed.
        UsageError: the page isn't part of the installation.
    """
    try:
        import starlette  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise missing_extra() from error
    from sfumato.web import application

    return application.build(*arguments, **settings)


def missing_extra() -> MissingExtra:
    """Return what says how to install the packages that a server needs."""
    return MissingExtra("The review page needs more packages: pip install 'sfumato[review]'.")
