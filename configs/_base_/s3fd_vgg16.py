# S3FD (Zhang et al., ICCV 2017, arXiv 1708.05237), 22.5 M parameters: six levels
# of strides 4 to 128, one square anchor a location, four strides wide.
#
# The weights of VGG-16 with fc6 and fc7 as convolutions were trained on grey levels
# with the mean taken off and nothing else: 104, 117, 123 in the authors' own files,
# in BGR. mmdet's copy of them wants RGB, as its own SSD feeds it. The enhancer works
# before all of this, on the image as it was loaded.
model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.0, 117.0, 104.0],
        std=[1.0, 1.0, 1.0],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='sci_plugins.S3FDVGG',
        init_cfg=dict(
            type='Pretrained', checkpoint='open-mmlab://vgg16_caffe')),
    neck=dict(type='sci_plugins.S3FDNeck', l2_norm_scales=(10.0, 8.0, 5.0)),
    bbox_head=dict(
        type='sci_plugins.S3FDHead',
        num_classes=1,
        max_out=3,
        anchor_generator=dict(
            type='AnchorGenerator',
            strides=[4, 8, 16, 32, 64, 128],
            scales=[4],
            ratios=[1.0],
            center_offset=0.5),
        bbox_coder=dict(
            type='DeltaXYWHBBoxCoder',
            target_means=[.0, .0, .0, .0],
            target_stds=[0.1, 0.1, 0.2, 0.2])),
    train_cfg=dict(
        assigner=dict(
            type='sci_plugins.ScaleCompensatedAssigner',
            pos_iou_thr=0.35,
            compensation_iou_thr=0.1,
            ignore_iof_thr=0.5),
        sampler=dict(type='PseudoSampler'),
        smoothl1_beta=1.0,
        neg_pos_ratio=3,
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    # To measure speed the paper keeps 200 of the 400 best boxes above 0.05; what comes
    # after them still counts in an average precision.
    test_cfg=dict(
        nms_pre=5000,
        nms=dict(type='nms', iou_threshold=0.3),
        min_bbox_size=0,
        score_thr=0.01,
        max_per_img=750))
