from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.functional import SCHEMES, sinusoidal_2d_positions
from flax_transformer.modules import PositionalEmbedding, TokenEmbedding
from flax_transformer.modules.token_embedding import EmbeddingScaling

BATCH, LENGTH, D_MODEL, VOCAB, MAX_LENGTH = 2, 5, 7, 11, 13


@pytest.fixture
def embedded(normal):
    return normal(BATCH, LENGTH, D_MODEL)


class TestTokenEmbedding:
    module = TokenEmbedding(VOCAB, D_MODEL)
    tokens = jnp.array([[0, 3, 10, 3, 1], [2, 5, 7, 0, 0]])

    @pytest.fixture
    def variables(self):
        return draw_parameters(self.module, self.tokens)

    def test_one_matrix_embeds_tokens_and_scores_them(self, variables, embedded):
        (matrix,) = jax.tree.leaves(variables)
        assert matrix.shape == (VOCAB, D_MODEL)
        assert_close(self.module.apply(variables, self.tokens), 7**0.5 * matrix[self.tokens], 1e-6)
        logits = self.module.apply(variables, embedded, method="logits")
        assert_close(logits, np.asarray(embedded, np.float64) @ matrix.T, 1e-6)

    def test_the_scale_stands_at_the_inputs_or_at_the_logits(self, variables, embedded):
        module = TokenEmbedding(VOCAB, D_MODEL, scaling="logits")
        (matrix,) = jax.tree.leaves(variables)
        np.testing.assert_array_equal(module.apply(variables, self.tokens), matrix[self.tokens])
        logits = module.apply(variables, embedded, method="logits")
        assert_close(logits, np.asarray(embedded, np.float64) @ matrix.T / 7**0.5, 1e-6)

    def test_without_a_scale_the_matrix_stands_alone(self, variables, embedded):
        module = TokenEmbedding(VOCAB, D_MODEL, scaling="none")
        (matrix,) = jax.tree.leaves(variables)
        np.testing.assert_array_equal(module.apply(variables, self.tokens), matrix[self.tokens])
        logits = module.apply(variables, embedded, method="logits")
        assert_close(logits, np.asarray(embedded, np.float64) @ matrix.T, 1e-6)

    @pytest.mark.parametrize("scaling", get_args(EmbeddingScaling))
    def test_embeddings_begin_with_unit_variance_or_small(self, scaling):
        module = TokenEmbedding(997, 101, scaling)
        embedded, _ = module.init_with_output(jax.random.key(0), jnp.arange(997))
        expected = 0.02 if scaling == "none" else 1
        assert abs(embedded.std() / expected - 1) < 0.02


class TestPositionalEmbedding:
    positions = jnp.array([[3, 4, 5, 6, 7], [0, 0, 1, 2, 0]])
    lengths = jnp.full((BATCH, LENGTH), 11)

    def test_the_paper_adds_sinusoids(self, embedded):
        module = PositionalEmbedding("sinusoidal", MAX_LENGTH)
        added = module.apply({}, embedded, self.positions, self.lengths) - embedded
        expected = [reference.sinusoidal_positions(row.tolist(), D_MODEL) for row in self.positions]
        assert_close(added, np.stack(expected), 1e-5)

    def test_a_learned_row_is_added_to_its_position_and_none_beyond_the_table(self, embedded):
        module = PositionalEmbedding("learned", MAX_LENGTH)
        positions = self.positions + MAX_LENGTH - 5
        variables = draw_parameters(module, embedded, positions, self.lengths)
        table = variables["params"]["table"]
        assert table.shape == (MAX_LENGTH, D_MODEL)
        positioned: Any = module.apply(variables, embedded, positions, self.lengths)
        np.testing.assert_array_equal(positioned[0, :2], embedded[0, :2] + table[-2:])
        assert jnp.isnan(positioned[0, 2:]).all()

    def test_sequences_that_grow_count_as_long_as_can_be(self, embedded):
        module = PositionalEmbedding("scaled", MAX_LENGTH)
        longest = jnp.full_like(self.lengths, MAX_LENGTH)
        expected = module.apply({}, embedded, self.positions, longest)
        np.testing.assert_array_equal(module.apply({}, embedded, self.positions), expected)

    def test_on_a_grid_rows_and_columns_are_encoded_and_other_tokens_are_not(self, embedded):
        """Four cells in one row, which as a sequence would be folded into a square."""
        module = PositionalEmbedding("sinusoidal_2d", MAX_LENGTH)
        coordinates = jnp.stack([jnp.zeros(4, int), jnp.arange(4)], axis=1)
        inputs = embedded, self.positions, self.lengths
        added = module.apply({}, *inputs, coordinates) - embedded
        assert not added[:, 0].any()
        expected = sinusoidal_2d_positions(coordinates, D_MODEL)
        assert_close(added[:, 1:], jnp.stack([expected] * BATCH), 1e-5)

    @pytest.mark.parametrize("scheme", [name for name in SCHEMES if name != "sinusoidal_2d"])
    def test_other_schemes_count_row_by_row(self, scheme, embedded):
        module = PositionalEmbedding(scheme, MAX_LENGTH)
        inputs = embedded, self.positions, self.lengths
        variables = draw_parameters(module, *inputs)
        on_a_grid = module.apply(variables, *inputs, jnp.zeros((4, 2), int))
        np.testing.assert_array_equal(on_a_grid, module.apply(variables, *inputs))

    @pytest.mark.parametrize("deviation", [1.0, 0.02])
    def test_a_table_begins_as_large_as_it_is_asked_for(self, deviation):
        module = PositionalEmbedding("learned", 997, deviation)
        inputs = jnp.zeros((1, 997, 101)), jnp.arange(997)[None]
        positioned, _ = module.init_with_output(jax.random.key(0), *inputs)
        assert abs(positioned.std() / deviation - 1) < 0.02

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_only_a_scheme_with_a_table_has_parameters(self, scheme, embedded):
        module = PositionalEmbedding(scheme, MAX_LENGTH)
        variables = draw_parameters(module, embedded, self.positions, self.lengths)
        assert ("params" in variables) == SCHEMES[scheme].has_table

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_embeddings_keep_their_type(self, scheme, embedded):
        module = PositionalEmbedding(scheme, MAX_LENGTH)
        inputs = embedded.astype(jnp.bfloat16), self.positions, self.lengths
        positioned, _ = module.init_with_output(jax.random.key(0), *inputs)
        assert positioned.dtype == jnp.bfloat16

    @pytest.mark.parametrize("scheme", ["learned", "sinusoidal"])
    def test_positions_may_begin_later(self, scheme, embedded):
        later = PositionalEmbedding(scheme, MAX_LENGTH, offset=3)
        variables = draw_parameters(later, embedded, self.positions)
        at_once = PositionalEmbedding(scheme, MAX_LENGTH)
        expected = at_once.apply(variables, embedded, self.positions + 3)
        actual = later.apply(variables, embedded, self.positions)
        np.testing.assert_array_equal(actual, expected)
