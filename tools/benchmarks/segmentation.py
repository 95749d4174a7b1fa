"""The test of a night-time segmentor part by part: is data loading the bottleneck?"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose

from benchmarks.timing import Timing, threads_set_to, time_in_turn, told
from sci_plugins.apis.attach import attach
from sci_plugins.apis.config import load_config, require
from sci_plugins.demo.streets import draw_street
from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.low_light import expose, linear_to_srgb, to_uint8
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.registry import require_host, type_name_of
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.images import read_image, write_image
from sci_plugins.utils.machine import describe_machine, machine_line

PNG, JPEG = 'decode PNG', 'decode JPEG'
PIPELINE = 'test pipeline, PNG'
PLAIN, ENHANCED = 'preprocessing, plain', 'preprocessing, SCI'
ENHANCER = 'SCIEnhancer alone'
WHOLE, SLIDE = 'test step, whole', 'test step, windows'
#: Sliding windows of mmseg's configs: 512 pixels that overlap by a third.
WINDOW, STRIDE = 512, 341


@dataclass(frozen=True)
class SegmentationTimes:
    """Times of each part for one image of ``size`` (height, width), and their ratios.

    ``loader_ratio`` is how many times faster one loading process is than the network on whole
    images; ``added_share`` is the share that SCI adds to such a test step. ``enhancements`` and
    ``windows`` count the calls of enhancer and backbone in one sliding-window test step.
    """

    machine: dict[str, Any]
    size: tuple[int, int]
    segmentor: str
    image: str
    file_bytes: dict[str, int]
    timings: dict[str, Timing]
    loader_ratio: float
    added_share: float
    enhancements: int
    windows: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        height, width = self.size
        sizes = [f'{count / 2**20:.1f} MiB' for count in self.file_bytes.values()]
        return '\n'.join(
            [
                machine_line(self.machine),
                f'{self.segmentor}, random weights, {self.image} {width}x{height} '
                f'({sizes[0]} as PNG, {sizes[1]} as JPEG)',
                _to_table(self.timings),
                f'one loading process is {self.loader_ratio:.0f} times as fast as the network; '
                f'SCI adds {self.added_share:.2%} to a test step',
                f'sliding window: {self.windows} windows, {self.enhancements} enhancement(s)',
            ]
        )


def _to_table(timings: dict[str, Timing]) -> str:
    rows = [
        (name, *told(timing, 1), f'{1e3 / timing.median_ms:.2f}')
        for name, timing in timings.items()
    ]
    return text_table(('', 'median', 'fastest', 'images/s'), rows)


def benchmark_segmentation(
    config: str,
    height: int = 1080,
    width: int = 1920,
    threads: int = 2,
    runs: int = 5,
    steps: int = 1,
    image: str | None = None,
    weights: str | None = None,
) -> SegmentationTimes:
    """Time decoding, the test pipeline, the enhancer and the network on one image.

    All parts run in this process with cached files: the most that one loading process can do.

    Args:
        config: config of an mmseg segmentor without an enhancer; its model gets random weights.
        height, width: size of the image in pixels.
        threads: CPU threads of PyTorch; decoding has one.
        runs: measured rounds of all but the test steps.
        steps: measured rounds of the test steps, after one that is not.
        image: a photograph, resized; ``None`` draws a noisy street at night.
        weights: weights of SCI, as in :class:`SCIEnhancer`; random ones if ``None``.

    Raises:
        ConfigError: if a number is below 1, or the config is not one of a segmentor.
        MissingDependencyError: if mmseg is not installed.
    """
    check_at_least(
        1, most=100_000, height=height, width=width, threads=threads, runs=runs, steps=steps
    )
    require_host('the benchmark of segmentation', 'mmseg')
    model, pipeline = _build(config)
    pixels = _draw_night(height, width) if image is None else _read(image, height, width)
    with _threads_everywhere(threads), tempfile.TemporaryDirectory() as folder:
        files = _write_files(pixels, Path(folder))
        data = pipeline(_record(files[PNG], files['label']))
        calls = {
            PNG: _loading(files[PNG]),
            JPEG: _loading(files[JPEG]),
            PIPELINE: lambda: pipeline(_record(files[PNG], files['label'])),
            **_preprocessing(model, data, weights),
        }
        timings = time_in_turn(calls, runs)
        windows = _windows(height, width)
        counts = _count_calls(model, lambda: _step(model, data, windows))
        timings |= time_in_turn(
            {WHOLE: lambda: _step(model, data, None), SLIDE: lambda: _step(model, data, windows)},
            steps,
            warm_up=1,
        )
        machine = describe_machine()
        sizes = {name: files[name].stat().st_size for name in (PNG, JPEG)}
    step = timings[WHOLE].median_ms
    added = timings[ENHANCED].median_ms - timings[PLAIN].median_ms
    return SegmentationTimes(
        machine=machine,
        size=(height, width),
        segmentor=Path(config).stem,
        image='a drawn street' if image is None else Path(image).name,
        file_bytes=sizes,
        timings=timings,
        loader_ratio=step / timings[PIPELINE].median_ms,
        added_share=added / step,
        enhancements=counts[0],
        windows=counts[1],
    )


@contextmanager
def _threads_everywhere(threads: int) -> Iterator[None]:
    """Set PyTorch's threads without gradients, and one thread of OpenCV as in a data loader."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        with torch.no_grad(), threads_set_to(threads):
            yield
    finally:
        cv2.setNumThreads(before)


def _draw_night(height: int, width: int) -> np.ndarray:
    """A street of the demo in RGB, enlarged and exposed with noise."""
    generator = np.random.default_rng(0)
    radiance = cv2.resize(draw_street(generator)[0], (width, height))
    light = expose(radiance, 0.25, 0.002, 5e-4, generator)
    return to_uint8(linear_to_srgb(light))


def _read(path: str, height: int, width: int) -> np.ndarray:
    return cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_AREA)


def _write_files(pixels: np.ndarray, folder: Path) -> dict[str, Path]:
    files = {PNG: folder / 'image.png', JPEG: folder / 'image.jpg', 'label': folder / 'label.png'}
    write_image(files[PNG], pixels)
    write_image(files[JPEG], pixels)
    # Blocks of classes compress well, like real label maps.
    rows, columns = np.indices(pixels.shape[:2]) // 120
    write_image(files['label'], ((rows + columns) % 19).astype(np.uint8))
    return files


def _build(config: str) -> tuple[Any, Compose]:
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    cfg = load_config(config)
    require(cfg, 'model', 'test_dataloader')
    init_default_scope('mmseg')
    preprocessor = cfg.model.get('data_preprocessor', {})
    if 'decode_head' not in cfg.model or 'enhancer' in preprocessor:
        raise ConfigError(
            f'{config} must be an mmseg segmentor without an enhancer, got '
            f'{type_name_of(cfg.model)} with {type_name_of(preprocessor)}'
        )
    cfg.model.backbone.init_cfg = None  # random weights: nothing to download
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    return model, Compose(cfg.test_dataloader.dataset.pipeline)


def _record(image: Path, label: Path) -> dict[str, Any]:
    return dict(
        img_path=str(image),
        seg_map_path=str(label),
        label_map=None,
        reduce_zero_label=False,
        seg_fields=[],
    )


def _loading(path: Path) -> Callable[[], object]:
    load = Compose([dict(type='LoadImageFromFile')])
    return lambda: load(dict(img_path=str(path)))


def _preprocessing(
    model: Any, data: dict[str, Any], weights: str | None
) -> dict[str, Callable[[], object]]:
    plain = copy.deepcopy(model.data_preprocessor)  # attach changes the model's own
    attach(model, SCIEnhancer(weights=weights))
    enhanced = model.data_preprocessor
    rgb = data['inputs'].flip(0).float().div(255).unsqueeze(0)
    return {
        PLAIN: lambda: plain(_batch(data), False),
        ENHANCED: lambda: enhanced(_batch(data), False),
        ENHANCER: lambda: enhanced.enhancer(rgb),
    }


def _batch(data: dict[str, Any]) -> dict[str, Any]:
    return dict(inputs=[data['inputs']], data_samples=[data['data_samples']])


def _windows(height: int, width: int) -> dict[str, Any]:
    size = (min(WINDOW, height), min(WINDOW, width))
    return dict(mode='slide', crop_size=size, stride=(STRIDE, STRIDE))


def _step(model: Any, data: dict[str, Any], windows: dict[str, Any] | None) -> Any:
    from mmengine.config import ConfigDict

    model.test_cfg = ConfigDict(windows or dict(mode='whole'))
    return model.test_step(_batch(data))


def _count_calls(model: Any, call: Callable[[], object]) -> tuple[int, int]:
    """How often ``call`` runs the enhancer and the backbone."""
    modules = (model.data_preprocessor.enhancer, model.backbone)
    counts = [0, 0]

    def counter(index: int) -> Callable[..., None]:
        def count(*_: Any) -> None:
            counts[index] += 1

        return count

    hooks = [module.register_forward_hook(counter(index)) for index, module in enumerate(modules)]
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return counts[0], counts[1]
