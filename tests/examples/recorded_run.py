"""A realistic run of the demo as scripted events: what the board, the display and the report are tested on.

`python -m tests.examples.recorded_run` plays it on this terminal (add a number for the speed).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator

from examples.aiops.options import DemoOptions
from examples.aiops.screen import board_events as events
from examples.aiops.screen.board import Board

PATIENTS = ("orders", "billing", "search", "catalog", "users", "mail")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# kind, patient, injected at; seconds to detected, decided, repaired, verified; metric, cause, remedy
FAULTS = (
    ("slow", "orders", 6.0, 0.9, 0.02, 0.6, 0.5, "latency", "slow handler", "restart"),
    ("spin", "billing", 8.2, 1.1, 0.03, 0.1, 0.4, "cpu", "runaway child", "kill_child"),
    ("leak", "search", 11.0, 2.3, 0.02, 0.7, 0.6, "memory", "memory leak", "restart"),
    ("hang", "catalog", 14.4, 0.7, 0.02, 0.05, 0.5, "latency", "stopped process", "resume"),
    ("fill", "orders", 17.0, 1.8, 0.04, 0.2, 0.5, "disk", "full folder", "free_folder"),
    ("crash", "users", 20.3, 0.4, 0.02, 0.6, 0.4, "latency", "dead process", "restart"),
    ("leak", "mail", 22.5, 2.2, 0.02, 0.7, 0.5, "memory", "memory leak", "restart"),
    ("crash", "orders", 26.0, 0.5, 0.02, 0.6, 0.4, "latency", "dead process", "restart"),
)

Timed = tuple[float, events.Event]


def board(options: DemoOptions | None = None, patients: tuple[str, ...] = PATIENTS) -> Board:
    """An empty board for the recorded run."""
    asked = options or DemoOptions()
    return Board(patients, twin_of="orders", seconds=asked.seconds, faults=asked.faults, repair=asked.repair)


def recorded(*, repair: bool = True, faults: bool = True, torch: bool = True) -> list[Timed]:
    """Every event of the run with the time at which it reached the board, in order."""
    timed = [*_start(torch), *_pulse(repair=repair, faults=faults, torch=torch)]
    if faults:
        for number, fault in enumerate(FAULTS, 1):
            timed += _fault(number, *fault, repair=repair, torch=torch)
        timed += [
            (
                15.0,
                events.AgentCrashed("detector/mail.latency", "node-2", "ValueError: x", 15.0, "demo/mail"),
            ),
            (15.1, events.AgentRestarted("detector/mail.latency", "node-2", 0.0118, 15.012, "demo/mail")),
            (
                15.1,
                events.AgentRestarted(
                    "monitor/mail", "node-3", 0.013, 15.013, "demo/mail", "detector/mail.latency failed"
                ),
            ),
        ]
    return sorted(timed, key=lambda pair: pair[0])


def played(until: float = 35.0, *, onto: Board | None = None, run: Iterable[Timed] | None = None) -> Board:
    """A board after `until` seconds of the run."""
    shown = onto or board()
    for at, event in run if run is not None else recorded():
        if at <= until:
            shown.apply(event, at)
    return shown


def _start(torch: bool) -> Iterator[Timed]:
    yield 0.1, events.Phase("starting a NATS server")
    yield 0.4, events.Phase("starting 6 services and their twin")
    yield 1.2, events.Phase("starting 3 nodes")
    for i in (1, 2, 3):
        yield 2.0 + i / 10, events.NodeUp(f"node-{i}", 4200 + i)
    yield 2.6, events.Phase("the detectors learn what is normal")
    yield 3.0, events.TorchState("loading" if torch else events.TORCH_ABSENT)
    if torch:
        yield 4.8, events.TorchState("ready")
    yield 5.9, events.Phase("breaking things")
    yield 31.0, events.Phase("no more faults; the last repairs are proved")


def _pulse(*, repair: bool, faults: bool, torch: bool) -> Iterator[Timed]:
    """Running totals, twice a second."""
    ok = dict.fromkeys((*PATIENTS, "twin"), 0)
    for tick in range(5, 70):
        at = tick / 2
        for name in ok:
            ok[name] += 0 if faults and _is_harmed(name, at, repair) else 5
        total = dict.fromkeys(ok, (tick - 4) * 5)
        yield at, events.Availability(dict(ok), total)
        for i in (1, 2, 3):
            yield at, events.NodeStats(f"node-{i}", 14 + i * 3, int(at * 61 * i))
        yield (
            at,
            events.Verdicts(torch=int(max(0.0, at - 5) * 80) if torch else 0, baseline=int(min(at, 6) * 70)),
        )
        yield at, events.AskLatency(0.9, 3.4 + at / 50, int(at * 12))
        yield at, events.Readings(sent=tick * 100, handled=tick * 100 - 3, dead=3)


def _is_harmed(name: str, at: float, repair: bool) -> bool:
    for kind, patient, injected, detect, decide, repaired, verify, *_ in FAULTS:
        if kind == "spin" and name == "twin":
            continue
        end = injected + detect + decide + repaired + verify if repair and name != "twin" else 99.0
        if name in (patient, "twin" if patient == "orders" else patient) and injected < at < end:
            return True
    return False


def _fault(
    number: int, kind: str, patient: str, at: float, detect_s: float, decide_s: float, repair_s: float,
    verify_s: float, metric: str, cause: str, remedy: str, *, repair: bool, torch: bool,
) -> Iterator[Timed]:  # fmt: skip
    fault, incident = f"f{number:02}-{kind}-{patient}", f"i{number}"
    yield at, events.Injected(fault, kind, patient, at)
    if patient == "orders" and kind != "spin":
        yield at, events.Injected(f"f{number:02}-{kind}-twin", kind, "twin", at)
    detected = at + detect_s
    by = "torch" if torch and number > 1 else "baseline"
    yield detected, events.Detected(incident, patient, metric, by, detected)
    if not repair:
        return
    decided = detected + decide_s
    yield decided, events.Decided(incident, patient, cause, remedy, 1, decided, TRACE)
    done = decided + repair_s
    yield done, events.Repaired(incident, remedy, repair_s, done)
    verified = done + verify_s
    yield verified, events.Verified(incident, True, verified)
    yield verified, events.FaultEnded(fault, kind, patient, verified, verified - at)


def main() -> None:
    """Play the run on this terminal."""
    from rich.console import Console

    from examples.aiops.screen.display import open_view, print_report
    from examples.aiops.screen.report import to_lines

    speed = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    begin = time.monotonic()
    shown, console = board(), Console()

    def now() -> float:
        return (time.monotonic() - begin) * speed

    with open_view(shown, console, now) as view:
        for at, event in recorded():
            time.sleep(max(0.0, (at - now()) / speed))
            view.show(event)
    print_report(to_lines(shown, "~/.cache/covey/traces"), console)


if __name__ == "__main__":
    main()
