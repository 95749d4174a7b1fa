"""The contract of everything that can stand in front of a host model, and how it starts."""

import hashlib
import inspect
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sci_plugins.functional.kernels.sci_fused import Code
from sci_plugins.functional.retinex import divide_illumination

#: Limits of what is built: far above any use, far below a full memory.
MAX_CHANNELS, MAX_LAYERS = 1024, 100


class Enhanced(NamedTuple):
    """The result of a Retinex enhancer: both ``(N, 3, H, W)``, in [0, 1]."""

    image: Tensor
    illumination: Tensor


class BaseEnhancer(nn.Module, metaclass=ABCMeta):
    """RGB image in, RGB image of the same size out.

    Both are ``(N, 3, H, W)``, RGB, float, values in [0, 1], of the same dtype. A subclass
    implements :meth:`forward`, differentiable where possible, and keeps the images of a batch
    independent of one another in eval mode. Its constructor's arguments are remembered, so that a
    file of its weights says how to build it. Ours refuse arguments out of their range by a
    ConfigError, and ``weights`` that cannot be loaded in full by a CheckpointError.
    """

    #: Arguments of the constructor that name files: a saved file holds what they loaded.
    weight_arguments: ClassVar[tuple[str, ...]] = ('weights',)
    #: What its images may be computed by; to be made before the first of them.
    machine_code: ClassVar[tuple[Code, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if '__init__' in vars(cls):
            cls.__init__ = _remembering(cls.__init__)  # type: ignore[method-assign]

    @property
    def receptive_radius(self) -> int | None:
        """How far an output pixel looks to each side, in pixels: tiles have to overlap by it.

        ``None``: it depends on the whole image, which cannot be tiled then.
        """
        return None

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Enhance a batch of images, ``(N, 3, H, W)`` RGB in [0, 1]."""

    def enhance_enlarged(self, image: Tensor, size: tuple[int, int], steps: int = 0) -> Tensor:
        """Enhance images that bilinear interpolation enlarged from ``size``, height and width.

        For enhancers that measure single pixels: the original ones can be recovered. By default as
        ``forward``. ``steps`` is the largest value of integer images, such as 255; 0 for float.
        """
        return self(image)

    def enhance_bytes(self, source: Tensor, target: Tensor, **how: Any) -> bool:
        """Enhance 8-bit images in one pass, if there is a faster way: whether it filled ``target``.

        Arguments as of :func:`sci_plugins.functional.kernels.sci_fused.enhance_fused`.
        """
        return False

    def remember(self, argument: str, value: Any) -> Any:
        """Remember what a ``None`` of the constructor's arguments stands for; gives ``value``."""
        # A subclass may have no such argument, or one of another meaning.
        if (arguments := vars(self)['_arguments']).get(argument, ...) in (None, value):
            arguments[argument] = value
        return value

    def complete_state(self, state: dict[str, Tensor], prefix: str = '') -> None:
        """Add what files of an older version lack; ``prefix`` is before this module's names."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        self.complete_state(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """The constructor's arguments, without weights and enhancers inside."""
        told = arguments_of(self).items()
        return ', '.join(f'{k}={v!r}' for k, v in told if not isinstance(v, dict | Opaque))

    def check_input(self, image: Tensor) -> None:
        """Refuse what is not ``(N, 3, H, W)`` (ValueError) or not float (TypeError)."""
        name, shape = type(self).__name__, tuple(image.shape)
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f'{name} expects an RGB image of shape (N, 3, H, W), got {shape}')
        if not image.is_floating_point():
            raise TypeError(f'{name} expects a float image in [0, 1], got dtype {image.dtype}')


class RetinexEnhancer(BaseEnhancer):
    """An enhancer that estimates an illumination map and divides by it."""

    @abstractmethod
    def estimate_illumination(self, image: Tensor) -> Tensor:
        """Illumination in [1e-4, 1], ``(N, 3, H, W)``, of an image in [0, 1]."""

    def illuminate(self, image: Tensor) -> Enhanced:
        """Enhanced image and illumination of ``image``, ``(N, 3, H, W)`` in [0, 1]."""
        self.check_input(image)
        illumination = self.estimate_illumination(image)
        return Enhanced(divide_illumination(image, illumination), illumination)

    def forward(self, image: Tensor) -> Tensor:
        return self.illuminate(image).image


def needs_gradient(module: nn.Module, *inputs: Tensor) -> bool:
    """Whether autograd is on and wanted, by a parameter of the module or by an input."""
    if not torch.is_grad_enabled():
        return False
    return any(each.requires_grad for each in (*inputs, *module.parameters()))


def reset_parameters(module: nn.Module) -> None:
    """Initialise as SCI's authors do: convolutions N(0, 0.02), BatchNorm N(1, 0.02), biases 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, float(isinstance(layer, nn.BatchNorm2d)), 0.02)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class Opaque(str):
    """Describes a constructor's argument that is not plain data."""


def type_name(kind: type) -> str:
    """The name that builds a class again: ``sci_plugins.X``, or with its module."""
    if kind.__module__.startswith('sci_plugins.'):
        return f'sci_plugins.{kind.__name__}'
    return f'{kind.__module__}.{kind.__qualname__}'


def arguments_of(enhancer: nn.Module) -> dict[str, Any]:
    """The arguments that an enhancer was built with, defaults included, without weights' names.

    Plain data, with :class:`Opaque` for anything else; an inner enhancer as a config.
    """
    given: dict[str, Any] = vars(enhancer).get('_arguments', {})
    # An inner enhancer may have been given by name: the enhancer that was built counts.
    inner = {name: child for name, child in enhancer.named_children() if name in given}
    own = given | {k: _describe(v) for k, v in inner.items() if isinstance(v, BaseEnhancer)}
    files = getattr(enhancer, 'weight_arguments', ())
    return {name: value for name, value in own.items() if name not in files}


def _remembering(init: Callable) -> Callable:
    signature = inspect.signature(init)

    @wraps(init)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        # The called class comes before its bases, and has to be first: the constructor may
        # load weights, which compares these arguments with the file's.
        if '_arguments' not in vars(self):
            vars(self)['_arguments'] = _bind(signature, self, *args, **kwargs)
        init(self, *args, **kwargs)

    return remember


def _bind(signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # the call itself raises it again
        return {}
    bound.apply_defaults()
    given: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:  # without self
        is_rest = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        given.update(value if is_rest else {name: value})
    return {name: _describe(value) for name, value in given.items()}


def _describe(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseEnhancer):
        return dict(type=type_name(type(value)), **arguments_of(value))
    if isinstance(value, Mapping):
        return {str(key): _describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    content = hashlib.sha256(value.tobytes()).hexdigest() if isinstance(value, np.ndarray) else ''
    return Opaque(f'{type(value).__name__} {content}'.strip())
