"""Regenerate the committed protobuf code, or check that it is what its `.proto` gives.

`make proto` runs it without arguments; `make check` runs it with `--check`, which writes nothing and
exits 1 on a difference.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("covey/framework/proto/envelope.proto")
GENERATED = (SOURCE.with_name("envelope_pb2.py"), SOURCE.with_name("envelope_pb2.pyi"))
PINNED_GRPCIO_TOOLS = "1.78.0"
"""Its protoc writes code for protobuf 6.31.1, the oldest runtime that pyproject.toml allows."""


def generate(target: Path) -> None:
    """Write the generated modules under `target`, which mirrors the repository's folders."""
    installed = importlib.metadata.version("grpcio-tools")
    if installed != PINNED_GRPCIO_TOOLS:
        sys.exit(
            f"grpcio-tools is {installed}, but the committed code is made with {PINNED_GRPCIO_TOOLS}: "
            f"pip install grpcio-tools=={PINNED_GRPCIO_TOOLS}"
        )
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    command += [f"--python_out={target}", f"--pyi_out={target}", str(SOURCE)]
    if subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode:
        sys.exit(f"protoc refused {SOURCE} (see above)")


def stale_files() -> list[Path]:
    """The committed files that differ from what their `.proto` gives now."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        return [
            path
            for path in GENERATED
            if not (ROOT / path).is_file() or (ROOT / path).read_bytes() != (Path(folder) / path).read_bytes()
        ]


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.exit(f"{' '.join(arguments)!r} is not understood: give --check or nothing")
    if not arguments:
        generate(ROOT)
        return 0
    stale = stale_files()
    for path in stale:
        sys.stderr.write(f"{path} is not what {SOURCE} gives: run 'make proto' and commit the result\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
