from pathlib import Path
from typing import Any

import pytest
from accelerate.tracking import GeneralTracker, on_main_process

from sport.tune import TuningError
from sport.tune.tracking import tracking


class Memory(GeneralTracker):
    """A tracker that remembers."""

    name = "memory"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.config: dict[str, Any] = {}
        self.closed = False

    @property
    def tracker(self) -> Any:
        return self

    @on_main_process
    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    @on_main_process
    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        assert step is not None
        self.rows.append((step, values))

    @on_main_process
    def finish(self) -> None:
        self.closed = True


def test_every_steps_figures_reach_the_tracker(tmp_path: Path) -> None:
    memory = Memory()
    with tracking(memory, tmp_path, {"beta": "0.1"}) as log:
        log({"stage": "dpo", "phase": "reference", "done": 1, "of": 2})
        log({"stage": "dpo", "step": 3, "loss": 0.5, "pairs": 8})
    assert memory.config == {"beta": "0.1"}
    assert memory.rows == [(3, {"dpo/step": 3, "dpo/loss": 0.5, "dpo/pairs": 8})]
    assert memory.closed


@pytest.mark.parametrize("name", ["no-such-tracker", "comet_ml"])
def test_a_tracker_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(TuningError, match=name), tracking(name, tmp_path, {}):
        pass
