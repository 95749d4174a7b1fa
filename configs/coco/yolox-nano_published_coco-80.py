# YOLOX-nano with its published COCO weights, frozen, on 80 images of COCO val2017: at least
# one of each class, chosen, not drawn, so that its AP is not COCO's. Only for tests.
_base_ = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
data_root = '{{$SCI_PLUGINS_DATA:.}}/data/coco/'
model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(deepen_factor=0.33, widen_factor=0.25, use_depthwise=True),
    neck=dict(
        in_channels=[64, 128, 256],
        out_channels=64,
        num_csp_blocks=1,
        use_depthwise=True),
    bbox_head=dict(in_channels=64, feat_channels=64, use_depthwise=True))
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root))
test_evaluator = dict(
    ann_file=data_root + 'annotations/instances_val2017.json')
train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
custom_hooks = []
val_dataloader = None
val_cfg = None
val_evaluator = None
custom_imports = dict(imports=['sci_plugins'], allow_failed_imports=False)
