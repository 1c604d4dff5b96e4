"""What end_to_end.py compares: the `deface` command line and this checkout's `sfumato run`.

Each makes its whole result anew from a folder of images and is timed, and each can be asked
afterwards how much of every labelled face it covered.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow.parquet as pq
from figures import EXPAND
from labels import Labelled
from PIL import Image

import sfumato
from sfumato import boxes
from sfumato.errors import UsageError
from sfumato.types import Box

DEFACE = {"deface": "1.5.0", "onnxruntime": "1.32.0", "onnx": "1.23.2", "opencv-python": "5.0.0.93"}
BACKENDS = {"onnxrt": "ONNX Runtime", "opencv": "OpenCV"}

# Runs in deface's environment. Reads [path, faces] for each image; writes the boxes that deface
# finds and the share of each face that it covers: what turns white when it draws white, not blur.
LOOK = """
import json, sys
import imageio.v2, numpy
from deface import deface
from deface.centerface import CenterFace

def part(low, high, count):
    pixels = numpy.arange(count)
    return numpy.clip(numpy.minimum(pixels + 1, high) - numpy.maximum(pixels, low), 0, 1)

asked, answer, backend = sys.argv[1:]
sys.argv = ["deface", "--backend", backend, "-"]
own = deface.parse_cli_args()
network = CenterFace(backend=own.backend)
deface.cv2.blur = lambda pixels, size: numpy.ones_like(pixels)
found = []
for path, faces in json.load(open(asked)):
    frame = imageio.v2.imread(path)
    dets, _ = network(frame, threshold=own.thresh)
    height, width = frame.shape[:2]
    white = numpy.zeros((height, width), numpy.uint8)
    deface.anonymize_frame(dets, white, own.mask_scale, own.replacewith, not own.boxes, False,
                           None, own.mosaicsize)
    shares = [float(part(y0, y1, height) @ white @ part(x0, x1, width) / ((x1 - x0) * (y1 - y0)))
              for x0, y0, x1, y1 in faces]
    found.append({"boxes": dets[:, :4].tolist(), "shares": shares})
json.dump(found, open(answer, "w"))
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """One run: wall and CPU seconds, and the CPU seconds of everything else meanwhile."""

    wall: float
    cpu: float
    others: float


@dataclass(frozen=True, slots=True)
class Seen:
    """How much of each face of an image a tool covered, and how many of its boxes are false."""

    shares: Sequence[float]
    false: int


Labels: TypeAlias = Mapping[str, Labelled]  # by path below the folder of images


def timed(command: Sequence[str], log: Path, environ: Mapping[str, str]) -> tuple[Timing, int]:
    """Run a command, its output in a file; return what it took and its exit code."""
    os.sync()  # or what was prepared would be written during the run
    used, machine, start = _children(), _machine(), time.perf_counter()
    with log.open("wb") as output:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    wall, cpu = time.perf_counter() - start, _children() - used
    return Timing(wall, cpu, max(0.0, _machine() - machine - cpu)), done.returncode


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _machine() -> float:
    """Return the CPU seconds taken since the start, by all programs and the virtual host."""
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, first.split()[1:])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-500:]


@dataclass(frozen=True, slots=True)
class Deface:
    """The `deface` command line in its own environment, as it comes, with one of its runtimes."""

    folder: Path
    backend: str
    images: Path
    work: Path

    @property
    def title(self) -> str:
        return f"deface, {BACKENDS[self.backend]}"

    def run(self, keys: Sequence[str]) -> Timing:
        """Make the whole result anew; raise `UsageError` if an image is missing in it."""
        # It writes beside its inputs, and takes a folder, but not the folders in it.
        flat, log = self.work / "flat", self.work / "deface.log"
        shutil.rmtree(flat, ignore_errors=True)
        flat.mkdir()
        for i, key in enumerate(keys):
            shutil.copyfile(self.images / key, flat / f"{i:06}{Path(key).suffix}")
        command = self.folder / "bin" / "deface"
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        timing, code = timed([str(command), "--backend", self.backend, str(flat)], log, environ)
        results = sum(path.stem.endswith("_anonymized") for path in flat.iterdir())
        if code or results != len(keys):
            raise UsageError(f"deface made {results} of {len(keys)} images: {_tail(log)}")
        return timing

    def seen(self, labels: Labels) -> list[Seen]:
        """Look at what it finds and covers in the labelled images, in their order."""
        asked, answer = self.work / "asked.json", self.work / "answer.json"
        wanted = [(str(p.path), _stored(p.path, p.faces)) for p in labels.values()]
        asked.write_text(json.dumps(wanted), encoding="utf-8")
        python = str(self.folder / "bin" / "python")
        command = [python, "-c", LOOK, str(asked), str(answer), self.backend]
        environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        looks = json.loads(answer.read_text(encoding="utf-8"))
        return [
            Seen(look["shares"], _false(look["boxes"], _stored(p.path, (*p.faces, *p.ignored))))
            for p, look in zip(labels.values(), looks, strict=True)
        ]


def _stored(path: Path, found: Sequence[Box]) -> list[Box]:
    """Map boxes to the frame that deface works in: it doesn't turn an image by its EXIF."""
    with Image.open(path) as image:
        orientation, size = image.getexif().get(0x0112, 1), image.size
    return [boxes.to_stored(box, orientation, *size) for box in found]


@dataclass(frozen=True, slots=True)
class Sfumato:
    """This checkout's `sfumato run` with one of its profiles."""

    profile: str
    images: Path
    work: Path

    @property
    def title(self) -> str:
        return f"sfumato, {self.profile}"

    def run(self, keys: Sequence[str]) -> Timing:
        """Make the whole release anew; raise `UsageError` if an image is missing in it."""
        out, log = self._out(), self.work / "sfumato.log"
        for folder in (out, out.with_name(f"{out.name}.sfumato")):
            shutil.rmtree(folder, ignore_errors=True)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("SFUMATO_")}
        environ["PYTHONPATH"] = str(Path(sfumato.__file__).parents[1])
        command = [sys.executable, "-c", "from sfumato.cli import main; main()", "run"]
        command += [str(self.images), str(out), "--profile", self.profile, "--quiet"]
        timing, code = timed(command, log, environ)
        summary = out / "summary.json"
        made = json.loads(summary.read_text())["account"]["out"] if summary.is_file() else 0
        if code not in {0, 1} or made != len(keys):  # 1: finished, a check of the result failed
            raise UsageError(f"sfumato made {made} of {len(keys)} images: {_tail(log)}")
        return timing

    def seen(self, labels: Labels) -> list[Seen]:
        """Look at what the last run found in the labelled images, in their order."""
        found: defaultdict[str, list[Box]] = defaultdict(list)
        for row in pq.read_table(self._out() / "faces.parquet").to_pylist():
            found[row["path"]].append((row["x0"], row["y0"], row["x1"], row["y1"]))
        looks: list[Seen] = []
        for key, image in labels.items():
            grown = [boxes.grow(box, EXPAND) for box in found[key]]
            shares = [boxes.covered(box, grown) for box in image.faces]
            looks.append(Seen(shares, _false(found[key], (*image.faces, *image.ignored))))
        return looks

    def _out(self) -> Path:
        return self.work / f"out-{self.profile}"


Tool: TypeAlias = Deface | Sfumato


def _false(found: Sequence[Box], labelled: Sequence[Box]) -> int:
    overlap = boxes.iou(boxes.as_boxes(found), boxes.as_boxes(labelled))
    return int((~(overlap > 0).any(axis=1)).sum())


def environment(folder: Path) -> Path:
    """Return a virtual environment that holds `DEFACE`; made if the folder isn't there.

    Raises `UsageError` if it holds anything else.
    """
    folder = Path(os.path.abspath(folder))
    python = str(folder / "bin" / "python")
    if not folder.exists():
        print(f"Making {folder} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        wanted = [f"{name}=={number}" for name, number in DEFACE.items()]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    command = [python, "-m", "pip", "list", "--format=json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    there = {package["name"]: package["version"] for package in listed}
    for name, number in DEFACE.items():
        if there.get(name) != number:
            raise UsageError(
                f"{folder} holds {name} {there.get(name)}, not {number}: remove it, or give "
                "another folder with --env; it is made where it isn't there."
            )
    return folder
