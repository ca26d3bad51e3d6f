import numpy as np

from flax_transformer.data.batches.examples import ExampleBatches, Examples, TextInputs
from flax_transformer.data.tokens.tokenized import TokenizedText

LENGTHS = (3, 40, 17, 5, 16, 33, 2)


def make_inputs(max_length: int) -> TextInputs:
    """Text i consists of the ids i + 3, EOS last."""
    texts = [[index + 3] * (length - 1) + [2] for index, length in enumerate(LENGTHS)]
    return TextInputs(TokenizedText.of(texts), max_length)


def test_a_batch_is_as_long_as_the_next_power_of_two_and_as_its_limit():
    inputs = make_inputs(37)
    assert len(inputs) == len(LENGTHS)
    shapes = {index: inputs.take(np.array([index]))[0].shape[1] for index in range(len(LENGTHS))}
    assert shapes == {0: 16, 1: 37, 2: 32, 3: 16, 4: 16, 5: 37, 6: 16}
    assert inputs.take(np.array([0, 2]))[0].shape == (2, 32)


def test_texts_are_padded_and_cut_to_an_end_mark():
    tokens, segments = make_inputs(37).take(np.array([0, -1, 1]))
    first, empty, cut = tokens
    assert segments is not None
    assert segments.tolist() == [[1] * 3 + [0] * 34, [0] * 37, [1] * 37]
    assert first.tolist() == [3, 3, 2] + [0] * 34
    assert not empty.any()
    assert cut.tolist() == [4] * 36 + [2]


def test_a_batch_of_empty_rows_has_a_shape():
    assert make_inputs(37).take(np.array([-1, -1]))[0].shape == (2, 16)


def test_the_shortest_come_first():
    order = make_inputs(50).order(np.array([1, 2, 3, 5, 6]))
    assert order.tolist() == [6, 3, 2, 5, 1]


def test_every_text_comes_once_an_epoch_and_once_in_an_evaluation():
    examples = Examples(make_inputs(50), np.arange(len(LENGTHS)), tuple("abcdefg"))
    batches = ExampleBatches(examples, batch_size=4, seed=5)
    for epoch in range(3):
        seen = np.concatenate([batches[2 * epoch + i].labels for i in range(2)])
        assert sorted(seen.tolist()) == [-1, *range(7)]
    found = list(ExampleBatches(examples, 3, seed=None).epoch())
    indices = np.concatenate([of for of, _ in found])
    assert sorted(indices.tolist()) == [-1, -1, *range(7)]
    for of, batch in found:
        for index, row, label in zip(of, batch.inputs, batch.labels, strict=True):
            assert label == index
            assert row[0] == (index + 3 if index >= 0 else 0)


def test_examples_without_names_are_all_of_a_kind():
    examples = Examples(make_inputs(50), np.zeros(7, np.int32))
    assert ExampleBatches(examples, 4).describe("1 device")[0].startswith("7 examples; 2 updates")
    named = examples._replace(class_names=("a", "b"))
    assert "7 examples of 2 classes; " in ExampleBatches(named, 4).describe("1 device")[0]
