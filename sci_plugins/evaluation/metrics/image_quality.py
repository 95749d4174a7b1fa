"""Quality of enhanced images as MMEngine metrics, image by image.

Each result key names the settings (range, window, block): numbers with others cannot be compared.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from sci_plugins.errors import ConfigError, MissingDependencyError
from sci_plugins.functional import image_quality
from sci_plugins.registry import METRICS, require_host


class ImageQualityMetric(BaseMetric):
    """Base: the mean over the images of one number per image.

    Images are first truncated to 8 bits, as in saved files. The model's outputs are enhanced images
    ``(3, H, W)``, RGB, float in [0, 1]; the batch holds ``inputs``, the original images, and
    ``data_samples`` with a ``reference`` if the metric needs one, as :class:`PairedLowLightDataset`
    does. Arguments are those of ``BaseMetric``.

    Raises:
        MissingDependencyError: if a package that the metric needs is not installed.
    """

    default_prefix = 'quality'
    key: ClassVar[str]  # name of the result
    needs_reference: ClassVar[bool] = False  # whether it compares with a bright one
    needs_package: ClassVar[tuple[str, ...]] = ()  # and the extra that installs it

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if self.needs_package:
            require_host(f'sci_plugins.{type(self).__name__}', *self.needs_package)
        super().__init__(*args, **kwargs)

    @abstractmethod
    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        """The number of one image; all ``(1, 3, H, W)``, RGB, in steps of 1/255."""

    def score(self, enhanced: Tensor, original: Tensor, reference: Tensor | None = None) -> float:
        """The number of one image; all ``(3, H, W)``, RGB, float in [0, 1].

        Raises:
            ConfigError: if a reference is needed and there is none.
        """
        if self.needs_reference and reference is None:
            told = 'which the data set does not have: use sci_plugins.PairedLowLightDataset'
            raise ConfigError(f'{type(self).__name__} needs a reference image, {told}')
        images = [
            None if each is None else image_quality.to_levels(each.detach().cpu()).div(255)[None]
            for each in (enhanced, original, reference)
        ]
        with torch.no_grad():
            return float(self.measure(*images))  # type: ignore[arg-type]

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        rows = zip(data_samples, data_batch['inputs'], data_batch['data_samples'], strict=True)
        for enhanced, original, sample in rows:
            self.results.append(self.score(enhanced, original, getattr(sample, 'reference', None)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {self.key: sum(results) / len(results)}


@METRICS.register_module()
class PSNR(ImageQualityMetric):
    """Peak signal-to-noise ratio to the reference, dB, of RGB with a range of 1.

    ``10 log10(1 / mean squared difference)`` by torchmetrics, averaged over images (not errors).
    """

    key = 'PSNR_range1_dB'
    needs_reference = True
    needs_package = ('torchmetrics', 'train')

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        from torchmetrics.functional.image import peak_signal_noise_ratio

        return peak_signal_noise_ratio(enhanced, reference, data_range=1.0)


@METRICS.register_module()
class SSIM(ImageQualityMetric):
    """Structural similarity to the reference, of RGB with a range of 1.

    By torchmetrics: Gaussian window of 11x11 pixels, sigma 1.5, k1 .01, k2 .03, borders
    reflected, mean over channels and all pixels. Other windows, grey images, or a border
    that is left out (as in scikit-image) give other numbers.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE TIP 13 (4), 2004.
    """

    key = 'SSIM_gauss11_sigma1.5_range1'
    needs_reference = True
    needs_package = ('torchmetrics', 'train')

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        from torchmetrics.functional.image import structural_similarity_index_measure

        value = structural_similarity_index_measure(
            enhanced, reference, sigma=1.5, kernel_size=11, data_range=1.0
        )
        return value if isinstance(value, Tensor) else value[0]


@METRICS.register_module()
class EME(ImageQualityMetric):
    """Contrast of blocks of 8x8 pixels, see :func:`sci_plugins.functional.image_quality.eme`."""

    key = 'EME_8x8_ln'

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        return image_quality.eme(enhanced, block=8)


@METRICS.register_module()
class DiscreteEntropy(ImageQualityMetric):
    """Entropy of the 256 grey levels in bits."""

    key = 'entropy_gray256_bits'

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        return image_quality.discrete_entropy(enhanced)


@METRICS.register_module()
class LOE(ImageQualityMetric):
    """Lightness order error against the original image, at 50 pixels on the shorter side.

    0 keeps the order of all pixels. See :func:`image_quality.lightness_order_error`.
    """

    key = 'LOE_side50'

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        return image_quality.lightness_order_error(enhanced, original, side=50)


@METRICS.register_module()
class Brightness(ImageQualityMetric):
    """Mean of all channels and pixels, in [0, 1]; neither higher nor lower is better."""

    key = 'brightness'

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        return image_quality.mean_brightness(enhanced)


@METRICS.register_module()
class NIQE(ImageQualityMetric):
    """Natural image quality evaluator by pyiqa, without reference; lower is better.

    NIQE compares with statistics of good photographs, ``niqe_modelparameters.mat``, which pyiqa
    downloads when it is first used; ``parameters`` is a local copy. pyiqa's licence allows no
    commercial use.

    Raises:
        MissingDependencyError: if pyiqa is not installed or cannot load its parameters.

    Source: Mittal, Soundararajan, Bovik, "Making a 'completely blind' image quality
    analyzer", IEEE Signal Processing Letters 20 (3), 2013.
    """

    key = 'NIQE_pyiqa'
    needs_package = ('pyiqa', 'niqe')

    def __init__(self, parameters: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        import pyiqa

        options = {} if parameters is None else dict(pretrained_model_path=parameters)
        try:
            self.model: Any = pyiqa.create_metric('niqe', device='cpu', **options)
        except Exception as error:  # a network, a cache folder or a file may fail
            cause = ' '.join(str(error).split()) or type(error).__name__
            raise MissingDependencyError(
                "NIQE: pyiqa cannot load its parameters ('niqe_modelparameters.mat', downloaded "
                f'at first use); pass a local copy as NIQE(parameters=FILE): {cause}'
            ) from error

    def measure(self, enhanced: Tensor, original: Tensor, reference: Any) -> Tensor:
        return self.model(enhanced)
