"""What stands in ``mmcv._ext``: the table of operations, and a line for the others."""

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

import torch

from sci_plugins.compat.ops import (
    MissingOpError,
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
    nms,
    roi_align_backward,
    roi_align_forward,
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
)

OPS: dict[str, Callable[..., Any]] = {
    op.__name__: op
    for op in (
        nms,
        roi_align_forward,
        roi_align_backward,
        deform_conv_forward,
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        modulated_deform_conv_forward,
        modulated_deform_conv_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        ms_deform_attn_forward,
        ms_deform_attn_backward,
    )
}


def get_compiler_version() -> str:
    """Name the origin of the ops, where mmcv reports its compiler."""
    import torchvision

    return f'none, ops from torchvision {torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    """The CUDA version behind the ops, or mmcv's own words for a build without."""
    return torch.version.cuda or 'not available'


def missing_op(name: str) -> Callable[..., NoReturn]:
    """Make the function that says, when it is called, that ``name`` is not here."""
    families = dict.fromkeys(re.sub(r'_(forward|backward).*', '', op) for op in OPS)

    def raise_missing(*args: object, **kwargs: object) -> NoReturn:
        raise MissingOpError(name, list(families))

    raise_missing.__name__ = name
    return raise_missing


def _missing_attribute(name: str) -> Callable[..., NoReturn]:
    # mmcv checks at import, with hasattr, for every op that it may call one day;
    # Python's own questions (__path__, __wrapped__, ...) keep their honest answer.
    if name.startswith('_'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")
    return missing_op(name)


def fill(module: ModuleType) -> None:
    """Put the ops into ``module``; every other op name raises when it is called."""
    module.__doc__ = 'Operations of mmcv, computed by torchvision.'
    vars(module).update(
        OPS,
        get_compiler_version=get_compiler_version,
        get_compiling_cuda_version=get_compiling_cuda_version,
        __getattr__=_missing_attribute,
    )
