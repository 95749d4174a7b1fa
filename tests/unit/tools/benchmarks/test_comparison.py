"""The benchmark of a comparison's parts, on a tiny detector."""

import runpy
import time
from pathlib import Path

import pytest

pytest.importorskip('mmdet')

from benchmarks.comparison import NETWORK, PARTS, REST, Stopwatch, benchmark_comparison
from sci_plugins.errors import ConfigError

TINY = runpy.run_path(str(Path(__file__).parents[3] / 'data' / 'make_tiny.py'))


def test_every_part_is_found(tmp_path: Path) -> None:
    config = TINY['write_detection'](tmp_path)
    checkpoint = str(TINY['write_checkpoint'](config))
    once = benchmark_comparison(str(config), checkpoint, ['none', 'clahe'], '0.1')
    twice = benchmark_comparison(str(config), checkpoint, ['none'], repeat=2)
    assert set(once.seconds) == {*PARTS, REST}
    assert all(seconds > 0 for seconds in once.seconds.values())
    assert twice.images == 2 * once.images
    assert 'darkening' not in twice.seconds
    share = once.seconds['records'] / once.seconds[NETWORK]
    assert f'{share:.1%}' in once.to_text()


def test_a_part_inside_another_is_taken_out_of_it() -> None:
    watch = Stopwatch()
    inner = watch.watched(lambda: _work(0.05), 'inner')
    with watch.part('outer'):
        inner()
    assert watch.seconds['inner'] >= 0.05
    assert watch.seconds['outer'] < 0.04


def _work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_only_coco_annotations_are_repeated(tmp_path: Path) -> None:
    config = TINY['write_segmentation'](tmp_path)
    with pytest.raises(ConfigError, match='COCO annotations'):
        benchmark_comparison(str(config), 'none', ['none'], repeat=2)
