# Optimiser of the authors' code.
optim_wrapper = dict(
    optimizer=dict(
        type='Adam', lr=3e-4, betas=(0.9, 0.999), weight_decay=3e-4),
    clip_grad=dict(max_norm=5.0))
