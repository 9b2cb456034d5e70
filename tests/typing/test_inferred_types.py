"""What a user's editor infers: mypy --strict over `inferred/`, each line against its own comment.

`# R: X` says which type `reveal_type` shows (without the modules of its names), `# E: code` that the line is
an error. What has no comment must be clean.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

INFERRED = Path(__file__).parent / "inferred"
EXPECTED = re.compile(r"# ([RE]): (.+)$")
REPORTED = re.compile(r"(?P<file>\w+\.py):(?P<line>\d+): (?P<kind>note|error): (?P<text>.*)$")
REVEALED = re.compile(r'Revealed type is "(.*)"$')
MODULES = re.compile(r"\b(?:\w+\.)+(?=\w)")

Lines = dict[int, list[str]]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lines]:
    """By file and line, what mypy says of the samples, as a user with covey installed would run it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-color-output"),
            *("--show-error-codes", "--no-error-summary", "--no-pretty"),
            *("--cache-dir", str(tmp_path_factory.mktemp("mypy"))),
            *sorted(path.name for path in INFERRED.glob("*.py")),
        ],
        cwd=INFERRED,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr  # the samples have errors on purpose
    found: dict[str, Lines] = {}
    for line in done.stdout.splitlines():
        match = REPORTED.match(line)
        assert match, f"not about a sample: {line}\n{done.stderr}"
        said = _said(match["kind"], match["text"])
        if said is not None:
            found.setdefault(match["file"], {}).setdefault(int(match["line"]), []).append(said)
    return found


def _said(kind: str, text: str) -> str | None:
    """A report in the form of a sample's comment; None for a note that explains an error."""
    if kind == "error":
        return f"E: {text.rpartition('[')[2].rstrip(']')}"
    revealed = REVEALED.match(text)
    return None if revealed is None else f"R: {MODULES.sub('', revealed[1])}"


def _expected(path: Path) -> Lines:
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    matches = ((number, EXPECTED.search(line)) for number, line in lines)
    return {number: [f"{match[1]}: {match[2]}"] for number, match in matches if match}


@pytest.mark.parametrize("sample", sorted(path.stem for path in INFERRED.glob("*.py")))
def test_a_checker_infers_what_the_comments_say_and_nothing_else(
    sample: str, reported: dict[str, Lines]
) -> None:
    path = INFERRED / f"{sample}.py"
    expected = _expected(path)
    assert len(expected) > 5
    assert reported.get(path.name, {}) == expected
