# Copyright (c) 2026, The ZPRL Project Developers.
# SPDX-License-Identifier: BSD-3-Clause

"""The processes of one training, as torchrun starts them: which one this is, and what they tell each other.

A process that was started alone is the first and the only one, and no function here then does anything but return.
PyTorch is imported where it is needed, so that a command can say what it takes without loading it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from zprl.utils.errors import ZprlError

LONGEST_WAIT = timedelta(days=7)
"""How long a process waits for the others: the first may collect demonstrations and train a base policy meanwhile."""


class LostProcessError(ZprlError):
    """Another process of the training has ended, so that this one cannot go on."""


def count() -> int:
    """Return the number of processes, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return the number of this process on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def is_first() -> bool:
    """Return whether this process is the one that prints and writes files."""
    return rank() == 0


def num_cores() -> int:
    """Return the cores of the machine that fall to this process, at least one."""
    return max(1, len(os.sched_getaffinity(0)) // _count_on_machine())


def num_threads() -> int:
    """Return the threads that large work of this process may take: its cores, or fewer if OMP_NUM_THREADS says so."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(num_cores(), int(asked)) if asked.isdigit() and int(asked) > 0 else num_cores()


def let_idle_threads_sleep() -> None:
    """Let the threads of :func:`all_threads` sleep as soon as a call is over, unless the user has chosen otherwise.

    OpenMP lets them spin for milliseconds instead, in case there is more to do, on the cores on which the physics' own
    threads run next. It reads its settings when torch is loaded, so this comes before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextlib.contextmanager
def all_threads() -> Iterator[None]:
    """Let torch's operators run on :func:`num_threads` threads while the block lasts.

    It pays where one call takes milliseconds; small operators are several times slower on two threads than on one.
    """
    with torch_threads(num_threads()):
        yield


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let each of torch's operators run on a number of threads while the block lasts."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def own_device(device: str) -> str:
    """Return the device of this process: the CPU, or a GPU of its own.

    Args:
        device: What the user asks for.

    Raises:
        ZprlError: If several processes are to share a GPU.
    """
    if count() == 1 or not device.startswith("cuda"):
        return device
    if device != "cuda":
        raise ZprlError(f"each of several processes takes a GPU of its own; pass --device cuda instead of {device}.")
    import torch

    if _count_on_machine() > torch.cuda.device_count():
        raise ZprlError(
            f"{_count_on_machine()} processes need as many GPUs, and PyTorch finds {torch.cuda.device_count()} on this "
            "machine; lower --nproc_per_node or pass --device cpu."
        )
    return f"cuda:{local_rank()}"


def share(number: int, name: str) -> int:
    """Return this process's part of a number that is split evenly.

    Args:
        number: The whole.
        name: What the user calls it.

    Raises:
        ZprlError: If it cannot be split evenly.
    """
    if number % count():
        raise ZprlError(
            f"{name} is {number}, which {count()} processes cannot share evenly; choose a multiple of {count()}."
        )
    return number // count()


def share_of(numbers: range) -> range:
    """Return this process's part of a range; the parts of all processes, in their order, are the range."""
    first, last = (len(numbers) * edge // count() for edge in (rank(), rank() + 1))
    return numbers[first:last]


@contextlib.contextmanager
def joined(device: str) -> Iterator[None]:
    """Connect the processes while the block lasts: by gloo in the CPU's memory, by NCCL in the GPUs'.

    Args:
        device: Device of this process; see :func:`own_device`.

    Raises:
        LostProcessError: If another process ends inside its block.
    """
    if count() == 1:
        yield
        return
    import torch

    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    # torchrun ends processes that wait for a lost one by SIGTERM; Python's own handler would wait with them.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=LONGEST_WAIT)
        yield
    except BaseException as error:
        # gloo's threads abort an interpreter that ends before them; NCCL would wait for processes that are gone.
        if not on_gpu and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        if isinstance(error, RuntimeError) and (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise LostProcessError(
                f"process {rank()} has lost another process of the training; run the same command again, with "
                "--checkpoint latest if there is a checkpoint."
            ) from error
        raise
    torch.distributed.destroy_process_group()


def gather(value: Any) -> list[Any]:
    """Return what each process passed, in their order; all must call it."""
    if count() == 1:
        return [value]
    import torch

    values = [None] * count()
    torch.distributed.all_gather_object(values, value)
    return values


def first_then_others[T](make: Callable[[], T]) -> T:
    """Call a function in the first process, and in the others only when that is done, so that they find its files.

    Args:
        make: Returns an existing file, say, or makes it.

    Raises:
        SystemExit: In the other processes if the first one failed, which says why.
    """
    if count() == 1:
        return make()
    import torch

    made = [True]
    if not is_first():
        torch.distributed.broadcast_object_list(made, src=0)
        if not made[0]:
            raise SystemExit(1)
        return make()
    try:
        value = make()
    except BaseException:
        with contextlib.suppress(RuntimeError):  # the others may have ended as well
            torch.distributed.broadcast_object_list([False], src=0)
        raise
    torch.distributed.broadcast_object_list(made, src=0)
    return value


@contextlib.contextmanager
def only_first_process_prints() -> Iterator[None]:
    """Let the first process alone print while the block lasts: all of them refuse the same settings.

    Raises:
        SystemExit: In the other processes, where the first one says why it ends.
    """
    if is_first():
        yield
        return
    try:
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            yield
    except LostProcessError:
        raise
    except ZprlError as error:
        raise SystemExit(2) from error
    except KeyboardInterrupt as interrupt:
        raise SystemExit(130) from interrupt


def _count_on_machine() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
