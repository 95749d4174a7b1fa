"""The benchmark from file to file: that both ways write the same."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.files import OURS, PLAIN, SMALL, benchmark_files, plain_files
from sci_plugins.apis.enhance_files import enhance_files
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.utils.images import read_image


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    for place in ('a', 'b'):
        (tmp_path / 'in' / place).mkdir(parents=True)
        pixels = rng.integers(0, 90, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'in' / place / 'same.png')
    return tmp_path / 'in'


def test_all_images_in_each_way(folder: Path) -> None:
    result = benchmark_files(str(folder), runs=1)
    assert result.images == 2
    assert set(result.timings) == {PLAIN, OURS, SMALL}
    times = result.timings
    assert result.ratio == pytest.approx(times[PLAIN].median_ms / times[OURS].median_ms)
    assert result.ratio_of_cpu == pytest.approx(times[PLAIN].cpu_ms / times[OURS].cpu_ms)
    assert 'images a second' in result.to_text()
    with pytest.raises(ConfigError, match='number must be at least 1'):
        benchmark_files(str(folder), number=0)


def test_both_ways_write_the_same(folder: Path, tmp_path: Path) -> None:
    enhancer = SCIEnhancer(weights='sci_plugins/lol').eval()
    files = [folder / 'a' / 'same.png']
    plain_files(files, tmp_path, enhancer)
    enhance_files(files, tmp_path / 'out', enhancer)
    ours = read_image(tmp_path / 'out' / 'same.png').astype(int)
    difference = np.abs(ours - read_image(tmp_path / 'a_same.png'))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3
