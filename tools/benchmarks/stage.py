"""Time of the whole preprocessing and its share of a detector's test step."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks.enhancer import unfused
from benchmarks.timing import Timing, threads_set_to, time_in_turn, to_table
from sci_plugins.apis.attach import attach
from sci_plugins.apis.config import load_config
from sci_plugins.errors import check_at_least
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.registry import require_host
from sci_plugins.utils.machine import describe_machine, machine_line

DETECTOR = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
PLAIN, ENHANCED, STEP = 'preprocessing, plain', 'preprocessing, SCI', 'test step, SCI'
UNFUSED = 'preprocessing, SCI, PyTorch alone'


@dataclass(frozen=True)
class StageResult:
    """Times of preprocessing without and with SCI and of the test step, and the shares."""

    machine: dict[str, Any]
    shape: tuple[int, int]
    detector: str
    timings: dict[str, Timing]
    share: float
    ratio: float
    added_share: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        height, width = self.shape
        return '\n'.join(
            [
                machine_line(self.machine),
                f'{self.detector}, random weights, one uint8 image {height}x{width}',
                to_table(self.timings),
                f'preprocessing with SCI is {self.share:.2%} of a test step '
                f'(SCI alone adds {self.added_share:.2%}), '
                f'{self.ratio:.1f} times faster than by PyTorch alone in CPU time',
            ]
        )


def benchmark_stage(
    height: int = 800,
    width: int = 1333,
    threads: int = 2,
    runs: int = 7,
    weights: str | None = None,
) -> StageResult:
    """Time uint8 image -> normalised, padded float batch -> RetinaNet-R50.

    Args:
        height, width: size of the image in pixels.
        threads: CPU threads.
        runs: measured rounds.
        weights: weights of SCI, as in :class:`SCIEnhancer`; random ones if ``None``.

    Raises:
        ConfigError: if a number is below 1 or the weights are not known.
        MissingDependencyError: if mmdet is not installed.
    """
    check_at_least(1, most=100_000, height=height, width=width, threads=threads, runs=runs)
    require_host('the benchmark of the preprocessing stage', 'mmdet')
    with torch.no_grad(), threads_set_to(threads):
        timings = time_in_turn(_calls(height, width, weights), runs)
        machine = describe_machine()
    step = timings[STEP].median_ms
    stage = timings[ENHANCED].median_ms
    return StageResult(
        machine=machine,
        shape=(height, width),
        detector=DETECTOR,
        timings=timings,
        share=stage / step,
        ratio=timings[UNFUSED].cpu_ms / timings[ENHANCED].cpu_ms,
        added_share=(stage - timings[PLAIN].median_ms) / step,
    )


def _calls(height: int, width: int, weights: str | None) -> dict[str, Callable[[], object]]:
    model = _build_detector()
    plain = copy.deepcopy(model.data_preprocessor)
    attach(model, SCIEnhancer(weights=weights))
    source = torch.Generator().manual_seed(0)
    image = torch.randint(0, 80, (3, height, width), dtype=torch.uint8, generator=source)
    data = {'inputs': [image], 'data_samples': [_sample(height, width)]}
    return {
        PLAIN: lambda: plain(dict(data), False),
        ENHANCED: lambda: model.data_preprocessor(dict(data), False),
        UNFUSED: unfused(lambda: model.data_preprocessor(dict(data), False)),
        STEP: lambda: model.test_step(dict(data)),
    }


def _build_detector() -> Any:
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    cfg = load_config(DETECTOR)
    cfg.model.backbone.init_cfg = None  # random weights: nothing to download
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    # RetinaNet's initial bias, so that hardly anything is detected: many boxes would slow the test
    # step down and make the share look smaller.
    torch.nn.init.constant_(model.bbox_head.retina_cls.bias, -4.6)
    return model.eval()


def _sample(height: int, width: int) -> Any:
    from mmdet.structures import DetDataSample

    size = (height, width)
    meta = {'img_shape': size, 'ori_shape': size, 'scale_factor': (1.0, 1.0), 'img_id': 0}
    return DetDataSample(metainfo=meta)
