// Pixels as the model reads them: cropped around the center and resized bicubically, as in Pillow.

/** Gray levels of [red, green, blue, opacity] pixels, with Pillow's weights. */
function grayOf(pixels) {
  const gray = new Uint8Array(pixels.length / 4);
  for (let i = 0; i < gray.length; i++) {
    const [red, green, blue] = [pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2]];
    gray[i] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
  }
  return gray;
}

function withoutOpacity(pixels) {
  const colors = new Uint8Array((pixels.length / 4) * 3);
  for (let i = 0; i < colors.length; i++) colors[i] = pixels[4 * Math.floor(i / 3) + (i % 3)];
  return colors;
}

/** Keys's cubic with the parameter -1/2. */
function cubic(distance) {
  const x = Math.abs(distance);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** For each new place, the first old place and the weights from there on. */
function resamplingOf(from, to, length) {
  const scale = (to - from) / length.after;
  const reach = Math.max(scale, 1);
  return Array.from({ length: length.after }, (_, place) => {
    const center = from + (place + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - 2 * reach + 0.5));
    const last = Math.min(length.before, Math.floor(center + 2 * reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, i) =>
      cubic((first + i - center + 0.5) / reach));
    const sum = weights.reduce((x, y) => x + y, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Resizes along one of the axes [before, along, after]. */
function resizedAlong(pixels, [before, length, after], resampling) {
  const result = new Uint8ClampedArray(before * resampling.length * after);
  for (let i = 0; i < before; i++) {
    resampling.forEach(({ first, weights }, place) => {
      for (let j = 0; j < after; j++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) {
          sum += weights[k] * pixels[(i * length + first + k) * after + j];
        }
        result[(i * resampling.length + place) * after + j] = Math.floor(sum + 0.5);
      }
    });
  }
  return result;
}

/** The image [height, width, channels] of a canvas, with the size of the model's input. */
function pixelsForModel(canvas, [height, width, channels]) {
  const [rows, columns] = [canvas.height, canvas.width];
  const { data } = canvas.getContext("2d").getImageData(0, 0, columns, rows);
  const pixels = channels === 1 ? grayOf(data) : withoutOpacity(data);
  // The largest part with the model's proportions, around the center.
  const [tall, wide] = columns / rows >= width / height
    ? [rows, (width / height) * rows] : [(height / width) * columns, columns];
  const [left, top] = [(columns - wide) / 2, (rows - tall) / 2];
  const across = resamplingOf(left, left + wide, { before: columns, after: width });
  const down = resamplingOf(top, top + tall, { before: rows, after: height });
  const narrow = resizedAlong(pixels, [rows, columns, channels], across);
  return resizedAlong(narrow, [1, rows, width * channels], down);
}
