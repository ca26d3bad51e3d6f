import gzip
from pathlib import Path

import pytest

from flax_transformer.data.datasets.conllu import (
    TaggedSentence,
    TaggedWordsConfig,
    open_split,
    read_conllu,
)
from flax_transformer.errors import UserError

PARTUT = Path(__file__).parents[3] / "shared/data/ud_english_partut"


def row(number: str, word: str, tag: str) -> str:
    return "\t".join([number, word, word.lower(), tag, *["_"] * 6])


DO_NOT = [
    "# text = Don't go.",
    row("1-2", "Don't", "_"),
    row("1", "Do", "AUX"),
    row("2", "n't", "PART"),
    row("2.1", "silently", "ADV"),
    row("3", "go", "VERB"),
    row("4", ".", "PUNCT"),
]
EXPECTED = TaggedSentence(("Do", "n't", "go", "."), ("AUX", "PART", "VERB", "PUNCT"))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines))
    return path


def test_ranges_empty_nodes_and_comments_are_skipped(tmp_path):
    path = write(tmp_path / "a.conllu", *DO_NOT, "", "", "# a comment", row("1", "#", "SYM"), "")
    assert list(read_conllu(path)) == [EXPECTED, TaggedSentence(("#",), ("SYM",))]


def test_the_last_sentence_needs_no_blank_line_and_the_file_may_be_gzipped(tmp_path):
    path = tmp_path / "a.conllu.gz"
    path.write_bytes(gzip.compress("\r\n".join(DO_NOT).encode()))
    assert list(read_conllu(path)) == [EXPECTED]


def test_words_are_given_as_they_are(tmp_path):
    words = ["10 000", "É", "“"]
    lines = [row(str(i), word, "X") for i, word in enumerate(words, 1)]
    assert next(read_conllu(write(tmp_path / "a.conllu", *lines))).words == tuple(words)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\tgo\tVERB", r"line 2 has 3 columns separated by tabs, not 10"),
        (row("3", "go", "VERB"), r"line 2 begins with '3', not 2: number the words"),
        (row("two", "go", "VERB"), r"line 2 begins with 'two', not 2"),
        (row("2", "go", "_"), r"line 2 has no tag in column 4"),
        (row("2", "", "VERB"), r"line 2 has no word in column 2"),
    ],
)
def test_other_lines_are_refused(tmp_path, line, message):
    path = write(tmp_path / "a.conllu", row("1", "go", "VERB"), line)
    with pytest.raises(UserError, match=message):
        list(read_conllu(path))


def test_a_file_without_a_word_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no word"):
        list(read_conllu(write(tmp_path / "a.conllu", "# nothing", "")))


def test_a_split_has_records_tags_and_a_digest_of_its_contents(tmp_path):
    path = write(tmp_path / "a.conllu", *DO_NOT)
    config = TaggedWordsConfig(train_file=str(path), validation_file=str(path))
    split = open_split(config, "train")
    assert len(split) == 1
    # Each reading begins anew.
    for _ in range(2):
        assert [TaggedSentence(**record) for record in split] == [EXPECTED]
    assert split.class_names == ("AUX", "PART", "PUNCT", "VERB")
    assert open_split(config, "validation").digest == split.digest
    write(path, *DO_NOT, "", row("1", "Go", "VERB"))
    assert open_split(config, "train").digest != split.digest


def test_what_is_missing_is_named():
    config = TaggedWordsConfig(train_file="a.conllu")
    with pytest.raises(UserError, match=r"no file of the split test: give --data\.test-file"):
        open_split(config, "test")
    with pytest.raises(UserError, match=r"no split 'train\[:5\]': choose one of train, valid"):
        open_split(config, "train[:5]")
    assert config.held_out_split == "validation"
    assert TaggedWordsConfig(test_file="a.conllu").held_out_split == "test"


@pytest.mark.skipif(not PARTUT.exists(), reason="needs the treebank English ParTUT")
@pytest.mark.parametrize(
    ("name", "num_sentences", "num_words"),
    [("train", 1_781, 43_504), ("dev", 156, 2_722), ("test", 153, 3_408)],
)
def test_partut_has_as_many_words_as_it_says(name, num_sentences, num_words):
    sentences = list(read_conllu(PARTUT / f"en_partut-ud-{name}.conllu.gz"))
    assert len(sentences) == num_sentences
    assert sum(len(sentence.words) for sentence in sentences) == num_words
    if name == "train":
        assert len({tag for sentence in sentences for tag in sentence.tags}) == 17
