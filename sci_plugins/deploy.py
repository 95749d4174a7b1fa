"""A model with its enhancer in one ONNX file: uint8 images in, the network's raw outputs out."""

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from sci_plugins.apis.attach import detach
from sci_plugins.apis.enhance import prepare_enhancer, weight_files
from sci_plugins.errors import ConfigError, SciPluginsError, tell_cause
from sci_plugins.functional.host_image import host_to_rgb, rgb_to_host
from sci_plugins.functional.light import averages
from sci_plugins.functional.tensors import flat_tensors
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import TemporalEnhancer
from sci_plugins.models.enhancers.onnx import import_onnxruntime
from sci_plugins.models.enhancers.weight_files import file_sha256
from sci_plugins.registry import require_host
from sci_plugins.utils.files import write_atomically
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.model_parts import find_preprocessor, unwrap_model
from sci_plugins.version import __version__

TOLERANCE = 1e-4  # difference to PyTorch, relative to the largest value of an output
_SIDE = 32  # sides of traced images are multiples of it, and of the model's own divisor
_Run = Callable[[np.ndarray], list[np.ndarray]]  # uint8 images -> all outputs


class Deployable(nn.Module):
    """Enhancement, normalisation and network of a built model as one plain module.

    Images are not padded: their sides have to be multiples of :attr:`divisor`. Areas of a fill
    colour are enhanced like the rest.

    Args:
        model: of mmdet or mmseg, whose ``mode='tensor'`` needs no data samples; it is copied, with
            its enhancer, if it has one.

    Shape:
        - images: ``(N, 3, H, W)``, uint8, channels in :attr:`order`
        - output: the tensors of ``mode='tensor'``, flattened in order

    Raises:
        ConfigError: if the model has no data preprocessor of mmdet's or mmseg's kind.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        preprocessor: Any = find_preprocessor(model)
        if not hasattr(preprocessor, '_enable_normalize'):
            name, got = type(unwrap_model(model)).__name__, type(preprocessor).__name__
            wish = 'a data preprocessor that normalises as mmdet or mmseg do'
            raise ConfigError(f'cannot export {name}: expected {wish}, got {got}')
        enhanced = isinstance(preprocessor, EnhancementMixin)
        self.order: str = preprocessor.input_order if enhanced else 'bgr'
        self.enhancer = copy.deepcopy(preprocessor.enhancer) if enhanced else nn.Identity()
        flips = ('_channel_conversion', 'channel_conversion')
        self.flips = any(getattr(preprocessor, name, False) for name in flips)
        divisors = ('pad_size_divisor', 'size_divisor')
        self.divisor = max(int(getattr(preprocessor, name, None) or 1) for name in divisors)
        own = preprocessor._enable_normalize
        for name, plain in (('mean', torch.zeros(3, 1, 1)), ('std', torch.ones(3, 1, 1))):
            self.register_buffer(name, getattr(preprocessor, name).clone() if own else plain)
        # A copy, which no longer warns that its preprocessor is left out.
        self.network = detach(copy.deepcopy(unwrap_model(model)))
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = rgb_to_host(self.enhancer(host_to_rgb(images, self.order)), self.order)
        pixels = pixels.flip(1) if self.flips else pixels
        pixels = (pixels - self.mean) / self.std
        return tuple(flat_tensors(self.network(pixels, None, mode='tensor')))


class _EnhancerAlone(nn.Module):
    """uint8 images in, enhanced ones on the same scale and in the same order out, float32."""

    divisor = 1

    def __init__(self, enhancer: nn.Module, order: str) -> None:
        super().__init__()
        self.enhancer, self.order = enhancer, order

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (rgb_to_host(self.enhancer(host_to_rgb(images, self.order)), self.order),)


def deployable_enhancer(enhancer: Any, order: str = 'bgr') -> nn.Module:
    """An enhancer alone, to stand in front of any other model's file.

    Args:
        enhancer: whatever :func:`build_enhancer` takes.
        order: ``'bgr'`` or ``'rgb'``, of the images that come in and go out.

    Raises:
        ConfigError: if an argument is unknown.
    """
    if order not in ('bgr', 'rgb'):
        raise ConfigError(f"order must be 'bgr' or 'rgb', got {order!r}")
    return _EnhancerAlone(prepare_enhancer(enhancer), order)


def export_onnx(
    module: Any,
    path: PathLike,
    *,
    size: tuple[int, int] | None = None,
    about: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write a :class:`Deployable` or :func:`deployable_enhancer` as ONNX, and check the file.

    ONNX Runtime, and OpenVINO where it is installed, have to give PyTorch's numbers at two sizes
    and two batch sizes, as far as the file takes them; else nothing is written. Returns lines that
    say what was written and how exact it is.

    Args:
        module: in eval mode.
        path: of the file.
        size: height and width of tracing, which count where the network fixes its size; ``None``:
            small ones.
        about: further entries of the file's metadata; all are JSON.

    Raises:
        ConfigError: if the model cannot be exported, or the file gives other numbers.
        MissingDependencyError: without ``onnx``, ``onnxscript`` or ``onnxruntime``.
    """
    for package in ('onnx', 'onnxscript', 'onnxruntime'):
        require_host('export', package, 'deploy')
    step = int(np.lcm(_SIDE, module.divisor))
    height, width = size or (4 * step, 5 * step)
    if height % module.divisor or width % module.divisor or min(height, width) < 1:
        raise ConfigError(f'size must be multiples of {module.divisor}, got {height} {width}')
    proto = _translate(module, _images(2, height, width))
    _describe(proto, module, about or {})
    content = proto.SerializeToString()
    dims = [each.dim_value for each in proto.graph.input[0].type.tensor_type.shape.dim]
    lines = list(_check(module, content, dims, (height, width), step))
    write_atomically(path, content)
    shown = [str(value or name) for value, name in zip(dims, 'N3HW', strict=True)]
    return [f'{path}: uint8 {"x".join(shown)}, {len(content) / 1e6:.1f} MB', *lines]


def _images(count: int, height: int, width: int) -> Tensor:
    """Dark photographs' histogram, without anything regular in it."""
    noise = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return noise.square().mul(120).byte()


def _translate(module: Any, images: Tensor) -> Any:
    name = type(getattr(module, 'network', module.enhancer)).__name__
    if any(isinstance(part, TemporalEnhancer) for part in module.modules()):
        why = 'it remembers frames, which no graph of ONNX does'
        raise ConfigError(f'cannot export TemporalEnhancer: {why}; export what it steadies')
    try:
        with torch.no_grad():
            count = len(module(images))
    except SciPluginsError:
        raise
    except Exception as error:
        told = 'its raw outputs need data samples, as those of two-stage detectors and DETRs do'
        raise ConfigError(f'cannot export {name}: {told} ({tell_cause(error)})') from error
    if not count:
        raise ConfigError(f"cannot export {name}: its mode='tensor' gives no tensors")
    try:
        with warnings.catch_warnings(), patch('torch.nn.functional.adaptive_avg_pool2d', _pool):
            warnings.simplefilter('ignore')
            shapes = (dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO),)
            how: Any = dict(dynamo=True, dynamic_shapes=shapes, optimize=False, verbose=False)
            how['output_names'] = [f'output_{index}' for index in range(count)]
            program = torch.onnx.export(module, (images,), input_names=['images'], **how)
    except Exception as error:  # the exporter has many
        cause = tell_cause(error.__cause__ or error)
        raise ConfigError(f'cannot export {name}: {cause}') from error
    from onnxscript import optimizer

    # Not all of onnxscript's rules: one takes a summand of 1e-8 or less for nothing.
    for step in (optimizer.inline, optimizer.fold_constants, optimizer.remove_unused_nodes):
        step(program.model)  # type: ignore[union-attr]
    return program.model_proto  # type: ignore[union-attr]


def _pool(image: Tensor, output_size: Any) -> Tensor:
    """Adaptive pooling as products of matrices: PyTorch's own is traced for one size."""
    counts = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    sides = zip(image.shape[-2:], counts, strict=True)
    down, across = (averages(image, side, side if n is None else n) for side, n in sides)
    return down @ image @ across.T


def _describe(proto: Any, module: Any, about: Mapping[str, Any]) -> None:
    facts = dict(sci_plugins=__version__, enhancer=type(module.enhancer).__name__, **about)
    facts |= dict(order=module.order, divisor=module.divisor)
    if isinstance(module, Deployable):
        facts |= {name: getattr(module, name).flatten().tolist() for name in ('mean', 'std')}
    for key, value in facts.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)


def _check(
    module: nn.Module, content: bytes, dims: list[int], size: tuple[int, int], step: int
) -> Iterator[str]:
    other = (size[0] + 2 * step, size[1] - step) if size[1] > step else (size[0], size[1] + step)
    shapes = [(n, *each) for n in ({dims[0]} if dims[0] else {1, 2}) for each in (size, other)]
    shapes = [s for s in shapes if all(d in (0, v) for d, v in zip(dims[2:], s[1:], strict=True))]
    inputs = [_images(*shape) for shape in shapes]
    with torch.no_grad():
        wanted = [each.numpy() for images in inputs for each in module(images)]
    told = ', '.join('x'.join(map(str, shape)) for shape in shapes)
    for runtime, load in runtimes().items():
        try:
            run = load(content)
            found = [each for images in inputs for each in run(images.numpy())]
        except Exception as error:
            cause = tell_cause(error)
            raise ConfigError(f'{runtime} cannot run the file at {told}: {cause}') from error
        if len(found) != len(wanted):
            raise ConfigError(f'{runtime}: expected {len(wanted)} outputs, got {len(found)}')
        worst = float(np.max(list(map(difference, found, wanted))))  # NaN stays NaN
        if not worst <= TOLERANCE:
            apart = f'{worst:.1e} of the largest value, more than {TOLERANCE:g}'
            raise ConfigError(f'not written: {runtime} differs from PyTorch by {apart}')
        yield f'{runtime}: at most {worst:.1e} from PyTorch, relative, at {told}'


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference of two outputs, relative to the largest value that is wanted."""
    if found.shape != wanted.shape:
        return float('inf')
    scale = max(float(np.abs(wanted).max(initial=0)), 1e-12)
    return float(np.abs(found - wanted).max(initial=0)) / scale


def runtimes() -> dict[str, Callable[..., _Run]]:
    """What runs a file here: name -> ``load(content, threads=0)``; 0 threads: its own number.

    What is loaded takes uint8 images ``(N, 3, H, W)`` and gives all outputs.
    """
    found: dict[str, Callable[..., _Run]] = {'ONNX Runtime': load_onnxruntime}
    return found | ({'OpenVINO': load_openvino} if find_spec('openvino') else {})


def load_onnxruntime(content: bytes, threads: int = 0) -> _Run:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry('session.force_spinning_stop', '1')  # for who computes next
    session = onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])
    return lambda images: session.run(None, {'images': images})


def load_openvino(content: bytes, threads: int = 0, precision: str = 'f32') -> _Run:
    """Not in OpenVINO's own precision: bfloat16, where the processor has it, is 3e-3 away."""
    import openvino

    core = openvino.Core()
    hints = {'INFERENCE_PRECISION_HINT': precision, 'INFERENCE_NUM_THREADS': threads}
    compiled = core.compile_model(core.read_model(content), 'CPU', hints)
    return lambda images: list(compiled(images).values())


def about_files(enhancer: Any, checkpoint: str | None = None) -> dict[str, str]:
    """Metadata: names and hashes of the files of an enhancer, if any, and of the network."""
    found = {} if checkpoint is None else dict(checkpoint_sha256=file_sha256(Path(checkpoint)))
    if isinstance(enhancer, str):
        found['enhancer_name'] = enhancer
    for path in weight_files(enhancer):
        found |= dict(weights=path.name, weights_sha256=file_sha256(path))
    return found
