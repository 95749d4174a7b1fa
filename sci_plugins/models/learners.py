"""SCI's learning process: a cascade of stages, linked by the self-calibrator."""

from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.functional.conv3x3 import channels_last
from sci_plugins.functional.conv_norm import apply_conv, apply_conv_norm_relu
from sci_plugins.functional.kernels.sci_fused import TRAINING, make
from sci_plugins.functional.retinex import divide_illumination
from sci_plugins.models.enhancers import base
from sci_plugins.models.enhancers.base import RetinexEnhancer
from sci_plugins.models.enhancers.build import build_enhancer
from sci_plugins.models.enhancers.weights import load_learner_weights
from sci_plugins.registry import MODELS


class Stage(NamedTuple):
    """One stage of the cascade; all ``(N, 3, H, W)``, RGB.

    ``image`` is the stage's input (the calibrator may leave [0, 1]), ``illumination`` in [1e-4, 1]
    is estimated from it, and ``enhanced`` in [0, 1] is the *original* image divided by it.
    """

    image: Tensor
    illumination: Tensor
    enhanced: Tensor


@MODELS.register_module()
class SelfCalibratedLearner(BaseModel):
    """Trains an illumination estimator on dark images alone, without labels.

    ``x_0 = x``; ``i_t = estimator(x_t)``; ``r_t = clamp(x / i_t, 0, 1)``; ``x_{t+1} = x +
    calibrator(r_t)``. The loss is the sum of the losses of ``(i_t, x_t)`` over all stages.
    Inference uses the estimator alone, once.

    The calibrator's output for the last stage would not affect any loss, so it is not computed, as
    it is in the authors' code. Losses and gradients are the same; only the running statistics of
    the *calibrator's* BatchNorm layers differ, which are used by a cascade in eval mode alone.

    Args:
        estimator: a :class:`RetinexEnhancer`, its config or its name (see :func:`build_enhancer`);
            by default the authors'.
        calibrator: module or config; by default the authors'. Ignored if ``stages`` is 1.
        stages: length of the cascade, at most 100; 3 in the authors' code. 1 trains the estimator
            alone, as the authors do for fine-tuning.
        loss: module or config of the loss of one stage; by default the authors'.
        exposure: config of a loss ``(enhanced, image) -> scalar`` for the first stage, the only one
            at inference, such as :class:`ExposureLoss`; ``None`` for none, as in the authors' code.
        weights: initial weights, as in ``SCIEnhancer``. The authors' files (``'official/medium'``)
            contain the calibrator too; a file of an estimator alone leaves the calibrator freshly
            initialised.
        data_preprocessor: see ``mmengine.model.BaseModel``.

    Shape:
        - inputs: ``(N, 3, H, W)``, RGB, float, values in [0, 1]

    Raises:
        ConfigError: if ``stages`` is out of range or the estimator has no illumination.
        CheckpointError: if ``weights`` do not fit.

    Source: SCI (CVPR 2022, arXiv 2204.10137), section 3; `Network` of the authors' code.
    """

    def __init__(
        self,
        estimator: nn.Module | dict | str | None = None,
        calibrator: nn.Module | dict | None = None,
        stages: int = 3,
        loss: nn.Module | dict | None = None,
        exposure: dict | None = None,
        weights: str | None = None,
        data_preprocessor: dict | nn.Module | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        check_at_least(1, 'SelfCalibratedLearner', most=base.MAX_LAYERS, stages=stages)
        self.stages = stages
        built = build_enhancer(estimator or dict(type='sci_plugins.SCIEnhancer'))
        if not isinstance(built, RetinexEnhancer):
            wish = 'estimator must be a RetinexEnhancer, which estimates illumination'
            raise ConfigError(f'SelfCalibratedLearner: {wish}, got {type(built).__name__}')
        self.estimator = built
        self.calibrator = _build(calibrator, 'SelfCalibrator') if stages > 1 else None
        self.loss = _build(loss, 'SCILoss')
        self.exposure = MODELS.build(exposure) if exposure is not None else None
        if weights is not None:
            load_learner_weights(self.estimator, self.calibrator, weights)
        make(TRAINING)  # before the first step, so that a training can be repeated to the bit

    def cascade(self, image: Tensor) -> list[Stage]:
        """All stages for a batch of images, ``(N, 3, H, W)`` RGB in [0, 1]."""
        if image.device.type == 'cpu':
            image = channels_last(image)  # once, not in every convolution
        stages: list[Stage] = []
        stage_input = image
        for _ in range(self.stages):
            if stages and self.calibrator is not None:
                stage_input = image + self.calibrator(stages[-1].enhanced)
            illumination = self.estimator.estimate_illumination(stage_input)
            enhanced = divide_illumination(image, illumination)
            stages.append(Stage(stage_input, illumination, enhanced))
        return stages

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = 'tensor') -> Any:
        """Run the cascade, or the estimator alone, on RGB float images ``(N, 3, H, W)`` in [0, 1].

        ``mode='loss'`` gives ``dict(loss_fidelity=…, loss_smoothness=…)``, each summed over the
        stages, ``'predict'`` the enhanced images, ``'tensor'`` the list of :class:`Stage`.
        TypeError or ValueError for other inputs or modes.
        """
        if not isinstance(inputs, Tensor):
            advice = "set collate_fn=dict(type='default_collate') in the dataloader"
            told = f'expects a stacked batch of images, got {type(inputs).__name__}: {advice}'
            raise TypeError(f'SelfCalibratedLearner {told}')
        self.estimator.check_input(inputs)
        if mode == 'loss':
            stages = self.cascade(inputs)
            losses = [self.loss(stage.illumination, stage.image) for stage in stages]
            total = {f'loss_{name}': sum(loss[name] for loss in losses) for name in losses[0]}
            if self.exposure is not None:
                total['loss_exposure'] = self.exposure(stages[0].enhanced, stages[0].image)
            return total
        if mode == 'predict':
            return self.estimator(inputs)
        if mode == 'tensor':
            return self.cascade(inputs)
        known = "'loss', 'predict' or 'tensor'"
        raise ValueError(f'SelfCalibratedLearner: mode must be {known}, got {mode!r}')


def _build(module: nn.Module | dict | None, default: str) -> nn.Module:
    if isinstance(module, nn.Module):
        return module
    return MODELS.build(module or dict(type=f'sci_plugins.{default}'))


@MODELS.register_module()
class SelfCalibrator(nn.Module):
    """Computes from a stage's enhanced image the change to the next stage's input.

    ``f = relu(bn(conv(r)))``; ``layers`` times, with one shared block,
    ``f = f + relu(bn(conv(relu(bn(conv(f))))))``; the result is
    ``r - sigmoid(conv(f))``.

    Args:
        layers: how often the shared block is applied; the authors use 3, at most 100.
        channels: hidden width, at most 1024; the authors use 16.

    Shape:
        - input: enhanced image, ``(N, 3, H, W)``, RGB, float, in [0, 1]
        - output: same shape, in [-1, 1]; the next stage's input is image + output

    Raises:
        ConfigError: if ``layers`` or ``channels`` is out of range.

    Source: SCI (CVPR 2022, arXiv 2204.10137), `CalibrateNetwork` of the authors' code.
    """

    def __init__(self, layers: int = 3, channels: int = 16) -> None:
        super().__init__()
        check_at_least(0, 'SelfCalibrator', most=base.MAX_LAYERS, layers=layers)
        check_at_least(1, 'SelfCalibrator', most=base.MAX_CHANNELS, channels=channels)
        self.layers, self.channels = layers, channels
        self.in_conv = nn.Conv2d(3, channels, 3, padding=1)
        self.in_norm = nn.BatchNorm2d(channels)
        # One block, applied `layers` times: the authors share its parameters.
        self.block_conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block_norm1 = nn.BatchNorm2d(channels)
        self.block_conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block_norm2 = nn.BatchNorm2d(channels)
        self.out_conv = nn.Conv2d(channels, 3, 3, padding=1)
        base.reset_parameters(self)

    def forward(self, enhanced: Tensor) -> Tensor:
        features = apply_conv_norm_relu(enhanced, (self.in_conv, self.in_norm))
        first = self.block_conv1, self.block_norm1
        second = self.block_conv2, self.block_norm2
        for _ in range(self.layers):
            features = apply_conv_norm_relu(features, first, second, shortcut=features)
        return enhanced - torch.sigmoid(apply_conv(self.out_conv, features))

    def extra_repr(self) -> str:
        return f'layers={self.layers}, channels={self.channels}'
