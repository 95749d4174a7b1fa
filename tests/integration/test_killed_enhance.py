"""Killed at any moment, or several at once: the tool's folder is finished."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.fork_server import run_python

# One Python that forks a run, kills it and forks the next: importing takes seconds. It
# computes nothing itself, so that its children start with no thread of torch's.
_RUNS = """
import json, os, random, signal, sys, time
from sci_plugins.apis.enhance_files import enhance_files
import sci_plugins.apis.finetune, torchvision

photos, out, kills, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
delays = random.Random(seed)

def start():
    child = os.fork()
    if child:
        return child
    try:
        found = enhance_files([photos], out, 'sci/sci_plugins/lol', illumination=True, workers=2)
        counts = json.dumps([found.written, found.skipped, len(found.failed)])
        os.write(1, f'{counts}\\n'.encode())
    finally:
        os._exit(0)

killed = 0
while killed < kills:
    child = start()
    time.sleep(delays.uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    if delays.random() < 0.2:  # begin anew now and then, so that there is work to interrupt
        for name in os.listdir(out) if os.path.isdir(out) else []:
            os.unlink(os.path.join(out, name))
os.waitpid(start(), 0)
print(json.dumps(dict(kills=killed)))
"""


def _photos(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, suffix in enumerate(('.png', '.jpg', '.bmp', '.tif', '.webp') * 3):
        pixels = rng.integers(0, 60, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{index}{suffix}')


@pytest.mark.parametrize(('kills', 'seed'), [(8, 0), pytest.param(100, 1, marks=pytest.mark.slow)])
def test_every_kill_is_followed_by_a_clean_resume(tmp_path: Path, kills: int, seed: int) -> None:
    _photos(tmp_path / 'photos')
    options = [tmp_path / 'photos', tmp_path / 'out', kills, seed]
    done = run_python(['-c', _RUNS, *options])
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith(('[', '{'))]
    *_, last, summary = map(json.loads, told)
    assert summary == dict(kills=kills)
    written, skipped, failed = last
    assert failed == 0
    assert written + skipped == 15
    results = [path for path in (tmp_path / 'out').iterdir() if path.suffix != '.jsonl']
    visible = [path for path in results if not path.name.startswith('.')]
    left = {path.name for path in results} - {path.name for path in visible}
    assert all(re.fullmatch(r'\.sci_plugins-[0-9a-f]{16}\.tmp', name) for name in left)
    assert len(visible) == 30  # with the illumination maps
    for path in visible:
        with Image.open(path) as image:
            image.load()


_TOGETHER = (
    _RUNS.split('killed = 0')[0]
    + """
children = [start() for _ in range(kills)]
for child in children:
    os.waitpid(child, 0)
"""
)


def test_runs_share_a_folder(tmp_path: Path) -> None:
    """None fails; together they do all, and what is there is whole."""
    _photos(tmp_path / 'photos')
    options = [tmp_path / 'photos', tmp_path / 'out', 3, 0]
    done = run_python(['-c', _TOGETHER, *options])
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('[')]
    assert len(told) == 3
    assert all((written + skipped, failed) == (15, 0) for written, skipped, failed in told)
    results = [path for path in (tmp_path / 'out').iterdir() if path.suffix != '.jsonl']
    assert len(results) == 30
    for path in results:
        with Image.open(path) as image:
            image.load()
