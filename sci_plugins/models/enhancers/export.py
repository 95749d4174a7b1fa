"""Writing an enhancer into a file of a few KB that says how it came about."""

import hashlib
import inspect
import io
import os
import platform
from collections.abc import Mapping
from typing import Any

import mmengine
import torch
from torch import nn

from sci_plugins.utils.files import write_atomically
from sci_plugins.version import __version__


def save_enhancer(enhancer: nn.Module, path: str | os.PathLike[str], **recipe: Any) -> str:
    """Write ``dict(state_dict=…, meta=recipe)`` and give the file's sha256.

    The file loads with ``weights_only=True`` (its ``meta`` holds plain Python types
    only) and as ``SCIEnhancer(weights='path/to/file.pth')``. Equal content gives
    equal files, to the byte. Written beside and renamed: never half a file.

    Args:
        enhancer: module; class and constructor arguments go into ``meta``.
        path: file to write; missing folders are made.
        recipe: more entries for ``meta``: data, steps, seed, licence, …. One that is
            there already, such as ``input``, is replaced.

    Raises:
        OSError: if the file cannot be written; an older one stays intact.
    """
    state = enhancer.state_dict()
    state = {name: value.detach().cpu().clone() for name, value in state.items()}
    meta = dict(
        type=f'sci_plugins.{type(enhancer).__name__}',
        **architecture(enhancer),
        input='RGB, float, values in [0, 1], (N, 3, H, W)',
        versions=_versions(),
    )
    meta.update(plain(recipe))
    # Into memory first: torch would write the name of a file into the file.
    content = io.BytesIO()
    torch.save(dict(state_dict=state, meta=meta), content)
    write_atomically(path, content.getbuffer())
    return hashlib.sha256(content.getvalue()).hexdigest()


def architecture(enhancer: nn.Module) -> dict[str, Any]:
    """The constructor's arguments that the module keeps, without its weights' name.

    Those of an enhancer inside it (behind a gate) stand beside them.
    """
    names = inspect.signature(type(enhancer)).parameters
    kept = {name: getattr(enhancer, name, None) for name in names if name != 'weights'}
    own = {name: kept[name] for name in kept if isinstance(kept[name], bool | int | float)}
    inner = kept.get('enhancer')
    return own | architecture(inner) if isinstance(inner, nn.Module) else own


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
