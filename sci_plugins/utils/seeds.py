"""Random numbers of other people's code, from a seed of ours."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of Python, NumPy and PyTorch from a seed below 2**32; later as before."""
    python, numpy = random.getstate(), np.random.get_state()
    # Those of a GPU that is in use; asking for all would warn of many.
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            random.seed(seed)
            np.random.seed(seed)
            # torch.manual_seed would also seed a GPU that is only used later.
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
