"""Fashion-MNIST: gray images of clothes in ten classes, with a Vision Transformer.

flax-transformer train experiments/fashion_mnist.py --workdir runs/fashion_mnist

The data set is downloaded; --data.manual-dir DIR reads its four files from a folder. Accuracy on
the test split: 90.9 % after 23 minutes on one processor core; 88.2 % after 9 minutes with
    --training.num-steps 6000
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ImagesConfig(
        dataset="fashion_mnist",
        train_split="train[:90%]",
        validation_split="train[90%:]",
        batch_size=64,
        augmentation=ft.AugmentationConfig(shift=1, flip=True),
    ),
    model=ft.VisionConfig(
        num_layers=4,
        d_model=64,
        d_ff=128,
        num_heads=4,
        image_size=(28, 28),
        patch_size=(4, 4),
        num_channels=1,
        positions="sinusoidal_2d",
        pooling="mean",
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 2e-3, warmup_steps=300, clip_norm=1.0, ema_decay=0.999),
    training=ft.TrainingConfig(
        num_steps=15000,
        evaluate_every_steps=1000,
        checkpoint_every_steps=1000,
        keep_checkpoints=1,
        log_every_steps=200,
    ),
)
