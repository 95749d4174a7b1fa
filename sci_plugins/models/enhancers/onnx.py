"""Networks in ONNX files, run by ONNX Runtime on the CPU; any enhancer as one."""

import os
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sci_plugins.errors import CheckpointError, ConfigError, first_line
from sci_plugins.models.enhancers.base import BaseEnhancer
from sci_plugins.models.enhancers.weight_files import file_sha256
from sci_plugins.registry import MODELS, require_host
from sci_plugins.utils.folders import PathLike


def import_onnxruntime() -> Any:
    """ONNX Runtime, without the thread that sends usage to its makers.

    From 1.29 on Linux and macOS it begins with the import, and has crashed processes (its issue
    32173). Set ``ORT_DISABLE_TELEMETRY`` yourself to decide otherwise.
    """
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    return import_module('onnxruntime')


class OnnxNetwork:
    """An ONNX file with a single input, a batch of images; copied and pickled by its path.

    Error messages name its ``owner``, and ``advice`` where there is no such file. These are
    MissingDependencyError or FileNotFoundError if onnxruntime or the file is missing, and
    CheckpointError if it is not an ONNX file, or has several inputs.
    """

    def __init__(self, path: PathLike, owner: str, advice: str = '') -> None:
        require_host(owner, 'onnxruntime', 'onnx')
        self.path, self.owner = Path(os.path.expanduser(path)), owner
        if not self.path.is_file():
            raise FileNotFoundError(f'{owner}: there is no ONNX file {self.path}{advice}')
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ', '.join(each.name for each in inputs)
            raise CheckpointError(f'{self.path}: expected one input, got {names}')
        self.input_shape: list[Any] = inputs[0].shape

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs of :meth:`run`."""
        return [each.name for each in self._session.get_outputs()]

    def run(self, batch: Tensor) -> dict[str, Tensor]:
        """The network's outputs by name, float32, without gradients, on the device of ``batch``.

        Raises ConfigError if the file was exported for another size of ``batch``, ``(N, C, H, W)``.
        """
        shape = tuple(batch.shape)
        fixed = zip(self.input_shape, shape, strict=True)
        if any(isinstance(size, int) and size != found for size, found in fixed):
            told = f'accepts only batches of shape {tuple(self.input_shape)}, got {shape}'
            raise ConfigError(f'{self.owner}: {self.path.name} {told}')
        array = np.ascontiguousarray(batch.detach().cpu().float().numpy())
        outputs = self._session.run(None, {self._session.get_inputs()[0].name: array})
        pairs = zip(self.output_names, outputs, strict=True)
        return {name: torch.from_numpy(value).to(batch.device) for name, value in pairs}

    @cached_property
    def _session(self) -> Any:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        # By default onnxruntime uses all cores, whatever OMP_NUM_THREADS says.
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            return onnxruntime.InferenceSession(str(self.path), options, ['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime has one class for each cause
            told = f'is damaged or not an ONNX file: {first_line(error)}'
            raise CheckpointError(f'{self.path} {told}') from error

    def __getstate__(self) -> dict[str, Any]:
        # A session belongs to its process; a copy opens its own.
        return {name: value for name, value in vars(self).items() if name != '_session'}


@MODELS.register_module()
class OnnxEnhancer(BaseEnhancer):
    """An enhancer in an ONNX file, run by ONNX Runtime on the CPU.

    The file ``weights``, best exported with dynamic sizes, takes one input, RGB images ``(N, 3, H,
    W)``, float32, [0, 1], and its first output is the enhanced images in the same form; what is
    outside [0, 1] is clamped. Images go in one by one. It has no gradients to train through.

    Raises:
        MissingDependencyError, FileNotFoundError: if onnxruntime or the file is missing.
        CheckpointError: if it is not such a file; later also if it gives something else or NaN.
        ConfigError: for images of another size than the file was exported for.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.network = OnnxNetwork(weights, type(self).__name__)
        shape = self.network.input_shape
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            wish = 'an input of shape (N, 3, H, W)'
            raise CheckpointError(f'{weights}: expected {wish}, got {tuple(shape)}')
        #: Of the file: another one is another enhancer.
        self.sha256 = file_sha256(self.network.path)

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if image.numel() == 0:
            return image
        return torch.cat([self._enhance_one(each[None]) for each in image])

    def _enhance_one(self, image: Tensor) -> Tensor:
        enhanced = next(iter(self.network.run(image).values()))
        if enhanced.shape != image.shape:
            shapes = f'{tuple(image.shape)}, got {tuple(enhanced.shape)}'
            raise CheckpointError(f'{self.network.path}: expected an output of shape {shapes}')
        if not bool(enhanced.isfinite().all()):
            raise CheckpointError(f'{self.network.path}: the output holds NaN or infinite values')
        return enhanced.clamp(0, 1).to(image)

    def extra_repr(self) -> str:
        return self.network.path.name
