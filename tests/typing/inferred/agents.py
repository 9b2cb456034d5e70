"""What decorators and the base class leave of an agent's own types."""

from __future__ import annotations

from typing import reveal_type

from covey import Agent, DecisionAgent, Swarm, every, handles, message, subscribes


@message
class Job:
    name: str


class Worker(Agent):
    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.share = share

    @handles
    def work(self, job: Job) -> int:
        timer = self.after(1.0, job)
        reveal_type(timer.cancel())  # R: None
        reveal_type(self.key)  # R: str
        reveal_type(self.sender)  # R: AgentRef | None
        reveal_type(self.deadline)  # R: float | None
        return len(job.name)

    @handles(str, bytes)
    async def read(self, text: str | bytes) -> str:
        return f"{self.share} {text!r}"

    @every(1.0)
    def tidy(self) -> None: ...

    @subscribes("jobs.*")
    def hear(self, job: Job) -> None: ...


class Chooser(DecisionAgent):
    period_s = 0.5

    def decide(self, observation: Job) -> str:
        return observation.name


def methods(worker: Worker, chooser: Chooser, job: Job) -> None:
    reveal_type(worker.work)  # R: def (job: Job) -> int
    reveal_type(worker.work(job))  # R: int
    reveal_type(worker.read)  # R: def (text: str | bytes) -> Coroutine[Any, Any, str]
    reveal_type(worker.tidy)  # R: def ()
    reveal_type(worker.hear)  # R: def (job: Job)
    reveal_type(chooser.decide(job))  # R: str


def starts() -> None:
    reveal_type(Worker.start())  # R: ActorRef[Worker]
    reveal_type(Worker.start(0.5).proxy())  # R: ActorProxy[Worker]
    with Swarm.local() as swarm:
        reveal_type(swarm)  # R: Swarm
        reveal_type(swarm.nodes()[0].name)  # R: str


def mistakes(worker: Worker) -> None:
    worker.work("job")  # E: arg-type
    worker.after("soon", "job")  # E: arg-type
    every("often")  # E: arg-type
