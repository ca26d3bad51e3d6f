r"""TREC, trained from scratch: questions in six classes, by the kind of answer.

    flax-transformer train experiments/trec.py --workdir runs/trec
    flax-transformer classify --workdir runs/trec "Who wrote Hamlet ?"

The data are downloaded, or read from --data.manual-dir. They lack a validation split, so the last
tenth of the training questions is used. --data.train-split train trains on all of them; then the
validation scores are no longer of unseen questions. Pre-training by masked language modeling
on the training questions raises the test accuracy; see docs/results.md.
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
