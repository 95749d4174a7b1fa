"""What stands in for ``mmcv._ext``: the operations, and an error for all others."""

import re
from types import ModuleType
from typing import Any, NoReturn

import torch

from sci_plugins.compat import ops

OPS: dict[str, Any] = {
    name: getattr(ops, name)
    for name in (
        'nms',
        'roi_align_forward',
        'roi_align_backward',
        'deform_conv_forward',
        'deform_conv_backward_input',
        'deform_conv_backward_parameters',
        'modulated_deform_conv_forward',
        'modulated_deform_conv_backward',
        'sigmoid_focal_loss_forward',
        'sigmoid_focal_loss_backward',
        'ms_deform_attn_forward',
        'ms_deform_attn_backward',
    )
}


def get_compiler_version() -> str:
    """Name the origin of the ops, where mmcv reports its compiler."""
    return f'none, ops from torchvision {ops.torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    """The CUDA version behind the ops, or mmcv's own words for a build without."""
    return torch.version.cuda or 'not available'


def _missing_op(name: str) -> Any:
    # mmcv looks up at import, with hasattr, every op that it may ever call: the error must wait
    # for the call. Python's own lookups (__path__, __wrapped__, ...) must fail as usual.
    if name.startswith('_'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")

    def raise_missing(*args: object, **kwargs: object) -> NoReturn:
        families = dict.fromkeys(re.sub(r'_(forward|backward).*', '', op) for op in OPS)
        raise ops.MissingOpError(name, list(families))

    return raise_missing


def fill(module: ModuleType) -> None:
    """Put the ops into ``module``; every other op raises when it is called."""
    module.__doc__ = 'Operations of mmcv, computed by torchvision.'
    vars(module).update(
        OPS,
        get_compiler_version=get_compiler_version,
        get_compiling_cuda_version=get_compiling_cuda_version,
        __getattr__=_missing_op,
    )
