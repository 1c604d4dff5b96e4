"""Listen, say where, and stop in order."""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sfumato.errors import UsageError
from sfumato.web.limits import OWN_NAMES

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LOOPBACK: Final = "127.0.0.1"
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_GRACE_S: Final = 10
_MOST_CONNECTIONS: Final = 1_000
_UNENCRYPTED: Final = (
    "Anybody on the way can read the links and see the images: this server doesn't encrypt. "
    "Put a proxy with TLS in front of it, or reach it through SSH (ssh -L)."
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen. Port 0: any free one.

    `exposed` must be said for anything but this machine. `names` are the host names by which
    others reach the server, e.g. a proxy's; with none, any name is served once it is exposed.
    `proxies` are addresses whose X-Forwarded-For and -Proto are believed.
    """

    host: str = LOOPBACK
    port: int = 8765
    exposed: bool = False
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """What `sfumato.web.admission.Limits` takes: the names that are answered to."""
        named = frozenset(name.lower() for name in self.names)
        if self.local:
            return OWN_NAMES | named
        return named | OWN_NAMES if named else frozenset({""})


def listen(place: Place) -> socket.socket:
    """Return a listening socket.

    Raises:
        UsageError: the place isn't this machine and that wasn't said, or it can't be had.
    """
    if not place.local and not place.exposed:
        raise UsageError(
            f"{place.host} lets other machines in, without encryption. Keep {LOOPBACK} and go "
            "through a proxy with TLS or ssh -L, or say --expose if that is what you want."
        )
    if not 0 <= place.port <= 65_535:
        raise UsageError("A port is a number from 0 to 65535; 0 takes any free one.")
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        made = socket.create_server((place.host, place.port), family=family, backlog=256)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else "there is no such place here"
        raise UsageError(
            f"Can't listen on {place.host}, port {place.port}: {why}. Choose another --port, or 0 "
            "for any free one."
        ) from error
    # A response is two small writes: without this the second waits for 40 ms (Nagle's algorithm).
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def address(place: Place, port: int) -> str:
    """Return the address to open, with the port that was got."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    return f"http://{host}:{port}"


def serve(
    application: ASGIApp,
    place: Place = Place(),
    *,
    say: Callable[[str], None],
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until a signal (SIGINT, SIGTERM) ends it, and return when what was begun is finished.

    `say` gets sentences for the operator, `ready` the address once it can be reached. No request
    is logged: the paths of links are secrets.

    Raises:
        ImportError: uvicorn isn't installed.
        UsageError: as `listen`.
    """
    import uvicorn  # of the extra `review`

    with closing(listen(place)) as listening:
        where = address(place, listening.getsockname()[1])
        whom = "this machine only" if place.local else "every machine that can reach this one"
        say(f"The review page is at {where}, for {whom}.")
        if not place.local:
            say(_UNENCRYPTED)
        config = uvicorn.Config(application, **_settings(place))
        ready(where)
        with _signals_are_enough():
            uvicorn.Server(config).run(sockets=[listening])


def _settings(place: Place) -> dict[str, Any]:
    """Return what uvicorn is told."""
    return {
        "http": "h11",
        "ws": "none",
        "lifespan": "on",
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": bool(place.proxies),
        "forwarded_allow_ips": list(place.proxies),
        "limit_concurrency": _MOST_CONNECTIONS,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": _GRACE_S,
    }


@contextmanager
def _signals_are_enough() -> Iterator[None]:
    """Let a signal end the server and no more: uvicorn raises it again when it has stopped.

    Only the main thread gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda *_: None) for each in _ENDING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
