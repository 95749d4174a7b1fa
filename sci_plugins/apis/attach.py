"""Putting an enhancer in front of a model that is already built."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from mmengine.model import BaseDataPreprocessor
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sci_plugins.apis.enhance import DEFAULT_ENHANCER
from sci_plugins.errors import ConfigError
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin, watch_export
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.registry import HOSTS, MODELS, Host
from sci_plugins.utils.model_parts import find_preprocessor, unwrap_model

Model = TypeVar('Model', bound=nn.Module)
_AUTO = object()


def attach(
    model: Model,
    enhancer: BaseEnhancer | Mapping[str, Any] | str = DEFAULT_ENHANCER,
    *,
    frozen: bool = True,
    norm_eval: bool = True,
    input_order: str = 'bgr',
    fill_color: Any = _AUTO,
    input_max: float = 255.0,
    check_values: bool = True,
) -> Model:
    """Put an enhancer in front of a built model of an OpenMMLab family, in place; returns it.

    Gives the same model as the two config keys would. An enhancer that was there before is
    replaced; :func:`detach` takes it off again.

    Args:
        model: any MMEngine model whose data preprocessor takes ``inputs``, a list of ``(3, H, W)``
            or one ``(N, 3, H, W)``, such as those of mmdet, mmseg, mmpretrain and mmpose; or what
            wraps one (parallel, averaged, test-time augmentation).
        enhancer: an enhancer, a config dict, or a name such as ``'sci/official/medium'``.
        frozen, norm_eval, input_order, fill_color, input_max, check_values: see
            :class:`EnhancementStage`; ``fill_color`` defaults to the host's.

    Raises:
        ConfigError: if the model has no such data preprocessor, an argument is out of range, or an
            enhancer to be trained comes too late for parallel training; the model stays as it was.
    """
    if not frozen and any(isinstance(part, DistributedDataParallel) for part in model.modules()):
        when = 'before the model is wrapped in DistributedDataParallel'
        why = 'which would not average its gradients'
        raise ConfigError(f'attach an enhancer with frozen=False {when}, {why}')
    if getattr(model, 'views', False):
        raise ConfigError(f'{type(model).__name__} has views=True: its pipeline enhances')
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
        given = frozen, norm_eval, input_order, fill_color, input_max, check_values
        preprocessor.setup_enhancement(enhancer, *given)
    except Exception:
        preprocessor.__class__ = kind
        preprocessor.__dict__.clear()
        preprocessor.__dict__.update(state, _modules=modules)
        raise
    finally:
        watch_export(unwrap_model(model), isinstance(preprocessor, EnhancementMixin))
    return model


def detach(model: Model) -> Model:
    """Take the enhancer off a model again, in place; a plain model stays as it is.

    Raises:
        ConfigError: if the model has no data preprocessor of MMEngine's.
    """
    preprocessor: Any = find_preprocessor(model)
    if isinstance(preprocessor, EnhancementMixin):
        del preprocessor.enhancer
        preprocessor.kept_pairs = []
        preprocessor.__class__ = _plain_class(type(preprocessor))
        watch_export(unwrap_model(model), False)
    return model


def _plain_class(enhanced: type) -> Any:
    plain = (base for base in enhanced.__mro__ if not issubclass(base, EnhancementMixin))
    return next(base for base in plain if issubclass(base, BaseDataPreprocessor))


@cache
def _enhanced_class(plain: Any) -> Any:
    host = _host_of(plain)
    if host is not None and host.enhanced and plain.__name__ == host.preprocessor:
        return MODELS.get(host.enhanced)
    # Another family's, or a user's own: the same step in front of it.
    return type(f'Enhanced{plain.__name__}', (_MadeOnDemand, EnhancementMixin, plain), {})


class _MadeOnDemand:
    """Pickles a class that no module holds by the class that it was made from."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        reduced: Any = super().__reduce_ex__(max(int(protocol), 2))
        return (_new_enhanced, (_plain_class(type(self)),), *reduced[2:])


def _new_enhanced(plain: Any) -> Any:
    kind = _enhanced_class(plain)
    return kind.__new__(kind)


def _host_of(kind: type) -> Host | None:
    return HOSTS.get(kind.__module__.partition('.')[0])


def default_fill_color(preprocessor: nn.Module) -> float | None:
    """What the pipelines of a preprocessor's host pad with; ``None`` if they do not."""
    hosts = (_host_of(base) for base in type(preprocessor).__mro__)
    return next((host.fill_color for host in hosts if host is not None), None)
