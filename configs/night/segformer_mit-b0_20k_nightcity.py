# Trained on by night from mmseg's Cityscapes weights.
_base_ = [
    '../_base_/segformer_mit-b0.py', '../_base_/nightcity.py',
    '../_base_/night_schedule_20k_adamw.py', '../_base_/segmentor_runtime.py'
]
default_scope = 'mmseg'
# load_from holds the whole network: no need to fetch the backbone's weights before.
model = dict(backbone=dict(init_cfg=None))
train_dataloader = dict(batch_size=8)
load_from = 'https://download.openmmlab.com/mmsegmentation/v0.5/segformer/segformer_mit-b0_8x1_1024x1024_160k_cityscapes/segformer_mit-b0_8x1_1024x1024_160k_cityscapes_20211208_101857-e7f88502.pth'  # noqa
