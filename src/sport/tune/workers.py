"""Several processes that tune one adapter: each takes a share of every batch.

`accelerate launch` starts them. Every process holds the whole model, or its part of the layers
where the model is sharded (:mod:`sport.tune.sharding`). Gradients are summed over the processes
before each step; so the loss and the gradients are those of one process, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sport import launch

Item = TypeVar("Item")


class Workers:
    """The processes of this tuning.

    Attributes:
        rank: Number of this process, from 0.
        count: How many there are.
        shards: Whether they are to share the model out among them.
    """

    def __init__(self) -> None:
        """Joins the other processes, where `accelerate launch` started some.

        Raises:
            LaunchError: They are to shard the model in a way that is not known here, or have not
                found each other.
        """
        launch.assert_known()
        self.rank, self.count = 0, 1
        self.shards = launch.shards()
        if launch.count() > 1:
            from accelerate.state import PartialState

            # Without being told so, it takes processes without GPUs for strangers.
            state: Any = PartialState(cpu=not torch.accelerator.is_available())
            self.rank, self.count = state.process_index, state.num_processes
        launch.assert_all_joined(self.count)

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, items: Sequence[Item], sizes: Sequence[int]) -> list[Item]:
        """This process's part of some items, so that all parts are about as large."""
        loads = [0] * self.count
        mine = []
        for index in sorted(range(len(items)), key=lambda i: (-sizes[i], i)):
            owner = loads.index(min(loads))
            loads[owner] += sizes[index]
            if owner == self.rank:
                mine.append(index)
        return [items[index] for index in sorted(mine)]

    def in_step(self, forwards: Sequence[Item], filler: Item) -> Iterator[tuple[Item, int]]:
        """This process's forwards, each with the weight 1.

        A sharded model gathers its weights in every forward, which takes all processes: those that
        have fewer forwards get ``filler`` for the rest, with the weight 0.
        """
        rest = 0
        if self.shards:
            most = torch.tensor(len(forwards))
            dist.all_reduce(most, dist.ReduceOp.MAX)
            rest = int(most) - len(forwards)
        yield from ((forward, 1) for forward in forwards)
        yield from ((filler, 0) for _ in range(rest))

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Puts the sum over all processes in the place of every gradient."""
        if self.count == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def merge(self, mine: dict[Any, Any]) -> dict[Any, Any]:
        """What all processes have found."""
        if self.count == 1:
            return mine
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, mine)
        return {key: value for part in found for key, value in part.items()}

    def from_main(self, value: Any) -> Any:
        """The main process's value, in every process."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]
