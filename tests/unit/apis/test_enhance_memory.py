"""Memory of a process that enhances images of ever new sizes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import numpy as np, torch, sci_plugins

def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * 4096 / 2**20

torch.set_num_threads(1)
rng = np.random.default_rng(0)
for call in range(1001):
    height, width = rng.integers(20, 200, 2)
    sci_plugins.enhance(rng.integers(0, 60, (height, width, 3), dtype=np.uint8))
    if call % 200 == 0:
        print('MB', resident())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/statm').is_file(), reason='needs /proc')
def test_it_stays_flat() -> None:
    """oneDNN compiles convolutions for each shape and keeps them: 10 MB per 200 calls."""
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    done = subprocess.run(
        [sys.executable, '-c', _SCRIPT], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    numbers = [float(each) for each in re.findall(r'^MB (.+)$', done.stdout, re.MULTILINE)]
    after_400 = numbers[-4:]
    assert len(numbers) == 6
    assert max(after_400) - after_400[0] < 4, numbers
