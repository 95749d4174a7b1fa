"""Which enhancer a file of weights was made for: from what it says, or its shapes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sci_plugins.errors import SciPluginsError
from sci_plugins.models.enhancers.official import find_weight_file
from sci_plugins.models.enhancers.weights import find_estimator, tensors_of
from sci_plugins.utils.checkpoint import read_checkpoint

_SCI = 'sci_plugins.SCIEnhancer'
_DEFAULTS = dict(layers=1, channels=3)
#: What may be built from a name in a file, and the arguments that it may give.
_ARGUMENTS = {
    _SCI: ('layers', 'channels'),
    'sci_plugins.RUASEnhancer': ('iterations', 'channels'),
}


def config_of_weights(name: str) -> dict[str, Any]:
    """The config of an enhancer that fits a file of weights.

    Type and sizes are those that a file of ours says; one that says nothing (the
    authors', a host's checkpoint) tells SCI's by its shapes and by the blocks that it
    names. Only what differs from SCI's defaults is set. A gate around it is no part of
    the answer: ``'gated/sci/FILE'`` names both.

    Never fails: where a file cannot be read or is not understood, the config is
    ``SCIEnhancer`` as it comes, and loading says what is wrong. Official files are
    not looked at, they fit that.

    Args:
        name: ``official/...``, ``sci_plugins/...`` or a path.

    Returns:
        ``dict(type=..., weights=name, ...)``.
    """
    config: dict[str, Any] = dict(type=_SCI, weights=name)
    if name.startswith('official/'):
        return config
    try:
        content = read_checkpoint(find_weight_file(name).path)
        tensors = tensors_of(content)
    except (SciPluginsError, OSError):
        return config
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    if meta.get('type') in _ARGUMENTS:
        config['type'] = meta['type']
    said = {key: meta[key] for key in _ARGUMENTS[config['type']] if key in meta}
    if config['type'] != _SCI:
        return config | said
    sizes = _sizes_by_shape(tensors) | said
    return config | {key: sizes[key] for key in sizes if sizes[key] != _DEFAULTS[key]}


def weights_name(config: Mapping[str, Any]) -> str | None:
    """The name of the weights that an enhancer's config loads, also behind a gate."""
    inner = config.get('enhancer')
    if isinstance(inner, Mapping):
        return weights_name(inner)
    return config.get('weights')


def _sizes_by_shape(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """SCI's sizes as far as the entries tell them; empty if there is no estimator."""
    entries = find_estimator(tensors, 'in_conv')
    if not entries:
        alone = find_estimator(tensors, 'out_conv')
        return dict(layers=0, channels=None) if alone else {}
    name = next(key for key in entries if key.startswith('in_conv.'))
    sizes: dict[str, Any] = dict(channels=entries[name].shape[0])
    blocks = {key.split('.')[1] for key in entries if key.startswith('blocks.')}
    return sizes | (dict(layers=len(blocks)) if blocks else {})
