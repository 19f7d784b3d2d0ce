"""A decoding step as one launch: captured once for each shape, then replayed.

A step of a small batch is hundreds of kernels that run for microseconds each, and Python takes longer to launch them
than a GPU to run them. A step that works on tensors at fixed addresses can be captured as a CUDA graph instead.
"""

import logging
from collections.abc import Callable, Hashable

import torch

log = logging.getLogger(__name__)

Step = Callable[[], None]


def cuda_capture() -> Callable[[Step], Step]:
    """Turns a step into its replay. Captures share one pool of memory: they run one after the other."""
    pool = torch.cuda.graph_pool_handle()

    def capture(step: Step) -> Step:
        graph = torch.cuda.CUDAGraph()
        # The outer context leaves the capture's stream where a capture that fails does not. Other threads judge
        # completions meanwhile; what they call must not end the capture.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"),
        ):
            step()
        return graph.replay

    return capture


# What makes captures, by type of device. A type whose capture has failed is taken out.
CAPTURES: dict[str, Callable[[], Callable[[Step], Step]]] = {"cuda": cuda_capture}


class Replayed:
    """``step``, captured when it runs with a shape for the second time and replayed from then on.

    Where nothing can capture it, it runs as it is. Once a capture has failed, no other is tried in this process: torch
    does not return the memory of a failed one.

    Args:
        step: Reads and writes tensors that stay where they are. The CPU need not wait for a result in it, and no shape
            in it depends on data. A replay repeats its kernels and none of its Python.
        shape: What the kernels of the next step depend on, besides the data; equal for steps with the same kernels.
        device: Where the tensors are.
    """

    def __init__(self, step: Step, shape: Callable[[], Hashable], device: torch.device) -> None:
        self.step, self.shape, self.kind = step, shape, device.type
        self.capture = CAPTURES[self.kind]() if self.kind in CAPTURES else None
        self.seen: set[Hashable] = set()
        self.replays: dict[Hashable, Step] = {}

    def __call__(self) -> None:
        """One step."""
        shape = self.shape()
        if self.capture is not None and shape in self.seen and shape not in self.replays:
            try:
                self.replays[shape] = self.capture(self.step)
            except RuntimeError as error:  # of CUDA: an operation that cannot be captured, or no memory for it
                # Leaving a failed capture raises an error as well; the one before it, its context, says why.
                log.info("Decoding goes on without further CUDA graphs: %r", error.__context__ or error)
                self.capture = None
                del CAPTURES[self.kind]
        self.seen.add(shape)  # the first step of a shape warms up what a capture must not
        self.replays.get(shape, self.step)()
