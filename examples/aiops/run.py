"""One run of the demo: the world, the swarm, and who ends them."""

from __future__ import annotations

import importlib.util
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from covey import Child, Supervisor, Swarm
from covey.observability import trace_directory
from covey.transports import EmbeddedServer

from .options import DemoOptions
from .screen import board_events as events
from .swarm.ask_probe import AskProbe
from .swarm.desk import Desk
from .swarm.detector import Detector
from .swarm.messages import Crash, Watch
from .swarm.monitor import HOST, HostMonitor, Monitor, series_key
from .swarm.node_process import READY_S, STOP_S, NodeProcess
from .swarm.surroundings import DESK, Surroundings
from .swarm.witness_process import WitnessProcess
from .world.injector import Injector, plan
from .world.journal import FaultInjected, Journal, JournalReader
from .world.ward_client import Ward

__all__ = ["DemoRun"]

CRASH_SHARE = 0.45
"""When an agent's crash is injected, as a share of the run."""
LOOP_S = 0.1
WATCH_S = 1.0

Show = Callable[[events.Event], None]


class DemoRun:
    """Starts everything on entering and ends everything on leaving, in the reverse order."""

    def __init__(
        self, options: DemoOptions, patients: Sequence[str], show: Show, now: Callable[[], float]
    ) -> None:
        self._options = options
        self._patients = patients
        self._show = show
        self._now = now
        self._started_at = time.time() - now()
        self._owned = ExitStack()
        self._nodes: list[NodeProcess] = []
        self._has_torch = importlib.util.find_spec("torch") is not None
        self.traces = "traces: off"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._owned.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show(events.Phase("ending the run"))
        self._owned.close()

    # -- start -------------------------------------------------------------------------------------

    def _start(self) -> None:
        options, owned = self._options, self._owned
        folder = Path(owned.enter_context(tempfile.TemporaryDirectory(prefix="covey-demo-")))
        journal_path = folder / "journal.jsonl"
        journal_path.touch()
        url = options.nats or self._start_server()
        ward = owned.enter_context(Ward(self._patients, twin_of=self._patients[0]))
        self._witness = WitnessProcess(ward.registry.path, journal_path, self._show, self._started_at)
        owned.callback(self._witness.stop)
        name = f"aiops-{secrets.token_hex(3)}"
        self._start_nodes(url, name, ward.registry.path, journal_path, folder)
        self._swarm = owned.enter_context(Swarm.connect(url, name=name, node="demo", trace_ratio=0.0))
        self._swarm.supervise(Supervisor([Child(Desk, DESK[1], self._show, self._started_at)], name="demo"))
        deadline = time.monotonic() + READY_S
        for node in self._nodes:
            node.wait_ready(deadline)
        self._swarm.wait_for_nodes(len(self._nodes) + 1, READY_S)
        self.traces = self._nodes[-1].traces
        faults = []
        if options.faults:
            faults = plan(options.seed, options.seconds - self._now(), self._patients, self._patients[0])
        self._journal = JournalReader(journal_path)
        owned.callback(self._read_journal)
        owned.enter_context(Injector(faults, ward.registry, Journal(journal_path)))
        probe = AskProbe(self._swarm, self._patients, self._show)
        owned.callback(probe.stop)

    def _start_server(self) -> str:
        server = EmbeddedServer()
        self._owned.callback(server.stop)
        server.start()
        return server.url

    def _start_nodes(self, url: str, name: str, registry: Path, journal: Path, folder: Path) -> None:
        self._owned.callback(self._end_nodes)
        if not self._has_torch:
            self._show(events.TorchState(events.TORCH_ABSENT))
        count = self._options.nodes
        for number in range(1, count + 1):
            # torch lives on one node only, the last: the others stay light.
            around = Surroundings(
                registry, journal, self._options.repair, self._has_torch and number == count
            )
            node = NodeProcess(f"node-{number}", url, name, around, folder, trace_directory())
            self._nodes.append(node)

    def _end_nodes(self) -> None:
        for node in self._nodes:
            node.terminate()
        deadline = time.monotonic() + STOP_S
        for node in self._nodes:
            node.wait_ended(deadline)

    # -- the run -----------------------------------------------------------------------------------

    def watch(self) -> None:
        """Let the run happen until its time is up."""
        calm = "nothing is broken in this run: the swarm watches healthy services"
        self._show(events.Phase("the swarm is up; faults are on their way" if self._options.faults else calm))
        next_watch = 0.0
        crash_at = CRASH_SHARE * self._options.seconds if self._options.faults else float("inf")
        while self._now() < self._options.seconds:
            if self._now() >= next_watch:
                next_watch = self._now() + WATCH_S
                self._keep_watched()
            if self._now() >= crash_at:
                crash_at = float("inf")
                self._swarm.agent(Detector, series_key(self._patients[-1], "folder_mb")).tell(Crash())
            self._read_journal()
            self._check_nodes()
            time.sleep(LOOP_S)

    def _keep_watched(self) -> None:
        """Address every monitor: one that died with its node is activated on another by this."""
        for patient in self._patients:
            self._swarm.agent(Monitor, patient).tell(Watch())
        self._swarm.agent(HostMonitor, HOST).tell(Watch())
        if self._has_torch:
            self._swarm.agent("forecaster", "main").tell(Watch())

    def _read_journal(self) -> None:
        for entry in self._journal.read():
            if isinstance(entry, FaultInjected):
                at = entry.at - self._started_at
                self._show(events.Injected(entry.fault_id, entry.kind, entry.patient, at))

    def _check_nodes(self) -> None:
        for node in list(self._nodes):
            if node.exit_status is not None:
                reason = f"ended with status {node.exit_status}: {node.last_words()}"
                self._show(events.NodeDown(node.name, reason))
                self._nodes.remove(node)
