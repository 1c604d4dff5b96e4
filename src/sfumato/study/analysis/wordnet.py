"""WordNet's nouns and what they are kinds of, read from its own database file.

The format of `data.noun` is wndb(5WN): after the licence, whose lines begin with two spaces, a line
for each synset, which begins with its own byte offset in the file. ImageNet's ids are `n` and that
offset in WordNet 3.0, so one seek finds a class, and another version gives itself away.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from sfumato.errors import UsageError

FILE: Final = "data.noun"
VERSION: Final = "3.0"

# Super-categories by name (first word, part of speech, sense) and id. The first five are those of
# the published study; with the others, 987 of ImageNet's 1,000 classes are in one at least.
LISTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "clothing.n.01": "n03051540",
        "musical_instrument.n.01": "n03800933",
        "wheeled_vehicle.n.01": "n04576211",
        "insect.n.01": "n02159955",
        "bird.n.01": "n01503061",
        # animals and people
        "mammal.n.01": "n01861778",
        "carnivore.n.01": "n02075296",
        "dog.n.01": "n02084071",
        "feline.n.01": "n02120997",
        "ungulate.n.01": "n02370806",
        "primate.n.02": "n02469914",
        "reptile.n.01": "n01661091",
        "amphibian.n.03": "n01627424",
        "fish.n.01": "n02512053",
        "invertebrate.n.01": "n01905661",
        "arachnid.n.01": "n01769347",
        "crustacean.n.01": "n01974773",
        "person.n.01": "n00007846",
        # other things that grow, what is eaten, landscape
        "plant.n.02": "n00017222",
        "fungus.n.01": "n12992868",
        "fruit.n.01": "n13134947",
        "food.n.01": "n00021265",
        "food.n.02": "n07555863",
        "geological_formation.n.01": "n09287968",
        # things that people make
        "structure.n.01": "n04341686",
        "building.n.01": "n02913152",
        "furniture.n.01": "n03405725",
        "container.n.01": "n03094503",
        "conveyance.n.03": "n03100490",
        "craft.n.02": "n03125870",
        "device.n.01": "n03183080",
        "implement.n.01": "n03563967",
        "tool.n.01": "n04451818",
        "equipment.n.01": "n03294048",
        "sports_equipment.n.01": "n04285146",
        "home_appliance.n.01": "n03528263",
        "covering.n.02": "n03122748",
        "fabric.n.01": "n03309808",
        "toiletry.n.01": "n04447443",
    }
)

# Folders of dogs are often called n02085620-Chihuahua: what follows the id is only a name.
_ID: Final = re.compile(r"n([0-9]{8})(?:[^0-9A-Za-z].*)?", re.DOTALL)
_HEAD: Final = re.compile(r"[0-9]{8} [0-9]{2} n [0-9a-f]{2}")
_POINTER: Final = re.compile(r"\S+ [0-9]{8} [nvasr] [0-9a-f]{4}")
_HYPERNYMS: Final = ("@", "@i")  # is a kind of, is an instance of
_LONGEST: Final = 1 << 16  # bytes of a line; the longest of WordNet 3.0 has 12,973


@dataclass(frozen=True, slots=True)
class Synset:
    """A noun's words, the first being its name, and the byte offsets of what it is a kind of."""

    words: tuple[str, ...]
    hypernyms: tuple[int, ...]


def offset_of(name: str) -> int | None:
    """Return the byte offset that a class's name says (`n02084071`, `n02084071-dog`), or None."""
    found = _ID.fullmatch(name)
    return int(found[1]) if found else None


def is_wordnet(path: Path) -> bool:
    """Tell whether a path is meant as WordNet's database: a folder, or a file `….noun`."""
    return path.suffix == ".noun" or os.path.isdir(path)


def supercategories(
    path: Path, classes: Sequence[str], listed: Mapping[str, str] = LISTED
) -> dict[str, list[int]]:
    """Return the classes, by their place, that WordNet puts under each listed super-category.

    `path` is `data.noun` of WordNet 3.0, or a folder that holds it or `dict/data.noun`. All
    hypernyms are walked, those of instances too: as in the published study a class counts once
    under each super-category that it is or is below, so it may be in several. A class whose name
    isn't an id is in none. Super-categories without a class are left out.

    Raises:
        UsageError: the file can't be read or is damaged, it isn't WordNet 3.0's (a super-category
            isn't at its offset), or a class isn't in it.
    """
    with _opened(_file_in(path)) as nouns:
        wanted = {nouns.listed(name, wnid): name for name, wnid in listed.items()}
        found: dict[str, list[int]] = {name: [] for name in listed}
        for place, one in enumerate(classes):
            offset = offset_of(one)
            if offset is not None:
                nouns.must_have(offset)
                for above in wanted.keys() & nouns.ancestors(offset):
                    found[wanted[above]].append(place)
    return {name: places for name, places in found.items() if places}


class Nouns:
    """An open `data.noun`; only the synsets that are asked for are read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._known: dict[int, Synset] = {}

    def synset(self, offset: int) -> Synset:
        """Return the synset at a byte offset.

        Raises:
            UsageError: there is none, which another version would explain, or it is damaged.
        """
        if offset not in self._known:
            self._known[offset] = self._read(offset)
        return self._known[offset]

    def listed(self, name: str, wnid: str) -> int:
        """Return the offset of a super-category after a look that it is what its name says.

        Raises:
            UsageError: it isn't.
        """
        offset = int(wnid.removeprefix("n"))
        word = self.synset(offset).words[0].lower()
        if word != name.partition(".")[0]:
            raise self._other_version(f"says {word!r}, not {name}, at byte {offset}")
        return offset

    def must_have(self, offset: int) -> None:
        """Refuse a class that isn't in the file, whose version is known by then.

        Raises:
            UsageError: no synset begins there, or it is damaged.
        """
        if not self._begins(offset):
            raise UsageError(
                f"The class n{offset:08} isn't in {self._path}: ImageNet's ids are those of "
                f"WordNet {VERSION}, n and the byte at which a line of its {FILE} begins. Name the "
                "class otherwise, or give a CSV with class and supercategory."
            )
        self.synset(offset)

    def ancestors(self, offset: int) -> set[int]:
        """Return the offsets of a synset and of everything that it is a kind or instance of."""
        found: set[int] = set()
        left = [offset]
        while left:  # a damaged file may go in circles: nothing is visited twice
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self.synset(one).hypernyms
        return found

    def _begins(self, offset: int) -> bool:
        """Tell whether a line with a synset begins at a byte, and go there."""
        self._file.seek(max(offset - 1, 0))
        start = self._file.read(1) if offset else b"\n"
        first = self._file.read(1)
        self._file.seek(offset)
        return start == b"\n" and first.isdigit()

    def _read(self, offset: int) -> Synset:
        if not self._begins(offset):
            raise self._other_version(f"has no synset at byte {offset} (n{offset:08})")
        try:
            said, synset = _parsed(self._file.readline(_LONGEST))
        except ValueError as error:
            raise UsageError(
                f"{self._path} is damaged at byte {offset}: {error}. Take WordNet's own file."
            ) from error
        if said != offset:
            raise self._other_version(f"has a synset at byte {offset} that says {said}")
        return synset

    def _other_version(self, what: str) -> UsageError:
        return UsageError(
            f"{self._path} {what}: it isn't {FILE} of WordNet {VERSION}, or not as published. "
            "ImageNet's ids are byte offsets in that file and fit no other."
        )


def _parsed(line: bytes) -> tuple[int, Synset]:
    """Return the offset that a line of wndb(5WN) says, and its synset; ValueError says why not."""
    data, bar, _ = line.partition(b"|")
    if not bar:
        raise ValueError("the line has no end")
    fields = data.decode("ascii", "replace").split()
    if not _HEAD.fullmatch(" ".join(fields[:4])):
        raise ValueError("the line doesn't begin like a noun's")
    number = int(fields[3], 16)  # words are counted in hexadecimal, pointers in decimal
    words, pointers = fields[4 : 4 + 2 * number : 2], fields[4 + 2 * number :]
    if not words or not pointers or not re.fullmatch("[0-9]{3}", pointers[0]):
        raise ValueError("its words don't fit their number")
    if len(pointers) != 1 + 4 * int(pointers[0]):
        raise ValueError("its pointers don't fit their number")
    hypernyms = []
    for at in range(1, len(pointers), 4):
        symbol, target, kind, _ = each = pointers[at : at + 4]
        if not _POINTER.fullmatch(" ".join(each)):
            raise ValueError("a pointer is malformed")
        if symbol in _HYPERNYMS:
            if kind != "n":
                raise ValueError("a hypernym isn't a noun")
            hypernyms.append(int(target))
    return int(fields[0]), Synset(tuple(words), tuple(hypernyms))


def _file_in(path: Path) -> Path:
    if not os.path.isdir(path):
        return path
    for inside in (path / FILE, path / "dict" / FILE):
        if os.path.lexists(inside):
            return inside
    raise UsageError(
        f"{path} holds no {FILE}: name the folder of WordNet {VERSION}'s database, such as "
        "/usr/share/wordnet of Debian's wordnet-base."
    )


@contextmanager
def _opened(path: Path) -> Iterator[Nouns]:
    try:
        if not path.is_file() and path.exists():
            raise UsageError(f"{path} is not a file: name WordNet's {FILE} or its folder.")
        with path.open("rb") as file:
            yield Nouns(path, file)
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from error
