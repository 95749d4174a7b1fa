"""Stand-ins for what a host package lacks on this machine.

``mmcv`` installed without its compiled extension cannot even be imported as far as
``mmcv.ops``, and with it neither ``mmdet.models`` nor ``mmseg.models``. Most models
need three of its operations, and torchvision has all three, in C++ and CUDA.
"""

from sci_plugins.compat.finder import install_mmcv_ops

__all__ = ['install_mmcv_ops']
