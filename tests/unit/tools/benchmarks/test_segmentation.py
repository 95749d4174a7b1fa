"""The benchmark of a segmentor's test, with the light network on a small image."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mmseg')

from benchmarks.segmentation import (
    ENHANCED,
    JPEG,
    PIPELINE,
    PLAIN,
    PNG,
    SLIDE,
    WHOLE,
    _build,
    _draw_night,
    _preprocessing,
    _record,
    _write_files,
    benchmark_segmentation,
)
from sci_plugins.errors import ConfigError
from sci_plugins.utils.images import read_image, write_image

NIGHT = Path(__file__).parents[4] / 'configs/night'
CONFIG = str(NIGHT / 'fast-scnn_w50_40e_camvid.py')


def test_figures_belong_together() -> None:
    result = benchmark_segmentation(CONFIG, 540, 700, threads=1, runs=1, steps=1)
    times = {name: timing.median_ms for name, timing in result.timings.items()}
    assert all(value > 0 for value in times.values())
    assert result.loader_ratio == pytest.approx(times[WHOLE] / times[PIPELINE])
    added = (times[ENHANCED] - times[PLAIN]) / times[WHOLE]
    assert result.added_share == pytest.approx(added)
    assert (result.windows, result.enhancements) == (4, 1)
    assert result.file_bytes[PNG] > result.file_bytes[JPEG] > 0
    assert json.loads(json.dumps(result.to_json()))['segmentor'] == Path(CONFIG).stem
    text = result.to_text()
    assert 'sliding window: 4 windows, 1 enhancement(s)' in text
    row = next(line for line in text.splitlines() if line.startswith(SLIDE))
    assert float(row.split()[-1]) == pytest.approx(1e3 / times[SLIDE], abs=0.01)


def test_what_is_timed(tmp_path: Path) -> None:
    """The same photograph in both files, and all of the config's test pipeline."""
    pixels = _draw_night(60, 90)
    assert 5 < pixels.mean() < 120  # by night, and not all black
    files = _write_files(pixels, tmp_path)
    np.testing.assert_array_equal(read_image(files[PNG]), pixels)
    assert np.abs(read_image(files[JPEG]).astype(int) - pixels).mean() < 20
    model, pipeline = _build(CONFIG)
    data = pipeline(_record(files[PNG], files['label']))
    np.testing.assert_array_equal(data['inputs'].flip(0).permute(1, 2, 0), pixels)
    assert data['data_samples'].gt_sem_seg.shape == (60, 90)
    calls = _preprocessing(model, data, None)
    plain, enhanced = (calls[name]()['inputs'] for name in (PLAIN, ENHANCED))
    assert plain.shape == enhanced.shape == (1, 3, 64, 96)
    assert float(enhanced.mean()) > float(plain.mean()) + 0.1


def test_a_photograph_of_ones_own(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / 'mine.png'
    write_image(path, rng.integers(0, 256, (50, 80, 3), dtype=np.uint8))
    result = benchmark_segmentation(CONFIG, 64, 96, threads=1, runs=1, steps=1, image=str(path))
    assert result.image == 'mine.png'
    assert result.windows == 1


def test_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='steps must be at least 1, got 0'):
        benchmark_segmentation(CONFIG, steps=0)
    with pytest.raises(FileNotFoundError, match='config not found'):
        benchmark_segmentation('none.py', 64, 96)
    with pytest.raises(FileNotFoundError, match='image not found'):
        benchmark_segmentation(CONFIG, 64, 96, image=str(tmp_path / 'no.png'))
    enhanced = str(NIGHT / 'fast-scnn_w50_sci-joint_40e_camvid.py')
    with pytest.raises(ConfigError, match='without an enhancer'):
        benchmark_segmentation(enhanced, 64, 96)
    detector = str(NIGHT.parent / 'demo/faces_retinanet_tiny.py')
    with pytest.raises(ConfigError, match='must be an mmseg segmentor'):
        benchmark_segmentation(detector, 64, 96)
