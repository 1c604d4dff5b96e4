"""Several processes that train one network together, as torch's launcher starts them.

`torchrun --no-python --nproc-per-node N sfumato study run DIR` starts N processes with the
variables RANK, LOCAL_RANK and WORLD_SIZE; without them there is a group of one. All of them see
the study's folder.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sfumato.study.networks import need_torch

_PATIENCE: Final = timedelta(days=7)  # while the leader makes arms and tests


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process among `size`; `local` is its number on its machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Tell whether this process writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            need_torch().distributed.barrier()

    def agreed(self, value: Any) -> Any:
        """Return the leader's value in every process."""
        if self.size == 1:
            return value
        values = [value]
        need_torch().distributed.broadcast_object_list(values, src=0)
        return values[0]

    def together(self, module: Any) -> Any:
        """Return a module whose gradients are averaged over the processes."""
        if self.size == 1:
            return module
        return need_torch().nn.parallel.DistributedDataParallel(module)

    def device(self, wanted: str) -> str:
        """Return this process's device: of several graphics cards, its own."""
        return f"cuda:{self.local}" if wanted == "cuda" and self.size > 1 else wanted


ALONE: Final = ProcessGroup()


def is_first() -> bool:
    """Tell whether this process leads, or will once it has joined the others."""
    return int(os.environ.get("WORLD_SIZE", "1")) < 2 or os.environ["RANK"] == "0"


@contextmanager
def joined(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that the launcher started, and leave them at the end."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size < 2:
        yield ALONE
        return
    torch = need_torch()
    cuda = device.startswith("cuda")
    group = ProcessGroup(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if cuda:
        torch.cuda.set_device(group.local)
    torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield group
    finally:
        gc.collect()  # a module that averages gradients has to go before its group does
        torch.distributed.destroy_process_group()
