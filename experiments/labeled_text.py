r"""Your own labeled texts: a .csv or .tsv file to train on and one to validate on.

    flax-transformer train experiments/labeled_text.py --workdir runs/mine \
        --data.train-file train.csv --data.validation-file valid.csv
    flax-transformer classify --workdir runs/mine "..."

The first line names the columns; `text` and `label` are read. The classes are the labels of the
training file. A third file, --data.test-file, is scored at the end if given. With
--task.class-weights balanced, rare classes count as much as the others. The sizes suit thousands to
tens of thousands of texts of one or two sentences. For longer texts raise --data.max-length; above
512, raise --model.max-positions too. For fewer texts pre-train on your own raw text: see
experiments/masked_text.py.
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.LabeledTextConfig(dataset="labeled_text", max_length=64),
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
        num_steps=1000,
        evaluate_every_steps=100,
        checkpoint_every_steps=100,
        keep_checkpoints=3,
        log_every_steps=50,
    ),
)
