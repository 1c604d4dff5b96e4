"""WordNet's noun file, written for tests after wndb(5WN) and without the reader under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LICENCE = (
    b"  1 This software and database is being provided to you, the LICENSEE, by  \n"
    b"  2 01503061 05 n 01 bird 0 000 | a licence may hold digits, too  \n"
)


@dataclass(frozen=True)
class Noun:
    """A synset's words, and its pointers as (symbol, key of the target)."""

    words: Sequence[str]
    pointers: Sequence[tuple[str, str]] = ()
    gloss: str = "a thing; | even one with a bar"


def line_of(noun: Noun, offset: int, offsets: Mapping[str, int]) -> bytes:
    words = "".join(f"{word} 0 " for word in noun.words)
    pointers = "".join(f"{symbol} {offsets[key]:08d} n 0000 " for symbol, key in noun.pointers)
    head = f"{offset:08d} 05 n {len(noun.words):02x} {words}{len(noun.pointers):03d} {pointers}"
    return f"{head}| {noun.gloss}  \n".encode("ascii")


def database(nouns: Mapping[str, Noun]) -> tuple[bytes, dict[str, int]]:
    """Return a file with the synsets one after another, and the offset of each."""
    unknown = dict.fromkeys(nouns, 0)
    offsets, end = {}, len(LICENCE)
    for key, noun in nouns.items():
        offsets[key] = end
        end += len(line_of(noun, 0, unknown))
    lines = [line_of(noun, offsets[key], offsets) for key, noun in nouns.items()]
    return LICENCE + b"".join(lines), offsets


def write_at(path: Path, nouns: Mapping[str, Noun]) -> Path:
    """Write synsets at the offsets that their ids (`n########`) say; between them is a hole."""
    offsets = {wnid: int(wnid[1:]) for wnid in nouns}
    with path.open("wb") as file:
        file.write(LICENCE)
        for wnid, noun in nouns.items():
            file.seek(offsets[wnid] - 1)
            file.write(b"\n" + line_of(noun, offsets[wnid], offsets))
    return path
