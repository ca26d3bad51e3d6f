r"""Parts of speech of English words: the treebank ParTUT of Universal Dependencies, from scratch.

    base=https://raw.githubusercontent.com/UniversalDependencies/UD_English-ParTUT/master
    for split in train dev test; do curl -O $base/en_partut-ud-$split.conllu; done
    flax-transformer train experiments/partut.py --workdir runs/partut
    flax-transformer tag --workdir runs/partut "The cat sat on the mat ."

Any treebank in the CoNLL-U format works, also gzipped: give its files as --data.train-file,
--data.validation-file and --data.test-file (None without one).
"""

import flax_transformer as ft

experiment = ft.Experiment(
    data=ft.TaggedWordsConfig(
        train_file="en_partut-ud-train.conllu",
        validation_file="en_partut-ud-dev.conllu",
        test_file="en_partut-ud-test.conllu",
        vocab_size=4000,
        max_length=128,
        batch_size=32,
    ),
    model=ft.EncoderOnlyConfig(
        num_layers=2,
        d_model=128,
        d_ff=256,
        num_heads=4,
        convolution_width=5,
        residual_dropout_rate=0.3,
    ),
    task=ft.TaggingConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 1e-3, warmup_steps=100, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=800,
        evaluate_every_steps=200,
        checkpoint_every_steps=200,
        keep_checkpoints=1,
        log_every_steps=100,
    ),
)
