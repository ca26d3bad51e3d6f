"""Handwritten digits of 8 x 8 pixels (built in), with a Vision Transformer, in minutes.

flax-transformer train experiments/digits.py --workdir runs/digits

The test split is the end of the data, probably by other writers. Accuracy after two and a half
minutes on one processor core: 97.0 % on the test split and 99.5 % on the validation split. The mean
of all patches, --model.pooling mean, reaches 96.3 %, and 97.7 % with --data.train-split
train+validation --data.augmentation.mixup 0.2. On this test split, scikit-learn's support vector
machine (gamma 0.001) and its three nearest neighbors reach 95.3 %.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ImagesConfig(
        dataset="digits",
        batch_size=64,
        augmentation=ft.AugmentationConfig(shift=1, rotation=15.0, scale=0.15, slant=15.0),
    ),
    model=ft.VisionConfig(
        num_layers=3,
        d_model=64,
        d_ff=256,
        num_heads=4,
        image_size=(8, 8),
        patch_size=(2, 2),
        num_channels=1,
        positions="sinusoidal_2d",
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 2e-3, warmup_steps=200, clip_norm=1.0, ema_decay=0.999),
    training=ft.TrainingConfig(
        num_steps=5000,
        evaluate_every_steps=500,
        checkpoint_every_steps=500,
        keep_checkpoints=1,
        log_every_steps=100,
    ),
)
