"""Latency of exported files in ONNX Runtime and OpenVINO, against PyTorch's own path."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from torch import Tensor

from benchmarks.timing import Timing, threads_set_to, time_in_turn
from sci_plugins.apis.attach import attach
from sci_plugins.apis.config import load_config
from sci_plugins.deploy import (
    Deployable,
    deployable_enhancer,
    difference,
    export_onnx,
    flat_tensors,
    load_openvino,
    runtimes,
)
from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.kernels.sci_fused import KINDS, PASSES, make
from sci_plugins.registry import MODELS, require_host, scope_of
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.machine import describe_machine, machine_line

PYTORCH = 'PyTorch'
Call = Callable[[], list[Any]]


class Case(NamedTuple):
    """An enhancer, alone or in front of a host's model, at a size (height, width)."""

    enhancer: str
    size: tuple[int, int]
    config: str | None = None


_YOLOX = str(Path(__file__).parents[2] / 'configs/coco/yolox-nano_published_coco-80.py')
_FAST_SCNN = 'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'
CASES: Mapping[str, Case] = {
    'SCI': Case('sci/sci_plugins/lol', (720, 1080)),
    'adaptive': Case('adaptive', (720, 1080)),
    'YOLOX-nano, SCI': Case('sci/sci_plugins/lol', (416, 416), _YOLOX),
    'YOLOX-nano, adaptive': Case('adaptive', (416, 416), _YOLOX),
    'Fast-SCNN, SCI': Case('sci/sci_plugins/lol', (512, 1024), _FAST_SCNN),
    'Fast-SCNN, adaptive': Case('adaptive', (512, 1024), _FAST_SCNN),
}


@dataclass(frozen=True)
class ExportResult:
    """Times of one uint8 image by case and runtime, and largest differences to PyTorch.

    ``differences`` are relative to the largest value of an output, ``ratios`` of a runtime's median
    wall time to PyTorch's, ``cpu_ratios`` of its CPU time.
    """

    machine: dict[str, Any]
    sizes: dict[str, tuple[int, int]]
    timings: dict[str, dict[str, Timing]]
    differences: dict[str, dict[str, float]]
    ratios: dict[str, dict[str, float]]
    cpu_ratios: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        head = ('case', 'by', 'median', 'ratio', 'CPU time', 'CPU ratio', 'difference')
        rows = [self._row(case, runtime) for case, each in self.timings.items() for runtime in each]
        title = 'one uint8 image to raw outputs, float32 but where it says otherwise'
        return '\n'.join([machine_line(self.machine), title, text_table(head, rows)])

    def _row(self, case: str, runtime: str) -> tuple[object, ...]:
        timing = self.timings[case][runtime]
        height, width = self.sizes[case]
        first = runtime == PYTORCH
        return (
            f'{case} {height}x{width}' if first else '',
            runtime,
            f'{timing.median_ms:,.1f} ms',
            f'{self.ratios[case][runtime]:.2f}',
            f'{timing.cpu_ms:,.1f} ms',
            f'{self.cpu_ratios[case][runtime]:.2f}',
            '' if first else f'{self.differences[case][runtime]:.1e}',
        )


def benchmark_export(
    threads: int = 2, runs: int = 20, cases: Mapping[str, Case] = CASES, only: str = ''
) -> ExportResult:
    """Export each case, and time its file and PyTorch in turn on a random dark image.

    PyTorch's path is what a user without files has: the enhancer as it is, the model's own data
    preprocessor and ``mode='tensor'``. OpenVINO is measured where it is installed; in bfloat16
    too, which is its own choice, where the processor has that.

    Args:
        threads: CPU threads, of each.
        runs: measured rounds.
        cases: to measure; models get random weights.
        only: measure those cases whose name contains it.

    Raises:
        ConfigError: if a number is below 1, no case has such a name, or a file gives other numbers.
        MissingDependencyError: without a host, or what exporting needs.
    """
    check_at_least(1, most=100_000, threads=threads, runs=runs)
    chosen = {name: case for name, case in cases.items() if only in name}
    if not chosen:
        raise ConfigError(f'expected only to be in one of {list(cases)}, got {only!r}')
    for host in ('mmdet', 'mmseg'):
        require_host('the benchmark of exported files', host)
    timings: dict[str, dict[str, Timing]] = {}
    differences: dict[str, dict[str, float]] = {}
    make(*KINDS, PASSES)
    with torch.no_grad(), threads_set_to(threads):
        for name, case in chosen.items():
            calls = _calls(case, threads)
            wanted, *others = (call() for call in calls.values())
            worst = [max(map(difference, found, wanted)) for found in others]
            differences[name] = dict(zip(list(calls)[1:], worst, strict=True))
            timings[name] = time_in_turn(calls, runs)
        machine = describe_machine()
    sizes = {name: case.size for name, case in chosen.items()}
    ratios = _ratios(timings, 'median_ms'), _ratios(timings, 'cpu_ms')
    return ExportResult(machine, sizes, timings, differences, *ratios)


def _ratios(timings: dict[str, dict[str, Timing]], which: str) -> dict[str, dict[str, float]]:
    return {
        name: {
            key: getattr(one, which) / getattr(each[PYTORCH], which) for key, one in each.items()
        }
        for name, each in timings.items()
    }


def _calls(case: Case, threads: int) -> dict[str, Call]:
    """PyTorch's path and each runtime's, from the same pixels to arrays."""
    noise = torch.rand(1, 3, *case.size, generator=torch.Generator().manual_seed(0))
    images = noise.square().mul(120).byte()
    if case.config is None:
        module = deployable_enhancer(case.enhancer)
        path: Callable[[Tensor], Any] = module
    else:
        model = attach(_build(case.config), case.enhancer)
        module, path = Deployable(model), partial(_test_step, model)
    content = _export(module)
    loads = dict(runtimes())
    if find_spec('openvino') and _has_bfloat16():
        loads['OpenVINO, bfloat16'] = partial(load_openvino, precision='bf16')
    pixels = images.numpy()
    calls: dict[str, Call] = {PYTORCH: lambda: [each.numpy() for each in path(images)]}
    return calls | {name: partial(load(content, threads), pixels) for name, load in loads.items()}


def _build(config: str) -> Any:
    """A host's model with random weights."""
    cfg = load_config(config)
    for part in ('backbone', 'neck', 'decode_head', 'bbox_head'):
        (cfg.model.get(part) or {}).pop('init_cfg', None)  # nothing to download
    init_default_scope(scope_of(cfg))
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval()


def _test_step(model: Any, images: Tensor) -> list[Tensor]:
    samples = [BaseDataElement() for _ in images]  # mmseg's notes the padding in them
    data = model.data_preprocessor(dict(inputs=list(images), data_samples=samples), False)
    return list(flat_tensors(model(data['inputs'], None, mode='tensor')))


def _export(module: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        export_onnx(module, path)
        return path.read_bytes()


def _has_bfloat16() -> bool:
    import openvino

    return 'BF16' in openvino.Core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
