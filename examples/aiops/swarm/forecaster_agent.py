"""The torch model as an agent: asks of many detectors become one batch."""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
from typing import TYPE_CHECKING

from covey import Agent, handles

from ..reasoning.baseline import Forecast
from .messages import Prediction, TorchNews, Window
from .surroundings import DESK

if TYPE_CHECKING:
    from ..reasoning.forecaster import TorchForecaster

__all__ = ["Forecaster", "load_torch_early"]

logger = logging.getLogger("covey.aiops")

BATCH_WAIT_S = 0.004
"""How long the first ask of a batch waits for others: a monitor's readings come together."""


class Forecaster(Agent):
    """Answers windows with forecasts, batched `(batch, window)` float32 on the CPU.

    torch is imported after the agent has started, in a thread: until then the answer is that nothing is
    known, and detectors use their baseline.
    """

    concurrency = 256
    trace = "off"

    def __init__(self) -> None:
        super().__init__()
        self._model: TorchForecaster | None = None
        self._waiting: list[tuple[Window, asyncio.Future[Forecast | None]]] = []
        self._loading: asyncio.Task[None] | None = None

    async def on_start(self) -> None:  # type: ignore[override]
        self._loading = asyncio.get_running_loop().create_task(self._load())

    def on_stop(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    async def _load(self) -> None:
        desk = self.agent(*DESK)
        desk.tell(TorchNews(text="loading"))
        try:
            self._model = await asyncio.to_thread(_load_model)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            desk.tell(TorchNews(text=f"failed: {type(error).__name__}: {error}"[:200]))
        else:
            desk.tell(TorchNews(text="ready"))

    @handles
    async def forecast(self, window: Window) -> Prediction:
        if self._model is None:
            return Prediction(known=False)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Forecast | None] = loop.create_future()
        if not self._waiting:
            loop.call_later(BATCH_WAIT_S, self._run_batch, self._model)
        self._waiting.append((window, future))
        forecast = await future
        if forecast is None:
            return Prediction(known=False)
        return Prediction(known=True, mean=forecast.mean, scale=forecast.scale)

    def _run_batch(self, model: TorchForecaster) -> None:
        from ..reasoning.forecaster import SeriesWindow

        batch, self._waiting = self._waiting, []
        try:
            answers = model.forecast([SeriesWindow(w.series, w.values, w.unit, w.calm) for w, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is, each asker must hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)


def load_torch_early() -> None:
    """Begin to import torch now, in a thread: before agents live here that its import would hold up."""
    threading.Thread(target=_import_torch, name="torch import", daemon=True).start()


def _import_torch() -> None:
    try:
        importlib.import_module("torch")
    except (ImportError, OSError) as error:
        logger.warning("torch cannot be imported (%s): the baseline decides", error)


def _load_model() -> TorchForecaster:
    from ..reasoning.forecaster import TorchForecaster

    return TorchForecaster()
