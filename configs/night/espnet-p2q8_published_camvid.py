_base_ = [
    '../_base_/espnet_p2q8_published.py', '../_base_/camvid.py',
    '../_base_/light_runtime.py'
]
default_scope = 'mmseg'
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
train_dataloader = None
