import pytest

from flax_transformer.models.table3 import table3
from flax_transformer.models.zoo import ZOO, count_parameters

COUNTED = [name for name, row in table3().items() if row.parameters is not None]


@pytest.mark.parametrize("name", COUNTED)
def test_a_published_count_is_met(name):
    row = table3()[name]
    assert round(count_parameters(row.model, row.vocab_size) / 1e6) == row.parameters


@pytest.mark.parametrize(
    ("name", "vocab_size", "millions"),
    [
        ("base", 37_000, 63.0),
        ("base", 41_000, 65.1),
        ("big", 37_000, 214.2),
        ("big", 36_000, 213.1),
    ],
)
def test_base_and_big_have_their_known_counts(name, vocab_size, millions):
    assert round(count_parameters(ZOO[name].config, vocab_size) / 1e6, 1) == millions


def test_the_table_is_that_of_the_paper():
    published = {name: row.parameters for name, row in table3().items() if row.parameters}
    assert list(published.values()) == [65, 58, 60, 36, 50, 80, 28, 168, 53, 90, 213]
    assert [row.perplexity for row in table3().values()] == [
        *(4.92, 5.29, 5.00, 4.91, 5.01, 5.16, 5.01, 6.11, 5.19, 4.88),
        *(5.75, 4.66, 5.12, 4.75, 5.77, 4.95, 4.67, 5.47, 4.92, 4.33),
    ]
    assert [row.bleu for row in table3().values()] == [
        *(25.8, 24.9, 25.5, 25.8, 25.4, 25.1, 25.4, 23.7, 25.3, 25.5),
        *(24.5, 26.0, 25.4, 26.2, 24.6, 25.5, 25.3, 25.7, 25.7, 26.4),
    ]
    assert {name for name, row in table3().items() if row.num_steps != 100_000} == {"big"}


@pytest.mark.parametrize(
    ("name", "head_dims"),
    [
        ("A-heads-1", (512, 512)),
        ("A-heads-4", (128, 128)),
        ("A-heads-16", (32, 32)),
        ("A-heads-32", (16, 16)),
        ("B-key-dim-16", (16, 64)),
        ("B-key-dim-32", (32, 64)),
        ("C-d-model-256", (32, 32)),
        ("C-d-model-1024", (128, 128)),
    ],
)
def test_heads_are_as_wide_as_in_the_paper(name, head_dims):
    assert table3()[name].model.head_dims() == head_dims


def test_every_row_differs_from_every_other():
    assert len({(row.model, row.label_smoothing) for row in table3().values()}) == len(table3())
    assert all(ZOO[name].config == row.model for name, row in table3().items())
