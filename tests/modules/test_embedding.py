from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from parameters import draw_parameters
from reference import assert_close

from flax_transformer.functional import SCHEMES
from flax_transformer.modules import PositionalEmbedding, TokenEmbedding

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

    def test_embeddings_begin_with_unit_variance(self):
        module = TokenEmbedding(997, 101)
        embedded, _ = module.init_with_output(jax.random.key(0), jnp.arange(997))
        assert abs(embedded.std() - 1) < 0.02


class TestPositionalEmbedding:
    def test_the_paper_adds_sinusoids(self, embedded):
        added = PositionalEmbedding("sinusoidal", MAX_LENGTH).apply({}, embedded, 3) - embedded
        expected = reference.sinusoidal_positions(range(3, 3 + LENGTH), D_MODEL)
        assert_close(added, np.broadcast_to(expected, embedded.shape), 1e-5)

    def test_a_learned_row_is_added_to_its_position_and_none_beyond_the_table(self, embedded):
        module = PositionalEmbedding("learned", MAX_LENGTH)
        variables = draw_parameters(module, embedded)
        table = variables["params"]["table"]
        assert table.shape == (MAX_LENGTH, D_MODEL)
        positioned: Any = module.apply(variables, embedded, MAX_LENGTH - 2)
        np.testing.assert_array_equal(positioned[:, :2], embedded[:, :2] + table[-2:])
        assert jnp.isnan(positioned[:, 2:]).all()

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_only_a_scheme_with_a_table_has_parameters(self, scheme, embedded):
        module = PositionalEmbedding(scheme, MAX_LENGTH)
        variables = draw_parameters(module, embedded)
        assert ("params" in variables) == SCHEMES[scheme].has_table

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_embeddings_keep_their_type(self, scheme, embedded):
        module = PositionalEmbedding(scheme, MAX_LENGTH)
        positioned, _ = module.init_with_output(jax.random.key(0), embedded.astype(jnp.bfloat16))
        assert positioned.dtype == jnp.bfloat16
