"""The plug-in point: enhancement in front of a host, as part of its model."""

import copy
import inspect
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar
from weakref import WeakSet

import torch
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

from sci_plugins.functional.host_image import size_before
from sci_plugins.models.enhancement_stage import EnhancementStep, Size, Sizes, is_taken_out
from sci_plugins.models.enhancers import Enhanced, RetinexEnhancer
from sci_plugins.models.enhancers.build import EnhancerLike
from sci_plugins.utils.model_parts import inner_preprocessor, innermost

#: Arguments that are not the host's.
_OWN = inspect.signature(EnhancementStep.setup_enhancement).parameters.keys() - {'self'}


class EnhancementMixin(EnhancementStep):
    """Enhances each image before the host normalises and pads it.

    Comes before the host's class in the bases, as in ``class EnhancedX(EnhancementMixin, X)``: the
    step of :class:`EnhancementStage` on the host's ``inputs``, then the host's own ``forward``.
    At test time, ``ori_shape`` and ``scale_factor`` of the data samples tell the enhancer what was
    enlarged. Takes the arguments of both (``input_order`` is ``'bgr'`` by default), and raises the
    errors of the stage.
    """

    #: Of the class itself: its host normalises as MMEngine's ``ImgDataPreprocessor`` does, where
    #: this attribute says whether it turns the channels around.
    normalizes: ClassVar[str]
    #: Taken where no ``fill_color`` is named.
    default_fill_color: float | None = None
    #: Set by EnhancementLossHook; the pairs (input, illumination) of a batch.
    keep_pairs: bool
    kept_pairs: list[tuple[Tensor, Tensor]]

    def __init__(self, enhancer: EnhancerLike, **kwargs: Any) -> None:
        own = {name: kwargs.pop(name) for name in _OWN & kwargs.keys()}
        super().__init__(**kwargs)
        self.setup_enhancement(enhancer, **dict(fill_color=self.default_fill_color) | own)

    def setup_enhancement(self, *args: Any, **kwargs: Any) -> None:
        """As :meth:`EnhancementStep.setup_enhancement`, on the host's device."""
        self.keep_pairs, self.kept_pairs = False, []
        super().setup_enhancement(*args, **kwargs)
        device: Any = self.device
        self.enhancer.to(device)

    def forward(self, data: dict, training: bool = False) -> dict | list:
        """Enhance ``data['inputs']``, then do what the host does.

        They are a list of ``(3, H, W)`` or one ``(N, 3, H, W)``; DataError as :meth:`check_images`.
        """
        samples = data.get('data_samples')
        named = samples if isinstance(samples, Sequence) else ()
        paths = [str(getattr(sample, 'img_path', '')) for sample in named]
        # Before the images go to a GPU, which then need not be waited for.
        self.check_images(data['inputs'], training, paths)
        sizes = self.valid_sizes(data['inputs'])
        data = self.cast_data(data)  # type: ignore[operator]
        self.kept_pairs = []
        host: Any = self
        normalized = [] if training else self._normalize(data['inputs'], sizes)
        # In training, steps such as CopyPaste draw into the image after it was enlarged.
        is_known = not training and len(named) == len(sizes)
        loaded = [*map(size_before, named, sizes)] if is_known else sizes
        images = normalized or self.enhance_images(data['inputs'], training, sizes, loaded)
        # A host turns channels around by a list of indices, for whose copy a GPU is waited for.
        if normalized or (self._is_known and getattr(self, self.normalizes) and images[0].is_cuda):
            host = copy.copy(self)  # whose first steps are done, for this call alone
            host._enable_normalize = host._enable_normalize and not normalized
            setattr(host, self.normalizes, False)
            images = normalized or [image.flip(0) for image in images]
        inputs = torch.stack(images) if isinstance(data['inputs'], Tensor) else images
        return super(EnhancementMixin, host).forward({**data, 'inputs': inputs}, training)

    def enhance_image(self, image: Tensor, sample: Any = None) -> Tensor:
        """As a test does, one image ``(3, H, W)`` as loaded, with its data sample."""
        sizes = self.valid_sizes([image])
        return self.enhance_images([image], False, sizes, [size_before(sample, *sizes)])[0]

    @property
    def _is_known(self) -> bool:
        return 'normalizes' in vars(type(self))

    def _normalize(self, images: Any, sizes: Sizes) -> list[Tensor]:
        """Images enhanced and normalised in one pass; none where that is not possible."""
        host: Any = self
        can_do = self._is_known and host._enable_normalize and isinstance(images, list | tuple)
        is_padded = list(sizes) != [tuple(image.shape[1:]) for image in images]
        if not can_do or is_padded or any(image.dtype != torch.uint8 for image in images):
            return []
        turned = getattr(host, self.normalizes)
        mean, std = host.mean.float(), host.std.float()  # the model may be in half precision
        parts = [each.flatten().expand(3) for each in (255 / std, -mean / std)]
        scale, shift = (each.flip(0) if turned else each for each in parts)
        results = [torch.empty(image.shape, device=image.device) for image in images]
        how = dict(turned=turned, scale=scale, shift=shift)
        pairs = zip(images, results, strict=True)
        done = (self.enhance_bytes(image[None], to[None], **how) for image, to in pairs)
        return results if all(done) else []

    def enhance_bytes(self, images: Tensor, target: Tensor, **how: Any) -> bool:
        return not self.keep_pairs and super().enhance_bytes(images, target, **how)

    def _advice(self) -> str:
        if getattr(self, '_enable_normalize', True):
            return 'take Normalize out of the pipeline, the data preprocessor normalises'
        cause = 'as this data preprocessor has no mean and std'
        return f'is there a Normalize in the pipeline, {cause}? Move them there'

    def _run_enhancer(self, rgb: Tensor, training: bool, loaded: Size, steps: int) -> Tensor:
        if not (training and self.keep_pairs and isinstance(self.enhancer, RetinexEnhancer)):
            return super()._run_enhancer(rgb, training, loaded, steps)
        result: Enhanced = self.enhancer.illuminate(rgb)
        self.kept_pairs += zip(rgb.split(1), result.illumination.split(1), strict=True)
        return result.image

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """A checkpoint without an enhancer (a plain host's) leaves ours as it is."""
        own = f'{prefix}enhancer.'
        entries = self.enhancer.state_dict(prefix=own)
        if entries and not any(key.startswith(own) for key in state_dict):
            state_dict.update(entries)
            told = f'{type(self.enhancer).__name__} keeps the weights that it has'
            print_log(f'the checkpoint holds no enhancer: {told}', 'current')
        super()._load_from_state_dict(state_dict, prefix, *rest)


_warned: WeakSet[nn.Module] = WeakSet()


def watch_export(model: nn.Module, on: bool = True) -> None:
    """Warn, or with ``on=False`` no longer, when a model is exported without its enhancer."""
    hooks = model._forward_pre_hooks
    for key in [key for key, hook in hooks.items() if hook is _warn_of_export]:
        del hooks[key]
    if on:
        model.register_forward_pre_hook(_warn_of_export)


def _warn_of_export(model: nn.Module, _: Any) -> None:
    if is_taken_out():
        _warn_once(model)


@torch.compiler.assume_constant_result  # runs while torch.export reads the model's code
def _warn_once(model: nn.Module) -> bool:
    preprocessor = inner_preprocessor(model)
    if model in _warned or not isinstance(preprocessor, EnhancementMixin):
        return False
    _warned.add(model)
    enhancer = type(preprocessor.enhancer).__name__
    warnings.warn(
        f'{type(model).__name__} is traced or exported WITHOUT its {enhancer}, '
        'which the data preprocessor calls before the model. To have it in the file, export '
        'torch.nn.Sequential(sci_plugins.EnhancementStage(enhancer), model), with the '
        "model's normalisation in between",
        stacklevel=2,
    )
    return True


def _watch_owner(owner: nn.Module, name: str, module: nn.Module | None) -> None:
    # The only moment at which a preprocessor of a config meets its model.
    is_owner = name == 'data_preprocessor' and not isinstance(owner, BaseDataPreprocessor)
    if is_owner and isinstance(innermost(module), EnhancementMixin):
        watch_export(owner)


register_module_module_registration_hook(_watch_owner)
