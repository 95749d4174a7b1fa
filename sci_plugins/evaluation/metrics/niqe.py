"""NIQE by pyiqa, where its parameters can be had."""

from typing import Any

from torch import Tensor

from sci_plugins.errors import MissingDependencyError
from sci_plugins.evaluation.metrics.image_quality import ImageQualityMetric
from sci_plugins.registry import METRICS, require_host


@METRICS.register_module()
class NIQE(ImageQualityMetric):
    """Natural image quality evaluator by pyiqa, without reference; lower is better.

    NIQE compares with statistics of good photographs, ``niqe_modelparameters.mat``.
    They are in neither package: pyiqa fetches them when it is first used. pyiqa has a
    licence of its own, which allows no commercial use.

    Args:
        parameters: a local copy of that file, for machines without a network.
        kwargs: those of ``BaseMetric``.

    Raises:
        MissingDependencyError: if pyiqa is not installed or its parameters cannot
            be had.

    Source: Mittal, Soundararajan, Bovik, "Making a 'completely blind' image quality
    analyzer", IEEE Signal Processing Letters 20 (3), 2013.
    """

    key = 'NIQE_pyiqa'
    higher_is_better = False

    def __init__(self, parameters: str | None = None, **kwargs: Any) -> None:
        require_host('sci_plugins.NIQE', 'pyiqa', 'niqe')
        super().__init__(**kwargs)
        import pyiqa

        options = {} if parameters is None else dict(pretrained_model_path=parameters)
        try:
            self.model: Any = pyiqa.create_metric('niqe', device='cpu', **options)
        except Exception as error:  # a network, a cache folder or a file may fail
            cause = ' '.join(str(error).split()) or type(error).__name__
            raise MissingDependencyError(
                "NIQE: pyiqa cannot have its parameters ('niqe_modelparameters.mat', "
                'fetched at first use); give a local copy by '
                f'NIQE(parameters=FILE): {cause}'
            ) from error

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        return self.model(enhanced)
