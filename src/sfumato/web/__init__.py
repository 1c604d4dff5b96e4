"""The review page and its server: Starlette in front of `sfumato.review.queue`.

    browser --admission--> routes --sessions--> queue (ledger)
                                  --pictures--> files of the source

Starlette and uvicorn come with the extra `review`; only these two functions may be called
without knowing whether it is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sfumato.errors import MissingExtra

if TYPE_CHECKING:
    from starlette.applications import Starlette


def application(*arguments: Any, **settings: Any) -> Starlette:
    """Build the application: see `sfumato.web.application.build`.

    Raises:
        MissingExtra: Starlette isn't installed.
    """
    try:
        import starlette  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise _missing() from error
    from sfumato.web.application import build

    return build(*arguments, **settings)


def _missing() -> MissingExtra:
    return MissingExtra("The review page needs more packages: pip install 'sfumato[review]'.")
