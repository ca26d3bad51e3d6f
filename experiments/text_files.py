r"""Your own parallel text: two files to train on, two to validate on, one sentence per line.

    flax-transformer train experiments/text_files.py --workdir runs/mine \
        --data.train-source train.en --data.train-target train.de \
        --data.validation-source valid.en --data.validation-target valid.de

Two more files, --data.test-source and --data.test-target, are scored at the end if given.
--data.test-references FILE, repeated for each file, names further translations of the same
sentences. Both sides may also be columns of one file, with a tab between them:

    flax-transformer train experiments/text_files.py --workdir runs/mine \
        --data.train-pairs pairs.tsv --data.source-column 2 --data.target-column 1

Without validation files, a twentieth of the training pairs is held out, at most 1,000. The sizes
suit tens to hundreds of thousands of pairs. For millions of pairs, add --preset base and
--training.num-steps 100000 on an accelerator.
"""

import dataclasses

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.ParallelTextConfig(dataset="text_files", vocab_size=8000),
    model=dataclasses.replace(
        ft.ZOO["tiny"].config, norm_placement="pre", residual_dropout_rate=0.1
    ),
    optimizer=ft.OptimizerConfig(schedule="cosine", learning_rate=4e-3, warmup_steps=500),
    training=ft.TrainingConfig(
        num_steps=10_000, evaluate_every_steps=500, checkpoint_every_steps=500
    ),
)
