"""What requests, people and addresses may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OWN_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, one person and one address may use; rates are requests a second.

    `hosts` are the names by which the server may be called ("" in it: any), without a port: a
    page of another name that resolves to this machine is refused. An address is what the
    connection says; behind a proxy that is the proxy, for all. `decodes` images are decoded at
    a time, and `memory` bytes of them kept.
    """

    hosts: frozenset[str] = OWN_NAMES
    body_bytes: int = 1_000_000
    body_s: float = 20.0
    person: tuple[float, int] = (50.0, 1_000)  # a second, burst: galleries have many faces
    address: tuple[float, int] = (300.0, 3_000)
    failed_links: tuple[float, int] = (0.2, 20)
    decodes: int = 2
    waiting: int = 256
    memory: int = 256 * 2**20
