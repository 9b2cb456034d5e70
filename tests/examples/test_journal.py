import threading
from pathlib import Path

import pytest

from examples.aiops.world.journal import FaultInjected, Journal, JournalReader, RepairEnded, RepairStarted


def test_a_reader_gets_each_entry_once_and_in_order(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "journal"), JournalReader(tmp_path / "journal")
    assert reader.read() == []
    fault = FaultInjected("f01", "leak", "api", 1.5)
    repairs = [RepairStarted("api", "restart", "i1", 2.0), RepairEnded("api", "restart", "i1", True, 2.5)]
    journal.write(fault)
    assert reader.read() == [fault]
    for repair in repairs:
        journal.write(repair)
    assert reader.read() == repairs
    assert reader.read() == []


def test_a_line_that_is_not_whole_yet_is_read_once_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal(path).write(FaultInjected("f01", "leak", "api", 1.5))
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    reader = JournalReader(path)
    assert reader.read() == []
    path.write_bytes(whole)
    assert len(reader.read()) == 1


def test_lines_of_several_writers_never_mix(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")

    def write(patient: str) -> None:
        for number in range(100):
            journal.write(RepairStarted(patient, "restart", f"i{number}", 1.0))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("api", "cart", "mail")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    entries = JournalReader(tmp_path / "journal").read()
    for name in ("api", "cart", "mail"):
        own = [entry for entry in entries if isinstance(entry, RepairStarted) and entry.patient == name]
        assert [entry.incident for entry in own] == [f"i{number}" for number in range(100)]


def test_a_line_that_is_no_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text('{"type": "holiday"}\n')
    with pytest.raises(ValueError, match="holiday"):
        JournalReader(tmp_path / "journal").read()
