"""What holds for the project as a whole: rooms, public names, sizes, generated code, the README's map."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import covey

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "covey"
ROOMS = ("covey.framework", "covey.transports", "covey.agents", "covey.observability")
NAMED_BY_THE_OWNER = {"framework", "transports", "agents", "observability", "tests", "examples"}
PROMISED = {
    *("Agent", "DecisionAgent", "Supervisor", "Child", "Backoff", "Mailbox", "Swarm"),
    *("message", "handles", "every", "subscribes", "CoveyError"),
}
MOST_LINES = 400


@pytest.mark.parametrize("room", ["covey", *ROOMS])
def test_every_room_says_what_it_is_and_offers_names_that_exist(room: str) -> None:
    module = importlib.import_module(room)
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__)), "a name is listed twice"
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_covey_offers_its_contract() -> None:
    assert set(covey.__all__) >= PROMISED


def test_every_public_name_is_documented() -> None:
    assert [name for name in covey.__all__ if not getattr(covey, name).__doc__] == []


def test_no_file_of_the_package_is_too_long_to_read() -> None:
    written = [path for path in PACKAGE.rglob("*.py") if "_pb2" not in path.name]
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in written}
    assert sizes
    assert {path: lines for path, lines in sizes.items() if lines > MOST_LINES} == {}


def test_the_generated_protobuf_code_is_what_its_proto_gives() -> None:
    pytest.importorskip("grpc_tools")
    done = run(sys.executable, "tools/generate_proto.py", "--check")
    assert done.returncode == 0, done.stderr


def test_covey_help_works_and_names_the_demo() -> None:
    done = run(sys.executable, "-c", "from covey.cli.main import main; main()", "--help")
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


def test_every_folder_on_the_readmes_map_exists() -> None:
    mapped = folders_on_the_map((ROOT / "README.md").read_text())
    assert {Path(folder).name for folder in mapped} >= NAMED_BY_THE_OWNER
    assert [
        folder for folder in mapped if not ((ROOT / folder).is_dir() or (PACKAGE / folder).is_dir())
    ] == []


def test_every_pinned_version_is_exact_and_public() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin)] == []


def folders_on_the_map(readme: str) -> list[str]:
    """The folders that begin a line of a table or of a tree: `covey/transports/`, with or without ticks."""
    return re.findall(r"^[\s|*-]*`?([a-z_]+(?:/[a-z_]+)*)/`?(?=[\s|])", readme, flags=re.MULTILINE)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
