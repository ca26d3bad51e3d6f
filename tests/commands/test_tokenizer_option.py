"""A training with a tokenizer of another project: later commands use the copy in the workdir."""

import pytest
import tokenizers
from command_line import assert_is_error
from small import PAIRS
from tokenizers import decoders, models, pre_tokenizers, trainers

SHORT = ["--training.num-steps", "2", "--training.checkpoint-every-steps", "2"]


@pytest.fixture
def tokenizer(tmp_path):
    """The file of a byte-level BPE of another project."""
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([pair.target for pair in PAIRS], trainer)
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    return path


def test_the_file_may_go_once_a_training_has_begun(run, tmp_path, tokenizer):
    workdir = str(tmp_path / "run")
    command = [
        "train",
        "small.py",
        "--workdir",
        workdir,
        "--data.tokenizer",
        str(tokenizer),
        *SHORT,
    ]
    assert run(*command).code == 0
    tokenizer.unlink()
    saved = tokenizers.Tokenizer.from_file(f"{workdir}/tokenizer.json")
    assert saved.token_to_id("<s>") == 0
    assert run("translate", "--workdir", workdir, "twenty two").code == 0
    assert run("evaluate", "--workdir", workdir).code == 0


def test_a_file_that_is_none_is_told_before_anything_is_written(run, tmp_path):
    file = tmp_path / "spm.model"
    file.write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02\xff")
    command = ["train", "small.py", "--workdir", str(tmp_path / "run")]
    result = run(*command, "--data.tokenizer", str(file))
    assert_is_error(result, rf"{file} is not a Hugging Face tokenizer .*: give the tokenizer\.json")
    assert not (tmp_path / "run").exists()
