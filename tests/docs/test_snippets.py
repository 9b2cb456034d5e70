"""What the documentation shows is what happens: its Python runs, its commands parse, its paths exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from covey.cli.main import covey
from tests.docs.markdown import PAGES, ROOT, Block, blocks_of, name_of

TIME_LIMIT_S = 60
EVERY_BLOCK = [block for page in PAGES for block in blocks_of(page)]
PROGRAMS = [
    page
    for page in PAGES
    if any(block.language == "python" and block.marker != "not run" for block in blocks_of(page))
]
LEFT_OUT = [block for block in EVERY_BLOCK if block.marker == "not run"]
SHELL = [block for block in EVERY_BLOCK if block.language in ("sh", "bash", "shell", "console")]
PATH = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|proto|md|yaml|toml|txt|json))`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
PRINTED = re.compile(r"^\s*print\(.*\)  # (.*)$")
FOLDERS = (ROOT, ROOT / "covey", ROOT / "covey" / "framework", ROOT / "examples" / "aiops")


@pytest.mark.parametrize("page", PROGRAMS, ids=name_of)
def test_a_pages_python_runs_and_prints_what_its_comments_say(page: Path, tmp_path: Path) -> None:
    runner = Path(__file__).with_name("run_page.py")
    done = subprocess.run(
        [sys.executable, str(runner), str(page), str(tmp_path)],
        cwd=tmp_path,
        env=quiet_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == promised_output(page)


@pytest.mark.parametrize("block", LEFT_OUT, ids=str)
def test_a_block_that_is_not_run_says_why(block: Block) -> None:
    assert block.argument.strip()
    if block.language == "python":
        compile(block.code, str(block), "exec")
    pytest.skip(f"{block} is not run: {block.argument}")


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_the_commands_of_a_shell_block_parse(block: Block) -> None:
    for words in commands(block.code):
        if Path(words[0]).name == "covey":
            parse(words[1:])
        elif words[0] == "make":
            assert targets(words[1:]) <= make_targets(), f"{block}: {shlex.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_path_and_link_of_a_page_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    own_files = {block.argument for block in blocks_of(page) if block.marker == "file"}
    paths = {path for path in PATH.findall(text) if path not in own_files}
    assert [path for path in sorted(paths) if not any((folder / path).exists() for folder in FOLDERS)] == []
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []


def test_there_are_pages_with_python_and_with_commands() -> None:
    assert {"README.md", "docs/guide.md"} <= {name_of(page) for page in PROGRAMS}
    assert any(words[0].endswith("covey") for block in SHELL for words in commands(block.code))


def promised_output(page: Path) -> list[str]:
    """What the comments after `print(...)` say, in the order of the page; files do not print here."""
    return [
        found[1]
        for block in blocks_of(page)
        if block.language == "python" and not block.marker
        for line in block.code.splitlines()
        if (found := PRINTED.match(line))
    ]


def quiet_environment(folder: Path) -> dict[str, str]:
    """Without what the tester's machine has set up, and with the checkout's package."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COVEY_", "OTEL_"))}
    return {**kept, "OTEL_TRACES_EXPORTER": "none", "HOME": str(folder), "PYTHONPATH": str(ROOT)}


def commands(code: str) -> list[list[str]]:
    """The commands of a shell block as words, without comments, settings of variables and output."""
    found = []
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ ").removesuffix("&"), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0], flags=re.DOTALL):
            words = words[1:]
        if words:
            found.append(words)
    return found


def parse(words: list[str]) -> None:
    """Let click read the words as the command line would, without running anything."""
    command: click.Command = covey
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command `covey {words[0]}`"
        command, words = found, words[1:]
    try:
        command.make_context("covey", list(words))
    except click.exceptions.Exit:
        return  # --help and --version end at once
    except click.UsageError as error:
        pytest.fail(f"covey {shlex.join(words)}: {error.format_message()}")


def targets(words: list[str]) -> set[str]:
    return {word for word in words if "=" not in word and not word.startswith("-")}


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):.*##", makefile, flags=re.MULTILINE))
