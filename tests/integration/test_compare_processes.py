"""tools/compare.py under two processes: the numbers of one."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.run_tool import TOOLS, run_tool_process

pytest.importorskip('mmdet')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
OPTIONS = ['--variants', 'none', 'gamma/0.4', 'adaptive', '--darken', '0.05']
OPTIONS += ['--pictures', '3', '--resamples', '200', '--changed', '2']


def _two_processes(folder: Path, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command += ['--nproc-per-node', '2', str(TOOLS / 'compare.py'), *map(str, arguments)]
    return subprocess.run(
        [*command, '--launcher', 'pytorch'],
        cwd=folder,
        capture_output=True,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
    )


def _results(folder: Path) -> list[dict[str, Any]]:
    results = json.loads((folder / 'comparison.json').read_text())['results']
    for result in results:
        del result['seconds']
    return results


def _files(folder: Path) -> list[str]:
    kinds = ('*.jpg', '*.npz', '*.html', '*.md')
    found = [path for kind in kinds for path in folder.rglob(kind)]
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.slow
def test_two_processes_and_an_odd_number_of_images(tmp_path: Path) -> None:
    """One image of three is tested twice, to give both processes as many."""
    config = TINY['write_detection'](tmp_path / 'set')
    common = [config, TINY['write_checkpoint'](config), *OPTIONS, '--work-dir']
    done = _two_processes(tmp_path, *common, tmp_path / 'two')
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('# Does it help?') == 1
    # One thread, as each of the two has; a process of its own, where MMEngine writes a config in
    # full, which its hash depends on.
    code, _, err = run_tool_process('compare', *common, tmp_path / 'one')
    assert code == 0, err
    one, two = _results(tmp_path / 'one'), _results(tmp_path / 'two')
    assert [bool(result['analysis']) for result in one] == [False, True, True]
    assert [bool(result['decisions']) for result in one] == [False, False, True]
    np.testing.assert_equal(two, one)
    assert _files(tmp_path / 'two') == _files(tmp_path / 'one')
    for path in (tmp_path / 'one' / 'records').rglob('*.npz'):
        other = tmp_path / 'two' / path.relative_to(tmp_path / 'one')
        with np.load(path) as wanted, np.load(other) as found:
            for name in wanted:
                np.testing.assert_array_equal(found[name], wanted[name])
