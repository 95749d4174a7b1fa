"""Putting an enhancer in front of a model that is already built."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from mmengine.model import ImgDataPreprocessor, is_model_wrapper
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.registry import HOST_MODULES, MODELS

Model = TypeVar('Model', bound=nn.Module)
_NAMED = {
    'DetDataPreprocessor': 'EnhancedDetDataPreprocessor',
    'SegDataPreProcessor': 'EnhancedSegDataPreProcessor',
}
_AUTO = object()


def attach(
    model: Model,
    enhancer: BaseEnhancer | Mapping[str, Any] | str,
    *,
    frozen: bool = True,
    norm_eval: bool = True,
    input_order: str = 'bgr',
    fill_color: Any = _AUTO,
) -> Model:
    """Put an enhancer in front of a built mmdet or mmseg model, in place.

    Gives the same model as the two config keys would. An enhancer that was
    there before is replaced; :func:`detach` takes it off again.

    Args:
        model: any MMEngine model with an ``ImgDataPreprocessor`` (every mmdet
            detector and mmseg segmentor has one), or a parallel wrapper of it.
        enhancer: an enhancer, a config dict, or a name such as
            ``'sci/official/medium'``.
        frozen, norm_eval, input_order, fill_color: see
            :meth:`EnhancementMixin.setup_enhancement`; ``fill_color`` defaults
            to what the host's class takes in a config.

    Returns:
        ``model`` itself.

    Raises:
        ConfigError: if the model has no such data preprocessor, or an argument is
            out of range; the model is then as it was.
    """
    preprocessor: Any = find_preprocessor(model)
    kind, state = type(preprocessor), preprocessor.__dict__.copy()
    modules = dict(preprocessor._modules)
    if fill_color is _AUTO:
        fill_color = default_fill_color(preprocessor)
    detach(model)
    plain: Any = type(preprocessor)
    # As in torch.nn.utils.parametrize: the object stays, its class gains a step.
    preprocessor.__class__ = _enhanced_class(plain)
    try:
        preprocessor.setup_enhancement(enhancer, frozen, norm_eval, input_order, fill_color)
    except Exception:
        preprocessor.__class__ = kind
        preprocessor.__dict__.clear()
        preprocessor.__dict__.update(state, _modules=modules)
        raise
    return model


def detach(model: Model) -> Model:
    """Take the enhancer off a model again, in place; a plain model stays as it is.

    Raises:
        ConfigError: if the model has no image data preprocessor.
    """
    preprocessor: Any = find_preprocessor(model)
    if isinstance(preprocessor, EnhancementMixin):
        del preprocessor.enhancer
        preprocessor.kept_pairs = []
        plain: Any = next(
            base
            for base in type(preprocessor).__mro__
            if issubclass(base, ImgDataPreprocessor) and not issubclass(base, EnhancementMixin)
        )
        preprocessor.__class__ = plain
    return model


def find_preprocessor(model: nn.Module) -> nn.Module:
    """The image data preprocessor of a model or of what a wrapper wraps.

    Raises:
        ConfigError: if there is none.
    """
    inner = model.module if is_model_wrapper(model) else model
    found = getattr(inner, 'data_preprocessor', None)
    if not isinstance(found, ImgDataPreprocessor):
        raise ConfigError(
            f'{type(inner).__name__} has no image data preprocessor to enhance in: '
            'expected a DetDataPreprocessor or SegDataPreProcessor, got '
            f'{type(found).__name__}; give its config a data_preprocessor'
        )
    return found


@cache
def _enhanced_class(plain: Any) -> Any:
    name = _NAMED.get(plain.__name__)
    if name is not None and plain.__module__.startswith(HOST_MODULES[name][1]):
        found: Any = MODELS.get(name)
        return found
    # Another family's, or a user's own: the same step in front of it.
    return type(f'Enhanced{plain.__name__}', (EnhancementMixin, plain), {})


def default_fill_color(preprocessor: nn.Module) -> float | None:
    """What the pipelines of a preprocessor's host pad with; ``None`` if they do not."""
    names = [base.__name__ for base in type(preprocessor).__mro__]
    if 'DetDataPreprocessor' not in names:
        return None
    from sci_plugins.models.data_preprocessors.det import DET_FILL_COLOR

    return DET_FILL_COLOR
