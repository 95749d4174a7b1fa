"""A frozen network from an ONNX file, run by onnxruntime on the CPU."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sci_plugins.errors import CheckpointError, ConfigError, first_line
from sci_plugins.registry import require_host


class OnnxNetwork:
    """An ONNX file with one input of images; copies and pickles by its path.

    Args:
        path: the file.
        owner: who asks, for the errors.

    Raises:
        MissingDependencyError: if onnxruntime is not installed.
        FileNotFoundError: if there is no such file.
        CheckpointError: if it is no ONNX file, or takes more than one input.
    """

    def __init__(self, path: str | os.PathLike[str], owner: str) -> None:
        require_host(owner, 'onnxruntime', 'dev')
        self.path = Path(path).expanduser()
        self.owner = owner
        if not self.path.is_file():
            raise FileNotFoundError(
                f'{owner}: there is no ONNX file {self.path}; set model.weights, or the '
                'variable that the config builds it from, such as SCI_PLUGINS_DATA'
            )
        self._session: Any = None
        inputs = self._open().get_inputs()
        if len(inputs) != 1:
            names = ', '.join(each.name for each in inputs)
            raise CheckpointError(f'{self.path} must have one input, has {names}')
        self.input_shape: list[Any] = inputs[0].shape

    @property
    def output_names(self) -> list[str]:
        """Names of what :meth:`run` gives."""
        return [each.name for each in self._open().get_outputs()]

    @property
    def sha256(self) -> str:
        """Hash of the file, as hexadecimal digits."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def run(self, batch: Tensor) -> dict[str, Tensor]:
        """The network's outputs by name, float32, on the device of ``batch``.

        Args:
            batch: ``(N, C, H, W)``, whatever the file wants; no gradients are kept.

        Raises:
            ConfigError: if the file was made for another size.
        """
        shape = tuple(batch.shape)
        fixed = zip(self.input_shape, shape, strict=True)
        if any(isinstance(size, int) and size != found for size, found in fixed):
            raise ConfigError(
                f'{self.owner}: {self.path.name} takes batches of shape '
                f'{tuple(self.input_shape)} only, got {shape}'
            )
        array = np.ascontiguousarray(batch.detach().cpu().float().numpy())
        session = self._open()
        outputs = session.run(None, {session.get_inputs()[0].name: array})
        return {
            name: torch.from_numpy(value).to(batch.device)
            for name, value in zip(self.output_names, outputs, strict=True)
        }

    def _open(self) -> Any:
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            # One pool of threads a process is enough; OMP_NUM_THREADS then counts.
            options.intra_op_num_threads = torch.get_num_threads()
            try:
                self._session = onnxruntime.InferenceSession(
                    str(self.path), options, providers=['CPUExecutionProvider']
                )
            except Exception as error:  # onnxruntime has a class for every cause
                raise CheckpointError(
                    f'{self.path} is damaged or no ONNX file: {first_line(error)}'
                ) from error
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        # A session belongs to its process; the copy opens one of its own.
        return dict(self.__dict__, _session=None)
