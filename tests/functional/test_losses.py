import functools
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.test_util import check_grads
from reference import assert_close

from flax_transformer.functional import label_smoothed_cross_entropy, linear_cross_entropy
from flax_transformer.functional.kernels import chunked_losses
from flax_transformer.functional.losses import SmoothingOver

BATCH, LENGTH, VOCAB = 2, 5, 7
TARGETS = jnp.array([[0, 1, 2, 3, 4], [6, 6, 5, 0, 2]])
# (label_smoothing, smoothing_over)
SMOOTHINGS = pytest.mark.parametrize(
    "smoothing",
    [(0.0, "vocab"), *((0.7, over) for over in get_args(SmoothingOver)), (0.1, "vocab")],
    ids=str,
)


@pytest.fixture
def logits(normal):
    return 3 * normal(BATCH, LENGTH, VOCAB)


@pytest.fixture
def weights():
    """Whole, partial and no weight."""
    return jnp.array([[1, 1, 0.5, 1, 0], [0.25, 1, 2, 0, 0]])


@pytest.fixture(scope="module")
def chunk(request):
    """How many logits a chunk holds; of the module, because all that is compiled is forgotten."""
    with pytest.MonkeyPatch.context() as patch:
        for platform in ("_CPU_CHUNK", "_ACCELERATOR_CHUNK"):
            patch.setattr(chunked_losses, platform, request.param)
        jax.clear_caches()
        yield request.param
    jax.clear_caches()


def chunks_of_rows(*numbers):
    return pytest.mark.parametrize("chunk", [rows * VOCAB for rows in numbers], indirect=True)


def smoothed_targets(smoothing):
    q = [reference.smoothed_targets(int(target), VOCAB, *smoothing) for target in TARGETS.ravel()]
    return jnp.asarray(q).reshape(BATCH, LENGTH, VOCAB)


def plain(logits, weights, smoothing):
    """The same loss from its definition, differentiated by JAX."""
    return -jnp.sum(weights[..., None] * smoothed_targets(smoothing) * jax.nn.log_softmax(logits))


@SMOOTHINGS
def test_the_loss_is_the_cross_entropy_to_the_smoothed_targets(
    tolerance, logits, weights, smoothing
):
    arguments = (logits, TARGETS, weights, *smoothing)
    actual = label_smoothed_cross_entropy(*arguments)
    expected = reference.label_smoothed_cross_entropy(*arguments)
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)


@SMOOTHINGS
def test_its_gradient_is_that_of_the_plain_form(tolerance, logits, weights, smoothing):
    actual = jax.grad(lambda *x: label_smoothed_cross_entropy(*x)[0])(
        logits, TARGETS, weights, *smoothing
    )
    assert_close(actual, jax.grad(plain)(logits, weights, smoothing), tolerance)


@pytest.mark.usefixtures("double")
@SMOOTHINGS
def test_its_gradient_is_that_of_finite_differences(logits, weights, smoothing):
    def loss(logits, weights):
        return label_smoothed_cross_entropy(logits, TARGETS, weights, *smoothing)[0]

    check_grads(loss, (logits, weights), order=1, modes=["rev"])


@SMOOTHINGS
def test_the_smoothed_targets_themselves_have_no_gradient(smoothing, weights):
    logits = jnp.log(smoothed_targets(smoothing) + 1e-30)
    gradient = jax.grad(lambda *x: label_smoothed_cross_entropy(*x)[0])(
        logits, TARGETS, weights, *smoothing
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-6)


def test_the_mass_reaches_the_tokens_that_it_is_spread_over():
    """Of equal logits the gradient is 1 / vocab less the target's distribution."""
    found = {
        over: 1 / VOCAB
        - jax.grad(lambda *x: label_smoothed_cross_entropy(*x)[0])(
            jnp.zeros(VOCAB), jnp.array(2), jnp.array(1.0), 0.3, over
        )
        for over in get_args(SmoothingOver)
    }
    expected = {
        "vocab": [0.3 / 7, 0.3 / 7, 0.7 + 0.3 / 7, *[0.3 / 7] * 4],
        "others": [0.3 / 6, 0.3 / 6, 0.7, *[0.3 / 6] * 4],
    }
    assert set(found) == set(expected)
    for over, q in expected.items():
        np.testing.assert_allclose(found[over], q, atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_equal_logits_cost_the_logarithm_of_the_vocabulary(shift):
    total, weight = label_smoothed_cross_entropy(
        jnp.full((BATCH, LENGTH, VOCAB), shift), TARGETS, jnp.ones((BATCH, LENGTH)), 0.1
    )
    np.testing.assert_allclose(total / weight, np.log(VOCAB), rtol=1e-6 + 1e-7 * shift)


def test_weight_zero_has_no_influence(logits, weights):
    other = jnp.where(weights[..., None] > 0, logits, 97.0)
    other_targets = jnp.where(weights > 0, TARGETS, 0)
    grad = jax.value_and_grad(label_smoothed_cross_entropy, has_aux=True)
    results = grad(logits, TARGETS, weights, 0.1), grad(other, other_targets, weights, 0.1)
    jax.tree.map(np.testing.assert_array_equal, *results)
    assert not results[0][1][weights == 0].any()


def test_sums_and_weights_of_parts_add_up(logits, weights):
    def loss(*parts):
        return jnp.stack(label_smoothed_cross_entropy(*parts, 0.1))

    whole = loss(logits, TARGETS, weights)
    parts = [loss(logits[i], TARGETS[i], weights[i]) for i in range(BATCH)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-6)


def test_bfloat16_logits_give_a_float32_loss_and_a_bfloat16_gradient(logits, weights):
    low = logits.astype(jnp.bfloat16)
    grad = jax.value_and_grad(label_smoothed_cross_entropy, has_aux=True)
    (total, weight), gradient = grad(low, TARGETS, weights, 0.1)
    (expected, _), expected_gradient = grad(low.astype(jnp.float32), TARGETS, weights, 0.1)
    assert (total.dtype, weight.dtype, gradient.dtype) == (jnp.float32, jnp.float32, jnp.bfloat16)
    assert total == expected
    assert_close(gradient, expected_gradient, 2**-8)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("targets_shape", "weights_shape", "smoothing", "message"),
    [
        ((2, 3), (2, 3), (0.1,), r"logits \(2, 5, 7\), targets \(2, 3\)"),
        ((2, 5), (5,), (0.1,), r"weights \(5,\) differ"),
        ((2, 5), (2, 5), (1.0,), r"label_smoothing must be in \[0, 1\), not 1\.0"),
        ((2, 5), (2, 5), (-0.1,), r"not -0\.1"),
        ((2, 5), (2, 5), (0.1, "words"), r"must be vocab or others, not 'words'"),
    ],
)
def test_what_does_not_fit_is_named(targets_shape, weights_shape, smoothing, message):
    logits, targets = jnp.zeros((BATCH, LENGTH, VOCAB)), jnp.zeros(targets_shape, int)
    with pytest.raises(ValueError, match=message):
        label_smoothed_cross_entropy(logits, targets, jnp.zeros(weights_shape), *smoothing)


def test_a_vocabulary_without_other_tokens_is_refused():
    with pytest.raises(ValueError, match=r"others leaves nothing .* logits \(1, 1\)"):
        label_smoothed_cross_entropy(jnp.zeros((1, 1)), jnp.array([0]), jnp.ones(1), 0.1, "others")


@SMOOTHINGS
@pytest.mark.usefixtures("chunk")
@chunks_of_rows(1, 3, 5, 10, 97)
def test_a_loss_in_chunks_is_that_of_all_logits_and_its_gradients_too(
    tolerance, normal, weights, smoothing
):
    """Of ten positions in chunks of some rows, the last chunk filled up where it has to be."""
    hidden, table = normal(BATCH, LENGTH, 3), normal(VOCAB, 3)

    def whole(hidden, table, weights):
        return label_smoothed_cross_entropy(hidden @ table.T, TARGETS, weights, *smoothing)[0]

    def in_chunks(hidden, table, weights):
        return linear_cross_entropy(hidden, table, TARGETS, weights, *smoothing)[0]

    arguments = hidden, table, jnp.asarray(weights, hidden.dtype)
    actual, expected = (
        jax.value_and_grad(lambda *x, f=f: 3 * f(*x), (0, 1, 2)) for f in (in_chunks, whole)
    )
    actual, plain, expected = jax.jit(lambda *x: (actual(*x), in_chunks(*x), expected(*x)))(
        *arguments
    )
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)
    assert_close(plain, expected[0] / 3, tolerance)


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("chunk", [2**14], indirect=True)
def test_no_array_of_all_logits_is_made():
    hidden, table = jnp.ones((1024, 8)), jnp.ones((512, 8))
    arguments = hidden, table, jnp.zeros(1024, int), jnp.ones(1024)
    compiled = jax.jit(jax.grad(lambda *x: linear_cross_entropy(*x)[0]))
    memory = compiled.lower(*arguments).compile().memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 1024 * 512 * 4 / 4


@pytest.mark.usefixtures("chunk")
@chunks_of_rows(1, 3, 97)
@pytest.mark.parametrize("options", [{"bias": True}, {"cap": 2.0}, {"bias": True, "cap": 0.5}])
def test_chunks_have_the_bias_and_the_cap_of_all_logits(tolerance, normal, weights, options):
    hidden, table, bias = normal(BATCH, LENGTH, 3), normal(VOCAB, 3), normal(VOCAB)
    cap = options.get("cap")

    def whole(hidden, table, bias, weights):
        logits = hidden @ table.T + bias if "bias" in options else hidden @ table.T
        logits = logits if cap is None else cap * jnp.tanh(logits / cap)
        return label_smoothed_cross_entropy(logits, TARGETS, weights, 0.1)[0]

    def in_chunks(hidden, table, bias, weights):
        given = {"cap": cap, "bias": bias if "bias" in options else None}
        return linear_cross_entropy(hidden, table, TARGETS, weights, 0.1, **given)[0]

    arguments = hidden, table, bias, jnp.asarray(weights, hidden.dtype)
    forms = [jax.value_and_grad(f, (0, 1, 2, 3)) for f in (in_chunks, whole)]
    actual, expected = jax.jit(lambda *x: [form(*x) for form in forms])(*arguments)
    jax.tree.map(functools.partial(assert_close, tolerance=tolerance), actual, expected)
