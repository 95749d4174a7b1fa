"""SCI's estimator on a CPU in one pass over the image: machine code made by LLVM when first needed.

Two rows of each layer are computed at once, from rows of the layer before that lie in the
first-level cache, so each pixel is read and written once. Everything is written in vectors: nothing
depends on a compiler finding them. Making the code takes a third of a second; it is kept in the
cache folder. Until it is there, and without llvmlite (extra ``fast``), PyTorch computes. On a GPU,
:mod:`.sci_triton` does, where there is Triton. ``SCI_PLUGINS_FUSED=0`` turns both off.
"""

import ctypes
import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from math import e, log2
from pathlib import Path
from threading import Lock, Thread
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sci_plugins.functional.conv3x3 import Conv
from sci_plugins.utils.files import cache_folder, write_atomically

SWITCH = 'SCI_PLUGINS_FUSED'  #: set to 0: never use this
MIN_PIXELS = 2**16  #: fewer pixels are not worth the thread that makes the code
_OLDEST = (0, 45)
_COLUMNS = (96, 192)  #: columns of a tile: its rows fit into a first-level cache of 32 to 48 KB
ROWS = 3 * (6 + 4 + 4)  #: of a work buffer: of 3 channels 6 of the image, 4 and 4 of features
MARGIN = 16
_POINTERS = ('source', 'target', 'weights', 'work')
_SIZES = ('height', 'width', 'blocks', 'top', 'bottom')
STRIDES = ('source_plane', 'source_row', 'target_plane', 'target_row')
ARGUMENTS = (*_POINTERS, *_SIZES, *STRIDES)
#: Of functions: names of the pointers and of the integers of each.
Table = Mapping[str, tuple[Sequence[str], Sequence[str]]]


class Layout(NamedTuple):
    """8 bits or floats a value; channels of a pixel side by side, or in planes."""

    is_bytes: bool
    is_mixed: bool


class Kind(NamedTuple):
    """What SCI's kernel reads and writes."""

    source: Layout
    target: Layout

    def table(self) -> Table:
        return {'sci': (_POINTERS, ARGUMENTS[4:])}

    def write(self, block: int) -> str:
        """The code in LLVM's language, for vectors of ``block``."""
        from sci_plugins.functional.kernels.sci_code import Emitter

        return Emitter(self, block).emit()


FLOATS = Kind(Layout(False, False), Layout(False, False))
BYTES_TO_FLOATS = Kind(Layout(True, False), Layout(False, False))
BYTES = Kind(Layout(True, True), Layout(True, True))
KINDS = (FLOATS, BYTES_TO_FLOATS, BYTES)


class Passes(NamedTuple):
    """Passes over an image, of the modules ``NAME_fused`` and ``NAME_code``."""

    name: str

    def table(self) -> Table:
        return import_module(f'{__package__}.{self.name}_fused').FUNCTIONS

    def write(self, block: int) -> str:
        code = import_module(f'{__package__}.{self.name}_code').Code
        return code(min(block, 16)).write(self.table())  # more would not fit into the registers


PASSES, TRAINING = Passes('noise'), Passes('train')  #: of the adaptive stage, and of training
Code = Kind | Passes


class Kernel:
    """Machine code for this CPU, from the cache folder or made now, or for one in LLVM's words."""

    def __init__(self, kind: Code, cpu: str = '', features: str = '') -> None:
        from llvmlite import binding

        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features = features if cpu else binding.get_host_cpu_features().flatten()
        # Six sums of two registers each, where there are 32; else of one.
        self.block = 32 if '+avx512f' in features else 8
        machine = binding.Target.from_default_triple().create_target_machine(
            cpu=cpu or binding.get_host_cpu_name(), features=features, opt=3, jit=True
        )
        code = None if cpu else _read_code(kind)
        if code is None:
            code = machine.emit_object(binding.parse_assembly(kind.write(self.block)))
            if not cpu:
                _keep_code(kind, code)
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(''), machine)
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self._functions = {}
        for name, (pointers, sizes) in kind.table().items():
            function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len((*pointers, *sizes)))
            self._functions[name] = function(self._engine.get_function_address(name))

    def __call__(self, source: Tensor, target: Tensor, weights: Tensor, turned: bool) -> None:
        """Fill ``target``, ``turned``: with channels backwards; ``weights`` are of :func:`pack`.

        Both images are ``(N, 3, H, W)`` in the kind's layouts, with at least ``block`` columns.
        """
        height, width = source.shape[2:]
        blocks, threads = self._blocks_of_tile(width), torch.get_num_threads()
        plane, start = target.stride(1), target.data_ptr()
        if turned:
            plane, start = -plane, start + 2 * plane * target.element_size()
        step = target.stride(0) * target.element_size()
        rows = height if threads == 1 else max(16, -(-height // (2 * threads)))

        def run(image: int, top: int) -> None:
            stride = (blocks + 1) * self.block + 3 * MARGIN
            work = source.new_zeros(stride * (ROWS + 2) + 2 * MARGIN, dtype=torch.float32)
            self._functions['sci'](
                *(source[image].data_ptr(), start + image * step),
                *(weights.data_ptr(), work.data_ptr(), height, width, blocks),
                *(top, min(top + rows, height), source.stride(1), source.stride(2)),
                *(plane, target.stride(2)),
            )

        parts = [(image, top) for image in range(len(source)) for top in range(0, height, rows)]
        _in_threads(run, parts)

    def share(self, name: str, rows: int, *arguments: Tensor | int, work: int = 0) -> None:
        """Call a function of a buffer of ``work`` floats, if any, these and each thread's rows."""
        numbers = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]
        step = -(-rows // torch.get_num_threads())

        def run(top: int, bottom: int) -> None:
            buffer = torch.empty(work, dtype=torch.float32, device='cpu')
            own = [buffer.data_ptr()] if work else []
            self._functions[name](*own, *numbers, top, bottom)

        _in_threads(run, [(top, min(top + step, rows)) for top in range(0, rows, step)])

    def _blocks_of_tile(self, width: int) -> int:
        """Tiles of equal width that compute as few columns as possible."""
        least, most = (limit // self.block for limit in _COLUMNS)
        whole = -(-(width + 4) // self.block)
        return min(
            range(min(least, whole), min(most, whole) + 1),
            key=lambda blocks: (-(-width // (blocks * self.block - 4)) * blocks, blocks),
        )


def _in_threads(run: Callable[..., None], parts: Sequence[tuple[int, int]]) -> None:
    if len(parts) == 1 or torch.get_num_threads() == 1:
        for part in parts:
            run(*part)
    else:
        list(_pool(torch.get_num_threads(), os.getpid()).map(run, *zip(*parts, strict=True)))


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix='sci_fused')


def _code_file(kind: Code) -> Path:
    import llvmlite
    from llvmlite import binding

    machine = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    facts = repr((kind, machine, binding.get_process_triple(), llvmlite.__version__))
    digest = hashlib.sha256(facts.encode())
    for path in sorted(Path(__file__).parent.glob('*.py')):
        digest.update(path.read_bytes())
    return cache_folder() / 'fused' / digest.hexdigest()[:32]


def _read_code(kind: Code) -> bytes | None:
    """What :func:`_keep_code` has kept, if it is whole."""
    with suppress(OSError):
        content = _code_file(kind).read_bytes()
        if hashlib.sha256(content[32:]).digest() == content[:32]:
            return content[32:]
    return None


def _keep_code(kind: Code, code: bytes) -> None:
    with suppress(OSError):  # a folder that cannot be written to: it is made in each process
        write_atomically(_code_file(kind), hashlib.sha256(code).digest() + code)


_made: dict[Code, Kernel | None] = {}
_asked: set[Code] = set()
_lock = Lock()


def _after_fork() -> None:
    """LLVM may have been at work in a thread that does not exist here: take only what is made."""
    global _lock
    if _lock.locked():
        for kind in (*KINDS, PASSES, TRAINING):
            _made.setdefault(kind, None)
    _lock = Lock()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_after_fork)


def is_on() -> bool:
    """Whether llvmlite is there and new enough, and nobody has turned this off."""
    return os.environ.get(SWITCH) != '0' and _has_llvmlite()


@lru_cache(maxsize=1)
def _has_llvmlite() -> bool:
    try:
        import llvmlite
    except ImportError:  # the extra `fast`
        return False
    return tuple(map(int, llvmlite.__version__.split('.')[:2])) >= _OLDEST


def make(*kinds: Code) -> None:
    """Have kernels ready when this returns: then the same call always gives the same bits."""
    with _lock:
        for kind in kinds if is_on() else ():
            if kind not in _made:
                try:
                    _made[kind] = Kernel(kind)
                except Exception as error:  # an odd processor, say: PyTorch computes
                    _made[kind] = None
                    logging.getLogger(__name__).warning('no fused kernel: %s', error)


def find(kind: Code) -> Kernel | None:
    """The kernel if it is there, or in the cache folder; else a thread begins to make it."""
    if kind not in _made and is_on() and kind not in _asked:
        _asked.add(kind)
        if _read_code(kind) is not None:
            make(kind)
        else:
            with suppress(RuntimeError):  # Python is ending
                Thread(target=make, args=(kind,)).start()
    return _made.get(kind) if is_on() else None


def pack(layers: Sequence[Conv], scale: Any = 1.0, shift: Any = 0.0, bgr: bool = False) -> Tensor:
    """Weights as a kernel reads them; the results are ``scale * y + shift``.

    Args:
        layers: three of three channels each, BatchNorm folded.
        scale, shift: a number, or three, in the order of the image's channels.
        bgr: whether the image is BGR: then the layers' ends are turned around.
    """
    first, block, last = layers
    if bgr:
        first = Conv(first.weight.flip(1), first.bias)
        last = Conv(last.weight.flip(0), last.bias.flip(0))
    base = -log2(e)  # the sigmoid is 1 / (1 + 2 ** (base * z))
    ends = [
        (each.float() if isinstance(each, Tensor) else first.bias.new_full((), each)).expand(3)
        for each in (scale, shift)
    ]
    layers = [first, block, Conv(last.weight * base, last.bias * base)]
    parts = [part for c in layers for part in (c.weight.permute(1, 3, 2, 0).reshape(-1), c.bias)]
    return torch.cat([*parts, *ends])


def enhance_fused(
    source: Tensor, target: Tensor, layers: Sequence[Conv], turned: bool = False, **how: Any
) -> bool:
    """Fill ``target`` with enhanced images, if there is a kernel for them; whether that was done.

    On a CPU not for small images, nor if a weight is out of all proportion.

    Args:
        source: ``(N, 3, H, W)``: float32 in [0, 1] or uint8 in planes, or uint8 with channels last.
        target: as large; float32 in planes, or uint8, truncated, where the source has channels
            last. On a GPU any of these, in any layout.
        layers, how: see :func:`pack`; ``scale`` is 255 for uint8.
        turned: whether the target's channels are the source's backwards; on a CPU of planes alone.
    """
    number, _, height, width = source.shape
    if _is_on_gpu(source):
        is_wanted = _gpu_computes and os.environ.get(SWITCH) != '0'
        return is_wanted and _enhance_on_gpu(source, target, pack(layers, **how), turned)
    kind = Kind(_layout(source), _layout(target))
    if kind not in KINDS or (turned and kind.target.is_mixed):
        return False
    if width < 32 or number * height * width < MIN_PIXELS:
        return False
    kernel = find(kind)
    if kernel is None:
        return False
    weights = pack(layers, **how)
    fits = bool(weights.abs().max() < 1e6)  # not for NaN, which bytes could not show
    if fits:
        kernel(source, target, weights, turned)
    return fits


def _is_on_gpu(image: Tensor) -> bool:
    return image.is_cuda and type(image) is Tensor


_gpu_computes = True


def _enhance_on_gpu(*call: Any) -> bool:
    global _gpu_computes
    try:
        from sci_plugins.functional.kernels.sci_triton import enhance

        return enhance(*call)
    except Exception as error:  # no Triton or no compiler, an old GPU: PyTorch computes
        _gpu_computes = False
        if not isinstance(error, ImportError):
            logging.getLogger(__name__).warning('no fused kernel on the GPU: %s', error)
        return False


def _layout(image: Tensor) -> Layout:
    is_mixed = image.stride(3) == 3 and image.stride(1) == 1
    is_known = image.device.type == 'cpu' and (is_mixed or image.stride(3) == 1)
    is_byte = {torch.uint8: True, torch.float32: False}.get(image.dtype)
    return Layout(is_byte, is_mixed) if is_known else None  # type: ignore[arg-type, return-value]
