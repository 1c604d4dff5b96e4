"""Options that several verbs share, and what is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from sfumato.annotations.documents import read_toml
from sfumato.detection.detect import PROFILES
from sfumato.ledger.database import Where, is_url
from sfumato.obfuscation import METHODS
from sfumato.pipeline.executors.local import Local
from sfumato.pipeline.settings import Settings
from sfumato.sources.private import private_folder

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)

# What verbs take: the path of a folder or file as an argument, or that of a file as an option.
path = partial(click.argument, type=_PATH)
file = partial(click.option, type=_PATH, metavar="FILE")
source, release = path("src"), path("out")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")

# Measured: docs/detection.md, "Weights without WIDER FACE".
CLEAN_WEIGHTS = (
    "clean-weights finds fewer faces than default: it covers 45 of 75 faces that people find "
    "(60 %; default 92 %), and 56 % of those in crowds (default 94 %), at 0.32 false boxes an "
    "image (default 0.28)."
)


def several(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Join options into one decorator, in the order in which `--help` shows them."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _names_of_flags(command: click.Command) -> dict[str, str]:
    """Return the keys of a settings file: each flag's long name, with its parameter's name."""
    flags = (p for p in command.params if isinstance(p, click.Option) and p.name != "config")
    return {
        flag.removeprefix("--"): option.name or ""
        for option in flags
        for flag in option.opts
        if flag.startswith("--")
    }


def _config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take defaults from a TOML file; a key that is no option of the verb is refused."""
    if path is None:
        return None
    try:
        values = read_toml(path)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}") from error
    names = _names_of_flags(ctx.command)
    values = {key.replace("_", "-"): value for key, value in values.items()}
    unknown = sorted(values.keys() - names.keys())
    if unknown:
        raise click.BadParameter(
            f"{path} has keys that `{ctx.info_name}` doesn't know: {', '.join(unknown[:10])}. "
            f"Known are {', '.join(sorted(names))}."
        )
    values = {names[key]: value for key, value in values.items()}
    if isinstance(values.get("copy_other"), str | bool):
        values["copy_other"] = [str(values["copy_other"])]
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


config = file(
    "--config",
    is_eager=True,
    expose_value=False,
    callback=_config,
    help="Take defaults from a TOML file; flags and SFUMATO_… variables go before it.",
)

searching = several(
    click.option(
        "--profile",
        type=click.Choice(list(PROFILES)),
        default="default",
        help="Detectors and thresholds by name; docs/detection.md has what each finds.",
    ),
    click.option(
        "--detector",
        "detectors",
        multiple=True,
        metavar="NAME[@SIDE][:THRESHOLD]",
        help="A detector instead of the profile's, such as yunet@640:0.5 or onnx:FILE (a "
        "described ONNX file, docs/detection.md); may be repeated.",
    ),
    click.option(
        "--device",
        default="cpu",
        metavar="cpu|cuda|cuda,cpu",
        help="Where networks run; with cuda,cpu on the processor if there is no CUDA.",
    ),
)

detection = several(
    searching,
    click.option(
        "-t",
        "--threshold",
        type=float,
        metavar="SCORE",
        help="One score threshold for all detectors, between 0 and 1.",
    ),
    file(
        "--boxes",
        help="Take the faces from a file (COCO, Princeton JSON or CSV) instead of a detector.",
    ),
    click.option(
        "--unlisted",
        type=click.Choice(["refuse", "faceless"]),
        help="How to treat images that FILE doesn't name: refuse them, or take them for images "
        "without a face.  [default: faceless for CSV, else refuse]",
    ),
    click.option(
        "--max-pixels",
        type=int,
        default=Settings.__dataclass_fields__["max_pixels"].default,
        metavar="N",
        help="Refuse images with more pixels before decoding them.",
    ),
)


selecting = several(
    click.option(
        "--include",
        multiple=True,
        metavar="GLOB",
        help="Take only files of SRC that this fits, such as 'train/**' or '*.jpg' "
        "(docs/other-files.md); may be repeated.  [default: all]",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Leave out files of SRC that this fits, such as 'raw' or '**/thumbs/*.jpg'; may be "
        "repeated. They are no part of the release, and counted.",
    ),
)


def _globs_or_nothing(
    _: click.Context, __: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return the patterns of `--copy-other`, none for the bare flag; None where it isn't said."""
    for glob in value:
        if glob and os.path.isdir(glob):
            raise click.BadParameter(
                f"{glob!r} is a folder, and was taken for a pattern: put --copy-other behind SRC "
                "and OUT, or before another option."
            )
    words = [glob for glob in value if glob.lower() not in _NO]
    return tuple(glob for glob in words if glob.lower() not in _YES) if words else None


# What a settings file and the environment say for a flag.
_YES = frozenset({"", "true", "1", "yes", "on"})
_NO = frozenset({"false", "0", "no", "off"})


def _colour(_: click.Context, __: click.Parameter, value: str | None) -> object:
    if value is None:
        return None
    text = value.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a colour such as #7c7468") from error
    return red, green, blue


obfuscation = several(
    click.option(
        "--method",
        type=click.Choice(list(METHODS)),
        default="gaussian",
        help="How faces are covered; imagenet is the published recipe, weak on small faces.",
    ),
    click.option(
        "--expand",
        type=float,
        default=0.25,
        metavar="FRACTION",
        help="Grow boxes by this share of width and height on each side (not in imagenet).",
    ),
    click.option(
        "--on-unsupported",
        type=click.Choice(["refuse", "reencode"]),
        default="refuse",
        help="A JPEG with faces that can't be edited block by block (arithmetic coding): "
        "refuse it, or write it anew with some loss everywhere.",
    ),
    click.option(
        "--metadata",
        type=click.Choice(["faces", "all", "keep-safe"]),
        default="faces",
        help="Whose metadata (place, previews, comments …) to remove. faces: those of edited "
        "files; others keep their bytes, but no second image with a face. all: those of every "
        "file; one whose pixels can't stay as they are is refused. keep-safe: as faces, but "
        "edited files keep date, camera and copyright.",
    ),
    click.option(
        "--colour",
        callback=_colour,
        metavar="#RRGGBB",
        help="The colour of --method fill.  [default: the mean of the grown box]",
    ),
)

sending = several(
    click.option(
        "--allow-upload",
        is_flag=True,
        help="Let a detector such as rekognition send images out of this machine.",
    ),
    click.option(
        "--max-cost",
        type=click.FloatRange(min=0),
        metavar="DOLLARS",
        help="Stop before a paid detector costs more.",
    ),
    click.option(
        "--upload-price",
        type=click.FloatRange(min=0),
        default=1.0,
        metavar="DOLLARS",
        help="Price of 1,000 calls (Rekognition's list price for the first million a month).",
    ),
)

labels = several(
    click.option(
        "--share",
        type=click.FloatRange(0, 1, min_open=True),
        default=0.9,
        metavar="SHARE",
        help="The share of a labelled face that must lie under boxes for it to be covered; 0.7 "
        "where labels are loose.",
    ),
    click.option("--seed", type=int, default=0, help="Of everything that is drawn."),
)

review = click.option(
    "--require-review",
    is_flag=True,
    help="Refuse images that nobody has decided on (`sfumato review`).",
)

verification = several(
    click.option(
        "--verify-detector",
        "verify_detectors",
        multiple=True,
        metavar="NAME[@SIDE][:THRESHOLD]",
        help="Search the release with this detector; may be repeated.  [default: as in detection]",
    ),
    click.option(
        "--observe",
        multiple=True,
        metavar="NAME",
        help="Also look at the whole set with this observer, such as cover-area: how much more "
        "than the faces the covers change. May be repeated.",
    ),
)

writing = several(
    click.option(
        "--link",
        type=click.Choice(["auto", "copy", "hard"]),
        default="auto",
        help="How images without a face come into the release. auto: share blocks where the "
        "file system can, else copy. hard: a later edit of the release reaches the original.",
    ),
    click.option(
        "--copy-other",
        is_flag=False,
        flag_value="",
        multiple=True,
        metavar="[GLOB]",
        callback=_globs_or_nothing,
        help="Also copy files that are no images, if they are text that can't hold one "
        "(docs/other-files.md); say it behind SRC and OUT. With a GLOB such as '*.json', also "
        "what it fits, whatever that holds; may be repeated.",
    ),
    click.option("--overwrite", is_flag=True, help="Make anew what another recipe has made."),
    click.option(
        "--cover-findings",
        is_flag=True,
        help="Cover the faces that checks saw uncovered in OUT (VERIFY_FACE_FOUND), besides those "
        "that were found, decided on or listed.",
    ),
)

workers = several(
    click.option(
        "-j",
        "--workers",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        show_default=False,
        help="Processes.  [default: one for each core]",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=1),
        default=120.0,
        metavar="SECONDS",
        help="Give an image up that takes longer.",
    ),
)

running = several(
    workers,
    click.option(
        "--resume/--no-resume",
        default=True,
        show_default=False,
        help="Go on where the last run stopped (default).",
    ),
    click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
)


def where(value: str | Path) -> Where:
    """Take a URL as it is, anything else as the path of a file; raises `UsageError` as `is_url`."""
    return str(value) if is_url(value) else Path(str(value))


ledger = click.option(
    "--ledger",
    type=where,
    metavar="FILE|URL",
    help="Where the records are kept: a file, or postgresql://HOST/NAME (docs/ledger.md).  "
    "[default: ledger.sqlite in OUT.sfumato, or SRC.sfumato]",
)


def ledger_of(values: Mapping[str, Any], folder: Path) -> Where:
    """Return the ledger that was asked for, else the one that belongs to OUT or SRC."""
    chosen: Where | None = values["ledger"]
    return private_folder(folder) / "ledger.sqlite" if chosen is None else chosen


output = several(
    as_json,
    quiet,
    click.option(
        "-v", "--verbose", is_flag=True, help="Name every failed check and refusal, not ten."
    ),
)


def settings(values: dict[str, Any]) -> Settings:
    """Take the settings out of a verb's parameters."""
    names = Settings.__dataclass_fields__.keys() & values.keys()
    chosen = not (values.get("detectors") or values.get("boxes")) and values.get("profile")
    if chosen == "clean-weights":
        click.echo(CLEAN_WEIGHTS, err=True)
    return Settings(**{name: values[name] for name in names})


def search_settings(values: Mapping[str, Any]) -> Settings:
    """Take out of a verb's parameters only what says how labelled images are searched."""
    return settings({name: values[name] for name in ("profile", "detectors", "device")})


def executor(values: dict[str, Any]) -> Local:
    """Make the executor that a verb's parameters ask for."""
    return Local(values["workers"], timeout_s=values["timeout"])
