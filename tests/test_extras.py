"""Without an extra, a verb that needs it says which command installs it; nothing is a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sfumato.cli import VERBS
from sfumato.cli.extras import missing
from tests import dataset
from tests.command import sfumato

# In a process of its own: what is loaded here already can't be missed.
CODE = """
import contextlib, io, json, sys, traceback
blocked, verbs = json.loads(sys.argv[1]), json.loads(sys.argv[2])
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from sfumato.cli import main
from sfumato.web import serving
serving.listen = lambda place: sys.exit("it listens")
told = []
for words in verbs:
    sys.argv = ["sfumato", *words]
    err, out = io.StringIO(), io.TextIOWrapper(io.BytesIO())
    code = None
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as left:
            code = left.code
        except BaseException:
            traceback.print_exc()
    told.append([code, err.getvalue()])
print(json.dumps(told))
"""
STUDY = """
[data]
train = "{src}"
folds = 2
[[architectures]]
name = "resnet18"
protocols = ["scratch"]
"""
EXTRAS = [
    ("verify", ["jpeglib"]),
    ("review", ["httpx", "scipy", "starlette", "uvicorn"]),
    ("postgres", ["psycopg", "psycopg_pool"]),
    ("study", ["torch", "torchvision", "timm", "scipy"]),
    ("study", ["torch"]),
    ("study", ["scipy"]),
    ("cloud", ["boto3", "botocore"]),
]


def verbs(root: Path, data: dataset.Dataset) -> list[list[str]]:
    src, out, boxes = map(str, (data.source, data.out, data.boxes))
    server = "postgresql://127.0.0.1:1/x"
    found = [
        ["run", src, out, "--boxes", boxes, "--dry-run"],
        ["run", src, out, "--boxes", boxes, "--ledger", server],
        ["run", src, out, "--detector", "rekognition", "--dry-run"],
        ["verify", src, out, "--second-reader"],
        ["report", out],
        ["report", out, "--ledger", server],
        ["faces", "export", src],
        ["study", "init", str(root / "new")],
        ["study", "run", str(root / "study")],
        ["study", "run", str(root / "study"), "--dry-run"],
        ["study", "analyse", str(root / "study")],
        ["study", "report", str(root / "study")],
        ["review", "serve", src, "--port", "0"],
        ["review", "estimate", src],
        ["review", "status", src],
        ["review", "merge", src],
        ["review", "offer", src, "draft", "--via", "prolific", "--url", "https://x.example"],
        ["audit", "groups", src, "--boxes", boxes, "--groups", boxes],
        ["calibrate", src, "--boxes", boxes, "--detector", "rekognition"],
        ["doctor"],
    ]
    return [*found, *([verb, "--help"] for verb in VERBS)]


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "packages"), EXTRAS)
def test_without_an_extra_nothing_is_a_traceback(
    extra: str, packages: list[str], tmp_path: Path
) -> None:
    data = dataset.make(tmp_path, count=1)
    assert sfumato("detect", data.source, "--boxes", data.boxes).code == 0
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.toml").write_text(STUDY.format(src=data.source))
    asked = verbs(tmp_path, data)
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(packages), json.dumps(asked)],
        capture_output=True,
        text=True,
        check=True,
    )
    named = 0
    for words, (code, err) in zip(asked, json.loads(done.stdout), strict=True):
        assert "Traceback" not in err, (words, err)
        assert code in (0, 1, 2, "it listens"), (words, code, err)
        if f"sfumato[{extra}]" in err:
            named += 1
            assert code == 2, (words, err)
    assert named >= 1


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [
        ("starlette.applications", ["review", "serve"], "review"),
        ("uvicorn", ["review", "serve"], "review"),
        ("httpx", ["review", "offer"], "review"),
        ("scipy.stats", ["study", "run"], "study"),
    ],
)
def test_the_extra_that_brings_a_package_is_named(
    module: str, words: list[str], extra: str
) -> None:
    found = missing(ImportError(f"No module named {module!r}", name=module), words)
    assert f"pip install 'sfumato[{extra}]'" in str(found)
    assert missing(ImportError("No module named 'x'", name="x"), words) is None
