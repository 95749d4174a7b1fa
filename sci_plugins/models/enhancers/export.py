"""An enhancer's file of a few KB, which says how the enhancer is built and was trained."""

import hashlib
import inspect
import io
import platform
from collections.abc import Mapping
from typing import Any

import mmengine
import torch
from torch import Tensor, nn

from sci_plugins.errors import CheckpointError, ConfigError, first_line, show_name
from sci_plugins.functional.tensors import leaves
from sci_plugins.models.enhancers.base import BaseEnhancer, Opaque, arguments_of, type_name
from sci_plugins.utils.files import MARK, write_atomically
from sci_plugins.utils.folders import PathLike
from sci_plugins.version import __version__


def save_enhancer(enhancer: nn.Module, path: PathLike, **recipe: Any) -> str:
    """Write ``dict(state_dict=…, meta=recipe)`` and return the file's sha256.

    The file loads with ``weights_only=True`` and as ``'sci/path/to/file.pth'``, or for your own
    class as ``"my_file.MyEnhancer(weights='path/to/file.pth')"``. Equal content gives equal files,
    to the byte. The file is written whole or not at all, into a new folder if need be.

    ``meta`` holds the enhancer's class and its constructor's arguments, and what ``recipe`` says of
    data, steps, seed, licence, …, also in place of our own entries, such as ``input``.

    Raises:
        ConfigError: if it cannot be built again from a file, see :func:`building_of`.
        OSError: if the file cannot be written; an older one stays intact.
    """
    state = {name: value.detach().cpu().clone() for name, value in enhancer.state_dict().items()}
    versions = dict(sci_plugins=__version__, python=platform.python_version())
    versions |= dict(torch=str(torch.__version__), mmengine=str(mmengine.__version__))
    told = dict(input='RGB, float, values in [0, 1], (N, 3, H, W)', versions=versions)
    meta = dict(written_by=f'{MARK} {__version__}', **told) | plain(recipe) | building_of(enhancer)
    # Into memory first: torch would write the file's name into the file.
    content = io.BytesIO()
    torch.save(dict(state_dict=state, meta=meta), content)
    write_atomically(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


def building_of(enhancer: nn.Module) -> dict[str, Any]:
    """``dict(type=…, arguments=…)``, from which an enhancer can be built again.

    Raises ConfigError if an argument is not plain data, or its class cannot be imported.
    """
    kind, arguments, why = type(enhancer), arguments_of(enhancer), ''
    if kind.__module__ == '__main__' or '<locals>' in kind.__qualname__:
        why = 'define the class in a file of its own, such as my_file.py, and import it from there'
    for name, value in arguments.items():
        if any(isinstance(each, Opaque) for each in leaves(value)):
            wish = 'plain data (numbers, text, lists, dicts)'
            why = why or f'its argument {name} must be {wish}, got {value}'
    if why:
        raise ConfigError(f'cannot save {kind.__name__} so that it can be built again: {why}')
    return dict(type=type_name(kind), arguments=arguments)


Tensors = Mapping[str, Tensor]
WRAPPERS = ('sci_plugins.GatedEnhancer', 'sci_plugins.TemporalEnhancer')
_SCALAR = bool | int | float | str | None
#: Arguments whose sum is at most this build nothing large.
_HARMLESS = 4096


def saved_building(content: Any) -> tuple[str, dict[str, Any]]:
    """Type and arguments of the enhancer in a file's content, without what is around it.

    Both are empty if the file has neither: the authors' files, a host's checkpoint. Raises
    CheckpointError if they are not text and a dict.
    """
    meta = content.get('meta') if isinstance(content, Mapping) else None
    _expect(meta, Mapping, 'meta', 'a dict')
    meta = meta or {}
    # Older files have the arguments beside the other entries.
    kind, said = meta.get('type'), meta.get('arguments', meta)
    while kind in WRAPPERS and isinstance(said, Mapping) and isinstance(said.get('enhancer'), dict):
        said = said['enhancer']
        kind = said.get('type')
    _expect(kind, str, 'meta.type', 'text')
    _expect(said, Mapping, 'meta.arguments', 'a dict')
    return kind or '', dict(said or {})


def plain_arguments(kind: type, said: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the constructor of ``kind`` takes, without ``weights``.

    Raises CheckpointError if one is not plain data: numbers and text; for your own class also lists
    and dicts of these.
    """
    taken = inspect.signature(kind).parameters
    files = getattr(kind, 'weight_arguments', BaseEnhancer.weight_arguments)
    arguments = {key: said[key] for key in said if key in taken and key not in files}
    is_ours = type_name(kind).startswith('sci_plugins.')
    for key, value in arguments.items():
        is_flat = is_ours and not isinstance(taken[key].default, tuple)
        if not all(isinstance(v, _SCALAR) for v in ([value] if is_flat else leaves(value))):
            raise CheckpointError(f'meta.{key} must be plain data, not {type(value).__name__}')
    return arguments


def changed_arguments(
    kind: type[BaseEnhancer], said: Mapping[str, Any], tensors: Tensors
) -> dict[str, Any]:
    """Of the arguments in a file, those that ``kind`` takes and that differ from its defaults.

    Raises CheckpointError if they are not plain data, or would build more than the file's
    ``tensors`` hold; the check allocates no memory.
    """
    taken = inspect.signature(kind).parameters
    found = plain_arguments(kind, said).items()
    changed = {key: value for key, value in found if value != taken[key].default}
    _check_size(kind, changed, tensors)
    return changed


def _check_size(kind: type[BaseEnhancer], arguments: dict[str, Any], tensors: Tensors) -> None:
    shown = ', '.join(f'{key}={value!r}' for key, value in arguments.items())
    told = f'its recipe says {show_name(shown)}'
    is_ours = type_name(kind).startswith('sci_plugins.')
    total = sum(abs(value) for value in leaves(arguments) if isinstance(value, int))
    if not arguments or (total <= _HARMLESS and not is_ours):
        return
    storages = (value.untyped_storage() for value in tensors.values())
    have = sum({each.data_ptr(): each.nbytes() for each in storages}.values())
    wanted = 0
    try:
        with torch.device('meta'):  # shapes without values
            wanted = sum(value.numel() for value in kind(**arguments).state_dict().values())
    except Exception as error:
        if is_ours:
            raise CheckpointError(f'{told}: {show_name(first_line(error), 200)}') from error
    if wanted > have or (is_ours and total > max(have, _HARMLESS)):
        raise CheckpointError(f'{told}: such a {kind.__name__} has more values than the file')


def loaded_class(name: str) -> type[BaseEnhancer] | None:
    """The enhancer's class of that name, if its module has been imported."""
    waiting: list[type[BaseEnhancer]] = [BaseEnhancer]  # type: ignore[type-abstract]
    for kind in waiting:
        waiting += kind.__subclasses__()
    return next((kind for kind in reversed(waiting) if type_name(kind) == name), None)


def _expect(value: Any, kind: type, name: str, noun: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise CheckpointError(f'{name} must be {noun}, not {type(value).__name__}')


def plain(value: Any) -> Any:
    """Builtin types only, so that a file loads with ``weights_only=True``."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, _SCALAR) else str(value)
