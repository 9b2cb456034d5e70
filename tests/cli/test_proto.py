from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from covey.cli.main import covey
from covey.framework.proto import envelope_pb2

SHOP = """
from __future__ import annotations
from covey.framework.messages.message import message

@message
class {order}:
    sku: str
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def export(*arguments: str) -> Result:
    return CliRunner().invoke(covey, ["proto", "export", *arguments])


def test_export_prints_the_messages_that_the_module_defines(folder: Path) -> None:
    (folder / "exported_base.py").write_text(SHOP.format(order="Imported"))
    source = SHOP.format(order="Order") + "from exported_base import Imported\n"
    (folder / "exported_shop.py").write_text(source)
    result = export("exported_shop")
    assert result.exit_code == 0, result.output
    assert "package exported_shop;" in result.stdout
    assert "message Order {\n  string sku = 1;\n}" in result.stdout
    assert "Imported" not in result.stdout


def test_export_of_a_module_that_only_imports_messages_prints_those(folder: Path) -> None:
    (folder / "exported_inner.py").write_text(SHOP.format(order="Order"))
    (folder / "exported_front.py").write_text("from exported_inner import Order\n")
    assert "package exported_inner;" in export("exported_front").stdout


def test_export_writes_the_output_file(folder: Path) -> None:
    (folder / "exported_file.py").write_text(SHOP.format(order="Order"))
    result = export("exported_file", "--output", "order.proto")
    assert (result.exit_code, result.output) == (0, "")
    assert "message Order {" in (folder / "order.proto").read_text()


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("exported_nowhere", None, "cannot import 'exported_nowhere': ModuleNotFoundError"),
        ("shop.py", None, "give the name of a module"),
        ("exported_broken", "1 / 0", "cannot import 'exported_broken': ZeroDivisionError"),
        ("exported_none", "x = 1", "exported_none defines no message"),
        (
            "exported_lost",
            SHOP.format(order="Order").replace("str", "Nowhere"),
            "exported_lost.Order.sku: Nowhere is unknown",
        ),
    ],
)
def test_module_that_cannot_be_exported_gets_one_clear_error(
    module: str, source: str | None, said: str, folder: Path
) -> None:
    if source is not None:
        (folder / f"{module}.py").write_text(source)
    result = export(module)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert said in result.output
    assert "Traceback" not in result.output


def test_output_that_cannot_be_written_gets_one_clear_error(folder: Path) -> None:
    (folder / "exported_unwritable.py").write_text(SHOP.format(order="Order"))
    result = export("exported_unwritable", "--output", "missing/order.proto")
    assert result.exit_code == 2
    assert "cannot write missing/order.proto: No such file or directory" in result.output


def test_envelope_prints_the_definition_that_the_nodes_code_was_made_from() -> None:
    result = CliRunner().invoke(covey, ["proto", "envelope"])
    assert result.exit_code == 0, result.output
    assert "package covey.v1;" in result.stdout
    declared = re.findall(r"^message (\w+) {", result.stdout, flags=re.MULTILINE)
    assert declared == list(envelope_pb2.DESCRIPTOR.message_types_by_name)


def test_envelope_writes_the_output_file(folder: Path) -> None:
    result = CliRunner().invoke(covey, ["proto", "envelope", "--output", "envelope.proto"])
    assert (result.exit_code, result.output) == (0, "")
    shipped = Path(envelope_pb2.__file__).with_name("envelope.proto")
    assert (folder / "envelope.proto").read_bytes() == shipped.read_bytes()
