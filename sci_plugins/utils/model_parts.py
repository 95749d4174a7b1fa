"""Parts of a model, and data sets, also where something is wrapped around them."""

from collections.abc import Iterator
from typing import Any, TypeVar

from mmengine.model import BaseAveragedModel, BaseDataPreprocessor, BaseTTAModel, is_model_wrapper
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sci_plugins.errors import ConfigError

Part = TypeVar('Part', bound=nn.Module)
_WRAPPERS = (BaseTTAModel, BaseAveragedModel, AveragedModel)


def unwrap_model(model: nn.Module) -> Any:
    """The model inside parallel wrappers, averaged models (EMA) and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, _WRAPPERS):
        model = model.module  # type: ignore[assignment]
    return model


def find_part(model: nn.Module, path: str, kind: type[Part], owner: str) -> Part:
    """The module at a path such as ``'data_preprocessor.enhancer'`` in a model, wrapped or not.

    Raises:
        ConfigError: naming ``owner``, who asks, if there is none or it is of another kind.
    """
    model = unwrap_model(model)
    try:
        found = model.get_submodule(path)
    except AttributeError as error:
        raise ConfigError(f'{owner}: {type(model).__name__} has no module {path!r}') from error
    if not isinstance(found, kind):
        wish = f'module {path!r} of {type(model).__name__} to be a {kind.__name__}'
        raise ConfigError(f'{owner}: expected {wish}, got {type(found).__name__}')
    return found


def inner_preprocessor(model: nn.Module) -> Any:
    """The data preprocessor that sees the images, whatever it is; ``None`` without one."""
    return innermost(getattr(unwrap_model(model), 'data_preprocessor', None))


def innermost(preprocessor: Any) -> Any:
    """The data preprocessor inside another, as in semi-supervised training, or itself."""
    while isinstance(getattr(preprocessor, 'data_preprocessor', None), nn.Module):
        preprocessor = preprocessor.data_preprocessor
    return preprocessor


def find_preprocessor(model: nn.Module) -> BaseDataPreprocessor:
    """As :func:`inner_preprocessor`; ``ConfigError`` if it is none of MMEngine's."""
    found = inner_preprocessor(model)
    if not isinstance(found, BaseDataPreprocessor):
        owner, got = type(unwrap_model(model)).__name__, type(found).__name__
        wish = "expected a subclass of MMEngine's BaseDataPreprocessor, such as DetDataPreprocessor"
        told = f'{owner} has no data preprocessor to enhance in: {wish}, got {got}'
        raise ConfigError(f'{told}; give its config a data_preprocessor')
    return found


def data_sets_in(dataset: Any) -> Iterator[Any]:
    """A data set, and those inside it if it combines or repeats others."""
    yield dataset
    for inner in [getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', [])]:
        if inner is not None:
            yield from data_sets_in(inner)
