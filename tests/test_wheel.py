"""The wheel, as a user gets it: built, installed into a fresh environment, run outside the checkout.

The fresh environment borrows the dependencies of this one through a `.pth` file, so that nothing is
downloaded; pip's record of an editable `covey` is not followed through it, so the code is the wheel's.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without the network where hatchling is installed."""
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out)]
    if importlib.util.find_spec("hatchling"):
        command.append("--no-isolation")
    built = run(*command, ROOT, cwd=out, timeout_s=110)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(out.glob("covey-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment that holds the wheel and nothing of the checkout."""
    home = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(home, symlinks=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    pip = ("-m", "pip", "--python", python, "--disable-pip-version-check", "install", "--quiet")
    done = run(sys.executable, *pip, "--no-deps", "--no-index", wheel, cwd=home)
    assert done.returncode == 0, done.stderr
    asked = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home)
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(asked.stdout.strip()) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return scripts


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """An empty folder outside the checkout."""
    assert not tmp_path.is_relative_to(ROOT)
    return tmp_path


def test_the_wheel_carries_types_wire_definition_and_examples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "covey/py.typed",
        "covey/framework/proto/envelope.proto",
        "covey/framework/proto/envelope_pb2.py",
        "covey/examples/aiops/__init__.py",
    }
    assert wanted - names == set()
    examples = ROOT / "examples"
    shipped = {path.relative_to(examples) for path in examples.rglob("*") if path.is_file()}
    expected = {f"covey/examples/{path.as_posix()}" for path in shipped if not is_made_here(path)}
    assert expected - names == set(), "the wheel's examples lack files of the checkout's"


def is_made_here(path: Path) -> bool:
    """What no checkout has when it is fresh: caches, and what npm and the JavaScript example's user make."""
    made = {"__pycache__", "node_modules", "package-lock.json", ".gitignore"}
    return bool(made & set(path.parts)) or path.suffix == ".proto"


def test_the_wheel_carries_the_forecasters_weights(wheel: Path) -> None:
    code = (".py", ".pyi", ".md")
    names = zipfile.ZipFile(wheel).namelist()
    data = [name for name in names if name.startswith("covey/examples/aiops/") and not name.endswith(code)]
    assert [name for name in data if "weights" in name]


def test_the_wheel_carries_neither_tests_nor_caches(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"covey"}
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    assert [name for name in names if "node_modules" in name] == []


def test_the_code_that_runs_is_the_wheels(installed: Path, elsewhere: Path) -> None:
    done = run(installed / "python", "-c", "import covey; print(covey.__file__)", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    imported = Path(done.stdout.strip())
    assert imported.is_relative_to(installed.parent)
    assert not imported.is_relative_to(ROOT)


def test_the_command_says_its_version_and_helps(installed: Path, elsewhere: Path) -> None:
    version = run(installed / "covey", "--version", cwd=elsewhere)
    assert version.returncode == 0, version.stderr
    assert "0.1.0" in version.stdout
    usage = run(installed / "covey", "--help", cwd=elsewhere)
    assert usage.returncode == 0, usage.stderr
    assert "demo" in usage.stdout


def test_the_wire_definition_can_be_written_from_the_wheel(installed: Path, elsewhere: Path) -> None:
    done = run(installed / "covey", "proto", "envelope", "--output", "envelope.proto", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    source = ROOT / "covey" / "framework" / "proto" / "envelope.proto"
    assert (elsewhere / "envelope.proto").read_text() == source.read_text()


def test_the_demo_runs_from_the_wheel_in_an_empty_folder(installed: Path, elsewhere: Path) -> None:
    pytest.importorskip("psutil")
    options = ("--seconds", "8", "--nodes", "1", "--patients", "1", "--no-faults")
    done = run(installed / "covey", "demo", "aiops", *options, cwd=elsewhere, timeout_s=90)
    assert done.returncode == 0, done.stdout + done.stderr
