"""CIFAR-10 with a small Vision Transformer: a recipe for a GPU.

flax-transformer train experiments/cifar10.py --workdir runs/cifar10 --data.manual-dir DIR

DIR holds cifar10_train_jpeg.npz and cifar10_test_jpeg.npz with the images as JPEG. For the
lossless images of TFDS: --data.dataset cifar10. Only tested for a few updates on a CPU, where it is
slow.
Quick test: --training.num-steps 20 --data.batch-size 16

Small Vision Transformers without pre-training need strong augmentation and many epochs. The recipe
has RandAugment and mixup as in Touvron et al. 2021 (DeiT), mean pooling and sinusoidal positions as
in Beyer et al. 2022.
"""

import flax_transformer as ft

EPOCH = 45_000 // 128  # updates

experiment = ft.Experiment(
    data=ft.ImagesConfig(
        dataset="cifar10_jpeg",
        train_split="train[:90%]",
        validation_split="train[90%:]",
        batch_size=128,
        augmentation=ft.AugmentationConfig(
            shift=4, flip=True, rand_augment_layers=2, rand_augment_magnitude=9.0, mixup=0.2
        ),
    ),
    model=ft.VisionConfig(
        num_layers=6,
        d_model=192,
        d_ff=768,
        num_heads=3,
        image_size=(32, 32),
        patch_size=(4, 4),
        positions="sinusoidal_2d",
        pooling="mean",
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 1e-3, warmup_steps=10 * EPOCH, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=200 * EPOCH,
        evaluate_every_steps=5 * EPOCH,
        checkpoint_every_steps=EPOCH,
        keep_checkpoints=1,
    ),
)
