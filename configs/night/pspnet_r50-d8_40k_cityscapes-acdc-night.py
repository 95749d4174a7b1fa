# Zero-shot: trained on Cityscapes by day, tested by night with mmseg's checkpoint.
_base_ = [
    '../_base_/pspnet_r50-d8.py', '../_base_/acdc_night.py',
    '../_base_/segmentor_runtime.py'
]
default_scope = 'mmseg'
train_dataloader = None
load_from = 'https://download.openmmlab.com/mmsegmentation/v0.5/pspnet/pspnet_r50-d8_512x1024_40k_cityscapes/pspnet_r50-d8_512x1024_40k_cityscapes_20200605_003338-2966598c.pth'  # noqa
