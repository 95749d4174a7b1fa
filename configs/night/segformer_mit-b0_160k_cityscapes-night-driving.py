# Zero-shot: trained on Cityscapes by day, tested by night with mmseg's checkpoint.
_base_ = [
    '../_base_/segformer_mit-b0.py', '../_base_/night_driving.py',
    '../_base_/segmentor_runtime.py'
]
default_scope = 'mmseg'
load_from = 'https://download.openmmlab.com/mmsegmentation/v0.5/segformer/segformer_mit-b0_8x1_1024x1024_160k_cityscapes/segformer_mit-b0_8x1_1024x1024_160k_cityscapes_20211208_101857-e7f88502.pth'  # noqa
