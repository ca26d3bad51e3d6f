r"""Questions by what they ask for, in six classes: TREC, from scratch.

    flax-transformer train experiments/trec.py --workdir runs/trec
    flax-transformer classify --workdir runs/trec "Who wrote Hamlet ?"

The data is downloaded, or read from --data.manual-dir. It has no split to validate on: the last
tenth of the training questions serves. With --data.train-split train all of them are trained on,
and the scores on the way are no longer of unseen questions. More of the test questions are right
if the model has first filled gaps in the training questions themselves, see docs/results.md.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.LabeledTextConfig(
        dataset="trec",
        train_split="train[:90%]",
        validation_split="train[90%:]",
        vocab_size=4000,
        max_length=40,
        batch_size=64,
    ),
    model=ft.EncoderOnlyConfig(
        num_layers=2,
        d_model=128,
        d_ff=256,
        num_heads=4,
        pooling="max",
        convolution_width=5,
        residual_dropout_rate=0.3,
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 1e-3, warmup_steps=100, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=600,
        evaluate_every_steps=200,
        checkpoint_every_steps=200,
        keep_checkpoints=1,
        log_every_steps=100,
    ),
)
