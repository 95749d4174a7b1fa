# Zero-shot: trained on Cityscapes by day, tested by night with mmseg's checkpoint.
_base_ = [
    '../_base_/deeplabv3plus_r50-d8.py', '../_base_/nightcity.py',
    '../_base_/segmentor_runtime.py'
]
default_scope = 'mmseg'
train_dataloader = None
load_from = 'https://download.openmmlab.com/mmsegmentation/v0.5/deeplabv3plus/deeplabv3plus_r50-d8_512x1024_80k_cityscapes/deeplabv3plus_r50-d8_512x1024_80k_cityscapes_20200606_114049-f9fb496d.pth'  # noqa
