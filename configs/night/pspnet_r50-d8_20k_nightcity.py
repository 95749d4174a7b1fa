# Trained on by night from mmseg's Cityscapes weights.
_base_ = [
    '../_base_/pspnet_r50-d8.py', '../_base_/nightcity.py',
    '../_base_/night_schedule_20k.py', '../_base_/segmentor_runtime.py'
]
default_scope = 'mmseg'
# load_from holds the whole network: no need to fetch the backbone's weights before.
model = dict(backbone=dict(init_cfg=None))
train_dataloader = dict(batch_size=8)
load_from = 'https://download.openmmlab.com/mmsegmentation/v0.5/pspnet/pspnet_r50-d8_512x1024_40k_cityscapes/pspnet_r50-d8_512x1024_40k_cityscapes_20200605_003338-2966598c.pth'  # noqa
