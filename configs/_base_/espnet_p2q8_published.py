# ESPNet (p=2, q=8) with the authors' CamVid weights: espnet_p_2_q_8_camvid.pth of
# github.com/sacmehta/ESPNet (pretrained/decoder, MIT), each name with `backbone.` before
# it (docs/results.md has the line). Mean and standard deviation are those of CamVid's
# training frames, the deviation times 255, since the authors divide by both.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[119.16, 117.62, 115.41],
        std=[19976.2, 20320.0, 19998.8],
        bgr_to_rgb=False,
        pad_val=0,
        seg_pad_val=255,
        test_cfg=dict(size_divisor=32)),
    backbone=dict(type='sci_plugins.ESPNet'),
    decode_head=dict(
        type='sci_plugins.ScoresHead',
        in_channels=11,
        channels=11,
        num_classes=11,
        in_index=0,
        align_corners=False),
    test_cfg=dict(mode='whole'))
