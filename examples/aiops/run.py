"""One run of the demo: the world, the swarm, and who ends them."""

from __future__ import annotations

import importlib.util
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from covey import Child, CoveyError, Swarm
from covey.observability import run_folder, trace_directory
from covey.transports import EmbeddedServer

from .interrupts import ignore_interrupts
from .options import DemoOptions
from .screen import board_events as events
from .screen.display import View
from .swarm.accounts import settle
from .swarm.ask_probe import AskProbe
from .swarm.crash_plan import PlannedCrash, plan_crashes
from .swarm.desk import Desk
from .swarm.grown_tree import GrownTree
from .swarm.messages import Crash
from .swarm.node_process import READY_S, STOP_S, NodeProcess
from .swarm.surroundings import DESK, Surroundings
from .swarm.tree import branches, root
from .swarm.witness_process import WitnessProcess
from .world.injector import Injector, plan
from .world.journal import FaultInjected, Journal, JournalReader
from .world.ward_client import Ward, WardError

__all__ = ["DemoRun"]

LOOP_S = 0.1
LEAVE_S = 0.5
CUT_S = 2.0
"""How long the agents may take to end, one after the other, when the run's time is up."""


class DemoRun:
    """Starts everything on entering and ends everything on leaving, in the reverse order.

    All that touches the disk is in the ward's folder, which the ward removes however this process ends.
    """

    def __init__(
        self, options: DemoOptions, patients: Sequence[str], view: View, now: Callable[[], float]
    ) -> None:
        self._options = options
        self._trace_folder = trace_directory()
        self._patients = patients
        self._view = view
        self._show = view.show
        self._now = now
        self._started_at = time.time() - now()
        self._owned = ExitStack()
        self._nodes: list[NodeProcess] = []
        self._crashes: list[PlannedCrash] = []
        self._has_torch = importlib.util.find_spec("torch") is not None
        self.traces = ""
        """Where the traces are, or empty."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            ignore_interrupts()
            self._owned.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ignore_interrupts()
        self._show(events.Phase("ending the run"))
        try:
            if error is None and self._view.is_read:
                self._tree.cut(CUT_S)
                settle(self._swarm, [node.name for node in self._nodes])
        finally:
            self._owned.close()

    # -- start -------------------------------------------------------------------------------------

    def _start(self) -> None:
        options, owned = self._options, self._owned
        url = options.nats or self._start_server()
        try:
            self._ward = owned.enter_context(Ward(self._patients, twin_of=self._patients[0]))
        except WardError as error:
            raise CoveyError(str(error)) from error
        folder, registry = self._ward.folder, self._ward.registry
        self._log_into(folder / "demo.log")
        journal_path = folder / "journal.jsonl"
        journal_path.touch()
        self._witness = WitnessProcess(registry.path, journal_path, self._show, self._started_at)
        owned.callback(self._witness.stop)
        name = f"aiops-{secrets.token_hex(3)}"
        self._trace_folder = run_folder(trace_directory(), name)
        self._join(url, name)
        self._start_nodes(url, name, registry.path, journal_path)
        self._grow_tree()
        self._journal = JournalReader(journal_path)
        owned.callback(self._read_journal)
        faults = []
        if options.faults:
            faults = plan(options.seed, options.seconds - self._now(), self._patients, self._patients[0])
        owned.enter_context(Injector(faults, registry, Journal(journal_path)))
        self._crashes = plan_crashes(options.seed, options.seconds, self._patients, options.crashes)

    def _start_server(self) -> str:
        server = EmbeddedServer()
        self._owned.callback(server.stop)
        server.start()
        return server.url

    def _log_into(self, path: Path) -> None:
        """Warnings of this process's node would otherwise be written across the picture."""
        handler = logging.FileHandler(path)
        logging.getLogger().addHandler(handler)
        self._owned.callback(handler.close)
        self._owned.callback(logging.getLogger().removeHandler, handler)

    def _join(self, url: str, name: str) -> None:
        self._swarm = Swarm.connect(url, name=name, node="demo", trace_ratio=0.0)
        self._owned.callback(self._swarm.stop, LEAVE_S)
        self._swarm.start()
        desk = Child(Desk, DESK[1], (self._show, self._started_at, self._swarm.dead_letters))
        self._tree = GrownTree(self._swarm, root(desk, crashes=self._options.crashes))

    def _grow_tree(self) -> None:
        """All that lives on the nodes, supervised from here."""
        probe = Child(AskProbe, "main", (self._patients, self._show))
        crashes = self._options.crashes
        grown = branches(self._patients, probe, forecaster=self._has_torch, crashes=crashes)
        self._owned.callback(self._tree.fell)  # before the nodes end: their agents need not move any more
        self._tree.grow(grown, READY_S)

    def _start_nodes(self, url: str, name: str, registry: Path, journal: Path) -> None:
        self._owned.callback(self._end_nodes)
        if not self._has_torch:
            self._show(events.TorchState(events.TORCH_ABSENT))
        count = self._options.nodes
        for number in range(1, count + 1):
            around = Surroundings(
                registry,
                journal,
                repair=self._options.repair,
                forecaster=self._has_torch,
                # torch lives on one node only, the last: the others stay light.
                torch=self._has_torch and number == count,
            )
            folder = self._ward.folder
            self._nodes.append(NodeProcess(f"node-{number}", url, name, around, folder, self._trace_folder))
        deadline = time.monotonic() + READY_S
        for node in self._nodes:
            node.wait_ready(deadline)
        if not self._swarm.wait_for_nodes(count + 1, READY_S):
            seen = ", ".join(member.name for member in self._swarm.nodes())
            raise CoveyError(
                f"only {seen} found each other within {READY_S:g} s on {url}: is another server behind it?"
            )
        where = self._nodes[-1].traces
        self.traces = f"files in {self._trace_folder}" if where.startswith("file ") else where

    def _end_nodes(self) -> None:
        for node in self._nodes:
            node.terminate()
        deadline = time.monotonic() + STOP_S
        for node in self._nodes:
            node.wait_ended(deadline)

    # -- the run -----------------------------------------------------------------------------------

    def watch(self) -> None:
        """Let the run happen until its time is up, or until nobody reads what it says.

        Raises:
            CoveyError: something that the run cannot do without has ended.
        """
        calm = "nothing is broken in this run: the swarm watches healthy services"
        self._show(events.Phase("the swarm is up; faults are on their way" if self._options.faults else calm))
        while self._now() < self._options.seconds and self._view.is_read:
            while self._crashes and self._now() >= self._crashes[0].at_s:
                crash = self._crashes.pop(0)
                self._swarm.agent(crash.kind, crash.key).tell(Crash())
            self._read_journal()
            self._check_processes()
            self._swarm.wait(LOOP_S)

    def _read_journal(self) -> None:
        for entry in self._journal.read():
            if isinstance(entry, FaultInjected):
                at = entry.at - self._started_at
                self._show(events.Injected(entry.fault_id, entry.kind, entry.patient, at))

    def _check_processes(self) -> None:
        for node in list(self._nodes):
            if node.exit_status is not None:
                self._show(events.NodeDown(node.name, node.epitaph()))
                self._nodes.remove(node)
                node.close()
                if not self._nodes:
                    raise CoveyError(f"no node process is left; the last was {node.name}: {node.epitaph()}")
        if self._witness.exit_status is not None:
            raise CoveyError(
                f"the witness {self._witness.epitaph()}: nobody can say any more what is repaired; start anew"
            )
        if self._ward.exit_status is not None:
            raise CoveyError(
                f"the ward that owns the services ended with status {self._ward.exit_status}; start anew"
            )
