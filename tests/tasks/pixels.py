"""What images are compared with: formulas in NumPy float64, pixel by pixel."""

import math

import numpy as np


def warp_by_loops(image, matrix, move):
    """image[matrix (p - middle) + middle - move], bilinear, black outside."""
    image = np.asarray(image, np.float64)
    height, width, _ = image.shape
    middle = (np.array([height, width]) - 1) / 2
    warped = np.zeros_like(image)
    for place in np.ndindex(height, width):
        row, column = np.asarray(matrix, float) @ (place - middle) + middle - np.asarray(move)
        for y in (math.floor(row), math.floor(row) + 1):
            for x in (math.floor(column), math.floor(column) + 1):
                if 0 <= y < height and 0 <= x < width:
                    share = (1 - abs(row - y)) * (1 - abs(column - x))
                    warped[place] += share * image[y, x]
    return warped


def smoothed_cross_entropy(logits, targets, label_smoothing):
    """The loss of each row, of targets that are probabilities [rows, classes]."""
    logits = np.asarray(logits, np.float64)
    smoothed = (1 - label_smoothing) * np.asarray(targets) + label_smoothing / logits.shape[1]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -(smoothed * log_probabilities).sum(axis=1)
