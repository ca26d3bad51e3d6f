"""The paper's formulas in NumPy float64: loops and explicit sums, nothing shared with the library.

All functions take anything that NumPy can read and compute in float64.
"""

import math

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
                0.0 if bias is None else np.asarray(bias)[b, h],
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


def feed_forward(params, inputs, name="relu"):
    """Equation 2: f(x W_1 + b_1) W_2 + b_2; W_1 of a gated f is two matrices side by side."""
    hidden, output = params["hidden"], params["output"]
    kernel = np.asarray(hidden["kernel"], np.float64)
    activations = activation(name, np.tensordot(inputs, kernel, 1) + hidden["bias"])
    return activations @ np.asarray(output["kernel"], np.float64) + output["bias"]


def layer_norm(inputs, epsilon=1e-6):
    """Ba et al. 2016, with gain 1 and bias 0."""
    inputs = np.asarray(inputs, np.float64)
    centered = inputs - inputs.mean(axis=-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon)


def sinusoidal_positions(positions, d_model):
    """Section 3.5: sines in the even columns 2i, cosines in the odd columns 2i + 1."""
    encodings = np.zeros((len(positions), d_model))
    for row, position in enumerate(positions):
        for column in range(d_model):
            angle = position / 10_000 ** (2 * (column // 2) / d_model)
            encodings[row, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return encodings


def smoothed_targets(target, vocab, label_smoothing, smoothing_over="vocab"):
    """The distribution q(k) of one target: Szegedy et al. 2016, section 7, and its variants."""
    left_out = {"vocab": set(), "others": {target}}[smoothing_over]
    q = np.zeros(vocab)
    for token in set(range(vocab)) - left_out:
        q[token] = label_smoothing / (vocab - len(left_out))
    q[target] += 1 - label_smoothing
    return q


def label_smoothed_cross_entropy(logits, targets, weights, label_smoothing, smoothing_over="vocab"):
    """The cross-entropy to an explicit distribution q(k)."""
    logits, weights = np.asarray(logits, np.float64), np.asarray(weights, np.float64)
    total = 0.0
    for index, target in np.ndenumerate(targets):
        scores = logits[index]
        q = smoothed_targets(int(target), len(scores), label_smoothing, smoothing_over)
        log_p = scores - np.log(np.exp(scores).sum())
        total -= weights[index] * (q * log_p).sum()
    return total, weights.sum()


def rms_norm(inputs, epsilon=1e-6):
    """Zhang and Sennrich 2019, with gain 1."""
    inputs = np.asarray(inputs, np.float64)
    return inputs / np.sqrt((inputs**2).mean(axis=-1, keepdims=True) + epsilon)


def batch_norm(inputs, is_token=None, epsilon=1e-6):
    """Ioffe and Szegedy 2015, algorithm 1, with gain 1 and bias 0: outputs, means, variances."""
    inputs = np.asarray(inputs, np.float64)
    tokens = inputs[np.ones(inputs.shape[:-1], bool) if is_token is None else np.asarray(is_token)]
    mean, variance = tokens.mean(axis=0), tokens.var(axis=0)
    return (inputs - mean) / np.sqrt(variance + epsilon), mean, variance


def activation(name, hidden):
    """The named function; gated ones multiply hidden[..., 1, :] by that of hidden[..., 0, :]."""
    hidden = np.asarray(hidden, np.float64)
    gates = {"geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu"}
    if name in gates:
        gate = activation(gates[name], hidden[..., 0, :])
        return gate * hidden[..., 1, :]
    if name == "relu":
        return np.maximum(0, hidden)
    if name == "gelu":
        return hidden * (1 + np.vectorize(math.erf)(hidden / np.sqrt(2))) / 2
    if name == "gelu_tanh":
        return hidden * (1 + np.tanh(np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3))) / 2
    assert name == "silu"
    return hidden / (1 + np.exp(-hidden))


def sinusoidal_halves(positions, d_model):
    """T2T's timing signal: sines in the first half of the columns, cosines in the second."""
    half = d_model // 2
    encodings = np.zeros((len(positions), d_model))
    for row, position in enumerate(positions):
        for column in range(2 * half):
            angle = position / 10_000 ** ((column % half) / max(half - 1, 1))
            encodings[row, column] = np.cos(angle) if column >= half else np.sin(angle)
    return encodings


def rotary(x, positions, base=10_000):
    """Su et al. 2021: each pair of features as a complex number, times e^(i position theta)."""
    x = np.asarray(x, np.float64)
    rotated = x.copy()
    pairs = x.shape[1] // 2
    for row, position in enumerate(positions):
        for pair in range(pairs):
            number = complex(x[row, 2 * pair], x[row, 2 * pair + 1])
            number *= np.exp(1j * position * float(base) ** (-pair / pairs))
            rotated[row, 2 * pair : 2 * pair + 2] = number.real, number.imag
    return rotated


def relative_bias(query, query_positions, key_positions, table):
    """Shaw et al. 2018: each query times the vector of its distance to each key."""
    query, table = np.asarray(query, np.float64), np.asarray(table, np.float64)
    largest = len(table) // 2
    bias = np.zeros((len(query_positions), len(key_positions)))
    for q, i in enumerate(query_positions):
        for k, j in enumerate(key_positions):
            vector = table[min(max(j - i, -largest), largest) + largest]
            bias[q, k] = query[q] @ vector / np.sqrt(query.shape[1])
    return bias


def t5_bucket(distance, num_buckets, max_distance, bidirectional):
    """Raffel et al. 2020: the largest bucket of its direction whose least distance is not above."""
    after = bidirectional and distance > 0
    each = num_buckets // 2 if bidirectional else num_buckets
    far = abs(distance) if bidirectional else max(-distance, 0)
    exact = each // 2
    growth = (max_distance / exact) ** (1 / (each - exact))
    # Rounded, so that a power which is a whole number counts as one.
    least = [*range(exact), *(round(exact * growth**n, 9) for n in range(each - exact))]
    return after * each + max(n for n, start in enumerate(least) if start <= far)
