"""The paper's formulas in NumPy float64: loops and explicit sums, nothing shared with the library.

All functions take anything that NumPy can read and compute in float64.
"""

import numpy as np


def assert_close(actual, expected, tolerance):
    """Asserts that no element is off by more than a share of the largest expected one."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def attend(query, key, value, mask=True, bias=0.0):
    """Equation 1: the outputs and the weights of one head; nothing allowed gives zeros."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = query @ key.T / np.sqrt(query.shape[1]) + bias
    exponentials = np.where(mask, np.exp(scores - scores.max()), 0.0)
    total = exponentials.sum(axis=1, keepdims=True)
    weights = exponentials / np.where(total == 0, 1, total)
    return weights @ value, weights


def multi_head_attend(query, key, value, mask=None, bias=None):
    """Section 3.2.2 without projections: `attend` in a loop over examples and heads."""
    batch, query_length, heads, _ = query.shape
    output = np.zeros((batch, query_length, heads, value.shape[-1]))
    weights = np.zeros((batch, heads, query_length, key.shape[1]))
    for b in range(batch):
        for h in range(heads):
            output[b, :, h], weights[b, h] = attend(
                query[b, :, h],
                key[b, :, h],
                value[b, :, h],
                True if mask is None else np.asarray(mask)[b],
                0.0 if bias is None else np.asarray(bias)[h],
            )
    return output, weights


def multi_head_attention(params, inputs, memory, mask=None):
    """Section 3.2.2: concat(head_1, ..., head_h) W_O of the projected inputs."""
    kernels = {name: np.asarray(layer["kernel"], np.float64) for name, layer in params.items()}
    query = np.einsum("bqd,dhk->bqhk", inputs, kernels["query"])
    key, value = (np.einsum("bsd,dhk->bshk", memory, kernels[name]) for name in ("key", "value"))
    heads, _ = multi_head_attend(query, key, value, mask)
    concatenated = heads.reshape(*heads.shape[:2], -1)
    return concatenated @ kernels["output"].reshape(concatenated.shape[-1], -1)


def feed_forward(params, inputs):
    """Equation 2: max(0, x W_1 + b_1) W_2 + b_2."""
    hidden, output = params["hidden"], params["output"]
    activations = np.maximum(0, np.asarray(inputs) @ hidden["kernel"] + hidden["bias"])
    return activations @ np.asarray(output["kernel"], np.float64) + output["bias"]


def layer_norm(inputs, epsilon=1e-6):
    """Ba et al. 2016, with gain 1 and bias 0."""
    inputs = np.asarray(inputs, np.float64)
    centred = inputs - inputs.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)


def sinusoidal_positions(positions, d_model):
    """Section 3.5: sines in the even columns 2i, cosines in the odd columns 2i + 1."""
    encodings = np.zeros((len(positions), d_model))
    for row, position in enumerate(positions):
        for column in range(d_model):
            angle = position / 10_000 ** (2 * (column // 2) / d_model)
            encodings[row, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return encodings


def label_smoothed_cross_entropy(logits, targets, weights, label_smoothing):
    """Szegedy et al. 2016, section 7: the cross-entropy to an explicit distribution q(k)."""
    logits, weights = np.asarray(logits, np.float64), np.asarray(weights, np.float64)
    total = 0.0
    for index, target in np.ndenumerate(targets):
        scores = logits[index]
        q = np.full(len(scores), label_smoothing / len(scores))
        q[target] += 1 - label_smoothing
        log_p = scores - np.log(np.exp(scores).sum())
        total -= weights[index] * (q * log_p).sum()
    return total, weights.sum()
