"""Writing an enhancer into a file of a few KB that says how it came about."""

import hashlib
import io
import os
import platform
from collections.abc import Mapping
from typing import Any

import mmengine
import torch
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers.base import Opaque, arguments_of, type_name
from sci_plugins.utils.files import MARK, write_atomically
from sci_plugins.version import __version__


def save_enhancer(enhancer: nn.Module, path: str | os.PathLike[str], **recipe: Any) -> str:
    """Write ``dict(state_dict=…, meta=recipe)`` and give the file's sha256.

    The file loads with ``weights_only=True`` (its ``meta`` holds plain Python types
    only) and as ``'sci/path/to/file.pth'``, or for a class of one's own as
    ``"my_file.MyEnhancer(weights='path/to/file.pth')"``. Equal content gives
    equal files, to the byte. Written beside and renamed: never half a file.

    Args:
        enhancer: module; its class and the arguments that it was built with go into
            ``meta``.
        path: file to write; missing folders are made.
        recipe: more entries for ``meta``: data, steps, seed, licence, …. One that is
            there already, such as ``input``, is replaced.

    Raises:
        ConfigError: if it cannot be built again from a file, see :func:`building_of`.
        OSError: if the file cannot be written; an older one stays intact.
    """
    state = enhancer.state_dict()
    state = {name: value.detach().cpu().clone() for name, value in state.items()}
    meta = dict(
        written_by=f'{MARK} {__version__}',
        input='RGB, float, values in [0, 1], (N, 3, H, W)',
        versions=_versions(),
    )
    meta.update(plain(recipe) | building_of(enhancer))
    # Into memory first: torch would write the name of a file into the file.
    content = io.BytesIO()
    torch.save(dict(state_dict=state, meta=meta), content)
    write_atomically(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def building_of(enhancer: nn.Module) -> dict[str, Any]:
    """``dict(type=…, arguments=…)``, from which an enhancer can be built again.

    Raises:
        ConfigError: if its constructor was given something that is not plain data.
    """
    kind, arguments = type(enhancer), arguments_of(enhancer)
    for name, value in arguments.items():
        if _holds_opaque(value):
            raise ConfigError(
                f'cannot save {kind.__name__} so that it can be built again: its argument '
                f'{name} must be plain data (numbers, text, lists, dicts), got {value}'
            )
    return dict(type=type_name(kind), arguments=arguments)


def _holds_opaque(value: Any) -> bool:
    if isinstance(value, Mapping | list):
        return any(map(_holds_opaque, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, Opaque)


def plain(value: Any) -> Any:
    """Builtin types only, so that a file loads with ``weights_only=True``."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _versions() -> dict[str, str]:
    return dict(
        sci_plugins=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        mmengine=str(mmengine.__version__),
    )
