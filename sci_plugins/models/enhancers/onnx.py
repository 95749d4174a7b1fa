"""Any enhancer from an ONNX file: what other frameworks export."""

import torch
from torch import Tensor

from sci_plugins.errors import CheckpointError
from sci_plugins.models.enhancers.base import BaseEnhancer
from sci_plugins.models.enhancers.weight_files import file_sha256
from sci_plugins.models.onnx_network import OnnxNetwork
from sci_plugins.registry import MODELS


@MODELS.register_module()
class OnnxEnhancer(BaseEnhancer):
    """An enhancer in an ONNX file, run by ONNX Runtime on the CPU.

    The file takes one input, RGB images ``(N, 3, H, W)``, float32, [0, 1], and its first output is
    the enhanced images in the same form; what is outside [0, 1] is clamped. Images go in one by
    one. No gradients: nothing can be trained through it.

    Args:
        weights: path of the file, best exported with dynamic sizes.

    Raises:
        MissingDependencyError: if onnxruntime is not installed.
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is not an ONNX file, or takes something else than RGB images; when
            images are enhanced, also if it gives something else, NaN or infinite values.
        ConfigError: when images are enhanced that have another size than the file was exported for.
    """

    def __init__(self, weights: str) -> None:
        super().__init__()
        self.network = OnnxNetwork(weights, type(self).__name__)
        shape = self.network.input_shape
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            raise CheckpointError(
                f'{weights}: expected an input of shape (N, 3, H, W), got {tuple(shape)}'
            )
        #: Of the file: another one is another enhancer.
        self.sha256 = file_sha256(self.network.path)

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if image.numel() == 0:
            return image
        return torch.cat([self._enhance_one(each[None]) for each in image])

    def _enhance_one(self, image: Tensor) -> Tensor:
        outputs = self.network.run(image)
        enhanced = next(iter(outputs.values()))
        if enhanced.shape != image.shape:
            raise CheckpointError(
                f'{self.network.path}: expected an output of shape {tuple(image.shape)}, got '
                f'{tuple(enhanced.shape)}'
            )
        if not bool(enhanced.isfinite().all()):
            raise CheckpointError(f'{self.network.path}: the output holds NaN or infinite values')
        return enhanced.clamp(0, 1).to(image)

    def extra_repr(self) -> str:
        return self.network.path.name
