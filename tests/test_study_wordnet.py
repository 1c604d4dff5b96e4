from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sfumato.errors import UsageError
from sfumato.study.analysis.supercategories import read_supercategories
from sfumato.study.analysis.wordnet import LISTED, supercategories
from tests.command import sfumato
from tests.noun_database import Noun, database, write_at

NOUNS = {
    "thing": Noun(["thing"]),
    "animal": Noun(["Animal", "beast"], [("@", "thing"), ("~", "dog")]),
    "pet": Noun(["pet"], [("@", "animal")]),
    "dog": Noun(["dog", *(f"name_{i}" for i in range(16))], [("@", "pet"), ("@", "animal")]),
    "pug": Noun(["pug"], [("#m", "stone"), ("@", "dog"), ("+", "stone")]),
    "laika": Noun(["Laika"], [("@i", "dog")]),
    "stone": Noun(["stone"], [("@", "thing"), ("%p", "dog")]),
    "hen": Noun(["hen"], [("@", "egg")]),
    "egg": Noun(["egg"], [("@", "hen"), ("@", "egg"), ("@", "thing")]),
}
DATA, AT = database(NOUNS)
LIST = {f"{name}.n.01": f"n{AT[name]:08d}" for name in ("animal", "pet", "dog", "egg")}
CLASSES = tuple(f"n{AT[name]:08d}" for name in ("pug", "laika", "dog", "pet", "stone", "hen"))
FOUND = {
    "animal.n.01": [0, 1, 2, 3],
    "pet.n.01": [0, 1, 2, 3],
    "dog.n.01": [0, 1, 2],
    "egg.n.01": [5],
}


@pytest.fixture
def nouns(tmp_path: Path) -> Path:
    path = tmp_path / "data.noun"
    path.write_bytes(DATA)
    return path


def test_a_class_counts_once_under_each_that_it_is_below(nouns: Path) -> None:
    # dog: two ways up and 17 words (hexadecimal 11); Laika: an instance; hen and egg: a circle
    assert b" n 11 dog " in DATA
    assert supercategories(nouns, CLASSES, LIST) == FOUND


def test_the_folder_will_do_or_the_one_above_it(nouns: Path, tmp_path: Path) -> None:
    assert supercategories(tmp_path, CLASSES, LIST) == FOUND
    (tmp_path / "dict").mkdir()
    nouns.rename(tmp_path / "dict" / "data.noun")
    assert supercategories(tmp_path, CLASSES, LIST) == FOUND


def test_an_id_may_be_followed_by_a_name_and_other_classes_are_in_none(nouns: Path) -> None:
    pug = CLASSES[0]
    named = [
        f"{pug}-pug",
        f"{pug} pug, n1",
        f"{pug}_pug",
        "pug",
        f"{pug}0",
        f"x{pug}",
        pug[:-1],
        "",
    ]
    named += [pug.replace("0", "٠"), pug.upper()]
    assert supercategories(nouns, named, LIST)["dog.n.01"] == [0, 1, 2]


def change(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        assert data.count(old) == 1
        return data.replace(old, new)

    return changed


PUG = f"n 01 pug 0 003 #m {AT['stone']:08d} n 0000 @ ".encode()


@pytest.mark.parametrize(
    ("altered", "words"),
    [
        (lambda data: b"x" + data, "has no synset at byte .* isn't data.noun of WordNet 3.0"),
        (lambda data: data.replace(b"\n", b"\r\n"), "has no synset at byte"),
        (lambda data: data[: AT["animal"]], "has no synset at byte"),
        (lambda _: b"", "has no synset at byte"),
        (change(b" Animal 0", b" Plants 0"), "says 'plants', not animal.n.01, at byte"),
        (change(b"%08d 05 n 01 pug" % AT["pug"], b"%08d 05 n 01 pug" % 7), "that says 7"),
        (change(b"05 n 01 pug", b"05 v 01 pug"), "damaged at byte .* doesn't begin like a noun's"),
        (change(b"05 n 01 pug", b"05 n 0x pug"), "doesn't begin like a noun's"),
        (change(b"05 n 01 pug", b"05 n 00 pug"), "words don't fit their number"),
        (change(b"05 n 01 pug", b"05 n ff pug"), "words don't fit their number"),
        (change(b"05 n 01 pug", b"05 n 02 pug"), "words don't fit their number"),
        (change(PUG, PUG.replace(b"003", b"002")), "pointers don't fit their number"),
        (change(PUG, PUG.replace(b"003", b"-03")), "words don't fit their number"),
        (change(PUG, PUG.replace(b" n 0000 ", b" q 0000 ")), "a pointer is malformed"),
        (change(PUG, PUG.replace(b" n 0000 ", b" n 00g0 ")), "a pointer is malformed"),
        (
            lambda data: data.replace(b"@ %08d n" % AT["dog"], b"@ %08d v" % AT["dog"]),
            "a hypernym isn't a noun",
        ),
        (
            lambda data: data.replace(b"@ %08d n" % AT["dog"], b"@ %08d n" % (AT["dog"] + 1)),
            "has no synset at byte",
        ),
        (lambda data: data[: AT["hen"] + 20], "no end"),
    ],
)
def test_what_is_not_wordnet_3_0_or_damaged_is_refused(
    nouns: Path, altered: Callable[[bytes], bytes], words: str
) -> None:
    nouns.write_bytes(altered(DATA))
    with pytest.raises(UsageError, match=words):
        supercategories(nouns, CLASSES, {name: LIST[name] for name in list(LIST)[:3]})


def test_a_class_that_is_not_in_the_file_is_named(nouns: Path) -> None:
    for wnid in ("n00000000", f"n{AT['pug'] + 4:08d}", "n99999999", "n00000080"):
        with pytest.raises(
            UsageError, match=f"class {wnid} isn't in .*ImageNet's ids are those of"
        ):
            supercategories(nouns, [wnid], LIST)


def test_paths_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no data\.noun: name the folder"):
        supercategories(tmp_path, CLASSES, LIST)
    with pytest.raises(UsageError, match="can't be read: No such file"):
        supercategories(tmp_path / "data.noun", CLASSES, LIST)
    (tmp_path / "data.noun").mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        supercategories(tmp_path, CLASSES, LIST)
    os.mkfifo(tmp_path / "pipe.noun")  # opening it would wait for ever
    with pytest.raises(UsageError, match="is not a file"):
        supercategories(tmp_path / "pipe.noun", CLASSES, LIST)


@pytest.mark.slow
def test_damage_anywhere_gives_a_sentence_or_an_answer(nouns: Path) -> None:
    rng = random.Random(5)
    ended: Counter[str] = Counter()
    for _ in range(3000):
        data = bytearray(DATA)
        for _ in range(rng.choice((1, 1, 1, 2, 30))):
            at = rng.randrange(len(data))
            much = rng.choice((0, 1, 1, 1, 8))
            new = rng.choice((rng.randbytes(much), DATA[at - 9 : at - 9 + much], b"\n", b"0"))
            data[at : at + (much if rng.random() < 0.2 else len(new))] = new
        nouns.write_bytes(data)
        try:
            supercategories(nouns, CLASSES, LIST)
        except UsageError:
            ended["sentence"] += 1
        else:
            ended["answer"] += 1
    assert min(ended.values()) > 300, ended  # both ways out were taken


# What a study makes of it


def world(path: Path) -> Path:
    """Write every listed super-category, and three classes, at their places in WordNet 3.0."""
    made = {wnid: Noun([name.partition(".")[0]]) for name, wnid in LISTED.items()}
    made["n02084071"] = Noun(["dog"], [("@", "n02075296")])
    made["n02085620"] = Noun(["Chihuahua"], [("@", "n02084071")])
    made["n01531178"] = Noun(["goldfinch"], [("@", "n01503061")])
    made["n04399382"] = Noun(["teddy"])
    return write_at(path, made)


PARTS = (("n02085620", "n01531178", "n04399382"), ("cat", "dog"))


def test_every_part_says_where_its_super_categories_are_from(tmp_path: Path) -> None:
    one, other = read_supercategories(world(tmp_path / "data.noun"), PARTS)
    assert one.classes == {"bird.n.01": [1], "carnivore.n.01": [0], "dog.n.01": [0]}
    assert "WordNet 3.0; 1 of 3 classes in none of those listed." in one.note
    assert other.classes == {}
    assert "not measured, its classes aren't called by WordNet's ids" in other.note


def test_without_a_path_none_is_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WNSEARCHDIR", str(world(tmp_path / "data.noun").parent))
    one, other = read_supercategories(None, PARTS)
    assert one.classes == other.classes == {}
    assert "not measured. The classes look like WordNet's ids: name the data.noun" in one.note
    assert other.note == ""


def test_classes_without_ids_need_a_table(tmp_path: Path) -> None:
    path = world(tmp_path / "data.noun")
    with pytest.raises(UsageError, match=r"no class of the study is called by its id.*have 'cat'"):
        read_supercategories(path, PARTS[1:])
    table = tmp_path / "table.csv"
    table.write_text("\ufeffclass,supercategory\ncat,pet\n", encoding="utf-8")
    one, other = read_supercategories(table, PARTS)
    assert "the table names none of its classes" in one.note
    assert (other.classes, other.note) == ({"pet": [0]}, "")


@pytest.mark.slow
def test_the_command_line_takes_the_database(tmp_path: Path) -> None:
    command: list[str | Path] = ["study", "report", tmp_path / "out"]
    for arm, right in (("original", 55), ("gaussian", 45)):
        for seed in range(2):
            path = tmp_path / f"{arm}{seed}.csv"
            rows = [f"{i},{PARTS[0][i % 2]},{PARTS[0][(i + (i >= right)) % 2]}" for i in range(60)]
            path.write_text("\n".join(["image,label,prediction", *rows]))
            command += ["--predictions", f"{arm}/{arm}/{seed}={path}"]
    done = sfumato(*command)
    assert done.code == 0, done.err
    assert "By super-category: not measured. The classes look like WordNet's ids" in done.out
    world(tmp_path / "data.noun")
    done = sfumato(*command, "--supercategories", tmp_path, "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)["parts"][0]["answers"][0]
    found = {one["name"]: one["n"] for one in answer["supercategories"]}
    assert found == {"bird.n.01": 30, "carnivore.n.01": 30, "dog.n.01": 30}
    page = (tmp_path / "out" / "study.html").read_text(encoding="utf-8")
    assert "carnivore.n.01" in page
    assert "hypernyms of WordNet 3.0" in page
    (tmp_path / "data.noun").write_bytes(DATA)
    done = sfumato(*command, "--supercategories", tmp_path)
    assert done.code == 2
    assert "isn't data.noun of WordNet 3.0" in done.err


# The real thing


@pytest.fixture(scope="session")
def wordnet() -> Path:
    """The folder of WordNet's own database; skipped where it isn't installed."""
    home = os.environ.get("WNHOME", "")
    places = [os.environ.get("WNSEARCHDIR", ""), home and f"{home}/dict", "/usr/share/wordnet"]
    for place in places:
        if place and (Path(place) / "data.noun").is_file():
            return Path(place)
    pytest.skip("no WordNet: apt-get install wordnet-base, or set WNSEARCHDIR")


def test_well_known_classes_are_where_they_belong(wordnet: Path) -> None:
    known = {
        "n02084071": {"dog.n.01", "carnivore.n.01", "mammal.n.01"},
        "n02085620-Chihuahua": {"dog.n.01", "carnivore.n.01", "mammal.n.01"},
        # an ambulance: to WordNet what has wheels and carries is a container, too
        "n02701002": {"wheeled_vehicle.n.01", "conveyance.n.03", "container.n.01"},
        "n04146614": {"conveyance.n.03"},  # school bus: public transport, says WordNet
        "n02787622": {"musical_instrument.n.01", "device.n.01"},  # banjo
        "n01531178": {"bird.n.01"},  # goldfinch
        "n02206856": {"insect.n.01", "invertebrate.n.01"},  # bee
        "n07745940": {"fruit.n.01", "food.n.02"},  # strawberry
    }
    found = supercategories(wordnet, list(known))
    for place, (wnid, expected) in enumerate(known.items()):
        assert {name for name, places in found.items() if place in places} == expected, wnid


@pytest.mark.slow
def test_listed_names_are_those_of_wordnets_index(wordnet: Path) -> None:
    senses: dict[str, str] = {}
    for line in (wordnet / "index.noun").read_text(encoding="ascii").splitlines():
        if not line.startswith("  "):
            word, *_ = fields = line.split()
            number = int(fields[2])  # as many offsets end the line, the most usual sense first
            for sense, offset in enumerate(fields[-number:], 1):
                senses[f"{word}.n.{sense:02}"] = f"n{offset}"
    assert {name: senses[name] for name in LISTED} == dict(LISTED)


@pytest.mark.slow
def test_the_published_counts_come_out(wordnet: Path, shared_data: Path) -> None:
    # Yang et al. (ICML 2022), README of their code: categories of each super-category.
    lines = (shared_data / "imagenet" / "synset_words.txt").read_text(encoding="utf-8").splitlines()
    classes = [line.split()[0] for line in lines]
    assert len(classes) == 1000
    found = supercategories(wordnet, classes)
    assert {name: len(found[name]) for name in list(LISTED)[:5]} == {
        "clothing.n.01": 49,
        "musical_instrument.n.01": 26,
        "wheeled_vehicle.n.01": 44,
        "insect.n.01": 27,
        "bird.n.01": 59,
    }
    assert len({place for places in found.values() for place in places}) == 987
