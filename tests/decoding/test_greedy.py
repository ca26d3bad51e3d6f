import jax
import jax.numpy as jnp
import numpy as np
from brute_force import limits_of
from history_model import EOS, PAD, random_model

from flax_transformer.decoding import greedy_search


def python_greedy(model, example, limit):
    output = []
    while len(output) < limit and EOS not in output:
        output.append(int(model.log_probs(example, output).argmax()))
    return output


def test_greedy_search_takes_the_most_probable_token_each_time():
    limits = [13, 1, 2, 7, 13]
    run = jax.jit(
        lambda model, limits: greedy_search(
            model.step(), model.cache(), model.prompt(), limits_of(13, limits)
        )
    )
    for seed in range(7):
        model = random_model(seed, batch=5, vocab=7)
        found = run(model, jnp.array(limits))
        assert found.tokens.shape == (5, 1, 13)
        for example, limit in enumerate(limits):
            output = python_greedy(model, example, limit)
            padding = [PAD] * (13 - len(output))
            assert found.tokens[example, 0].tolist() == output + padding
            assert found.lengths[example, 0] == len(output)
            np.testing.assert_allclose(
                found.log_probs[example, 0], model.score(example, output), rtol=1e-5
            )
        np.testing.assert_array_equal(found.scores, found.log_probs)


def test_greedy_search_stops_when_all_have_ended():
    num_steps = []
    model = random_model(seed=0, batch=3, vocab=7, eos_logit=100.0)

    def counting_step(tokens, cache):
        jax.debug.callback(lambda: num_steps.append(1))
        return model.step()(tokens, cache)

    found = greedy_search(counting_step, model.cache(), model.prompt(), limits_of(17))
    jax.effects_barrier()
    assert found.lengths.tolist() == [[1], [1], [1]]
    assert len(num_steps) == 1
