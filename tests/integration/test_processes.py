"""A process of several dies or hangs: the other ends in time, with one line."""

import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.run_tool import TOOLS

pytest.importorskip('mmdet')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
TIMEOUT = 0.1  # minutes

#: Imported by the config: the second process meets the signal while the first waits for it.
_HURT = """
import os, signal, time
from pathlib import Path
from mmdet.models import SingleStageDetector
from mmengine.dist import get_rank

def hurting(method):
    def call(*args, **kwargs):
        if get_rank() == 1:
            time.sleep(1)
            Path(os.environ['HURT_FILE']).write_text(f'{os.getpid()} {time.time()}')
            os.kill(os.getpid(), int(os.environ['HURT_SIGNAL']))
        return method(*args, **kwargs)
    return call

for name in ('loss', 'predict'):
    setattr(SingleStageDetector, name, hurting(getattr(SingleStageDetector, name)))
"""


def _start(folder: Path, tool: str, number: int) -> subprocess.Popen:
    config = TINY['write_detection'](folder / 'set')
    (folder / 'hurt.py').write_text(_HURT)
    hurt = config.with_name('hurt_config.py')
    hurt.write_text(f"_base_ = '{config.name}'\ncustom_imports = dict(imports=['hurt'])\n")
    arguments = [hurt, '--work-dir', folder / 'out', '--launcher', 'pytorch']
    if tool == 'compare':
        arguments[1:1] = [TINY['write_checkpoint'](config), '--variants', 'none', '--pictures', '0']
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command += ['--nproc-per-node', '2', str(TOOLS / f'{tool}.py'), *map(str, arguments)]
    environment = dict(
        os.environ,
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='',
        PYTHONPATH=os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')]),
        HURT_FILE=str(folder / 'hurt'),
        HURT_SIGNAL=str(number),
    )
    command += ['--timeout', str(TIMEOUT)]
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('tool', 'number', 'words'),
    [
        ('train', signal.SIGKILL, 'another process of this run ended'),
        ('compare', signal.SIGSTOP, 'not answered for as long as --timeout says'),
        ('compare', signal.SIGKILL, 'another process of this run ended'),
        ('train', signal.SIGSTOP, 'not answered for as long as --timeout'),
    ],
)
def test_the_other_ends(tmp_path: Path, tool: str, number: int, words: str) -> None:
    with _start(tmp_path, tool, number) as process:
        assert process.stderr is not None
        lines, told_at = [], 0.0
        for line in process.stderr:
            lines.append(line)
            if line.startswith('error: '):
                told_at = time.time()
            if 'closing signal SIGTERM' in line and number == signal.SIGSTOP:
                # A stopped process does not hear it; torchrun would wait for half a minute.
                os.kill(int((tmp_path / 'hurt').read_text().split()[0]), signal.SIGKILL)
    text = ''.join(lines)
    told = [line for line in lines if line.startswith('error: ')]
    assert len(told) == 1, text
    assert words in told[0]
    # torchrun prints what it saw, with a traceback of its own; the tool prints none.
    assert not re.search(r'tools/\w+\.py", line', text), text
    hurt_at = float((tmp_path / 'hurt').read_text().split()[1])
    assert told_at - hurt_at < 300  # the default would be 10 minutes
    assert process.returncode != 0
    if number == signal.SIGSTOP:
        assert 'exitcode: 2' in re.sub(r'\s*:\s*', ': ', text), text
