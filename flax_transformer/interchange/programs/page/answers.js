// What a model answers, token by token where it writes. No code here knows the page.

/** The model of a page: its programs, its tokenizer, and what it needs to be used. */
class PageModel {
  constructor(page, bytes) {
    this.page = page;
    this.programs = openPrograms(page, bytes);
    this.tokenizer = page.tokenizer ? new Tokenizer(page.tokenizer) : null;
  }

  /** The ids of a text that is read as a whole; a longer one is cut before its end mark. */
  idsOfText(text) {
    const { bos, eos } = this.tokenizer;
    const isTranslated = this.page.task === "translate";
    const ids = [...(isTranslated ? [] : [bos]), ...this.tokenizer.encode(text), eos];
    const longest = this.page.tokens.max_length;
    return ids.length > longest ? [...ids.slice(0, longest - 1), eos] : ids;
  }

  /** Says that a text is cut; empty if it is not. */
  noteOfCut(text) {
    const { task, tokens: { max_length: longest } } = this.page;
    const marks = { translate: 1, generate: 0 }[task] ?? 2;
    const number = this.tokenizer.encode(text).length + marks;
    if (number <= longest) return "";
    const part = task === "generate" ? `last ${this.longestPrompt}` : `first ${longest}`;
    return `Of ${number} tokens, only the ${part} are read.`;
  }

  /** What is read of a prompt that is too long: its end, so that a token can be written. */
  get longestPrompt() {
    return Math.max(this.page.tokens.max_length - 1, 1);
  }

  /** Reads a text or the pixels of an image: probabilities of all classes, and attention. */
  classify(given) {
    const inputs = typeof given === "string"
      ? textInputs(this.idsOfText(given))
      : { images: arrayOf("uint8", [1, ...this.page.image], given) };
    const { logits, ...attention } = this.programs.classify.run(inputs);
    return { probabilities: softmax(logits.data), attention };
  }

  /** Yields each token of a translation with the attention while it was chosen. */
  * translate(text, choose = largestPlace) {
    const { start, max_extra_length: extra } = this.page.tokens;
    const source = this.idsOfText(text);
    if (!text.trim()) return;
    const memory = this.programs.encode.run(textInputs(source));
    const limit = Math.min(source.length + extra, this.page.position_limit ?? Infinity);
    yield* this.write(start, Math.max(limit, 1), choose, memory);
  }

  /** Yields each token of a continuation; a text that gets too long goes on from its last half. */
  * continue(text, length, choose = largestPlace) {
    const longest = this.page.tokens.max_length;
    const prompt = this.tokenizer.encode(text);
    if (!prompt.length) prompt.push(this.tokenizer.eos);
    const written = [];
    while (written.length < length) {
      let read = [...prompt, ...written];
      if (written.length) read = read.slice(-Math.max(Math.floor(longest / 2), 1));
      else if (read.length > longest) read = read.slice(-this.longestPrompt);
      const room = Math.min(longest - read.length + 1, length - written.length);
      for (const step of this.write(read, room, choose)) {
        written.push(step.id);
        yield step;
        if (this.page.tokens.end.includes(step.id)) return;
      }
    }
  }

  /** Yields up to `limit` tokens after a prompt, the last of which may be an end mark. */
  * write(prompt, limit, choose, memory = {}) {
    const { end, never_written: never } = this.page.tokens;
    const cache = this.emptyCache(prompt.length + limit - 1);
    const ids = [...prompt];
    let read = prompt;
    for (let number = 0; number < limit; number++) {
      const shape = [1, read.length];
      const tokens = arrayOf("int32", shape, read);
      const isToken = arrayOf("bool", shape, read.map(() => 1));
      const outputs = this.programs.decode.run({ tokens, is_token: isToken, ...cache, ...memory });
      for (const name of Object.keys(cache)) cache[name] = outputs[`new_${name}`];
      const logits = outputs.logits.data.slice(-outputs.logits.shape.at(-1));
      for (const id of never) logits[id] = -Infinity;
      const id = choose(logits);
      yield { id, read: [...ids], attention: outputs };
      if (end.includes(id)) return;
      read = [id];
      ids.push(id);
    }
  }

  /** The text that the model writes greedily: a translation, or at most `length` more tokens. */
  answer(text, length) {
    const isTranslated = this.page.task === "translate";
    const steps = isTranslated ? this.translate(text) : this.continue(text, length);
    return this.tokenizer.decode(Array.from(steps, ({ id }) => id));
  }

  emptyCache(capacity) {
    const lengths = { batch: 1, capacity };
    return inTable(this.page.cache, ({ dtype, shape }) =>
      emptyArray(dtype, shape.map((axis) => lengths[axis] ?? axis)));
  }
}

function textInputs(ids) {
  const shape = [1, ids.length];
  const segments = arrayOf("int32", shape, ids.map(() => 1));
  return { tokens: arrayOf("int32", shape, ids), segments };
}

/** The place of the largest number; the first of equal ones. */
function largestPlace(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}

function softmax(logits, temperature = 1) {
  const most = logits.reduce((x, y) => Math.max(x, y), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp((logit - most) / temperature));
  const sum = powers.reduce((x, y) => x + y, 0);
  return powers.map((power) => power / sum);
}

/** Chooses tokens at random; the same seed draws the same ones. */
function sampler(temperature, seed) {
  if (!(temperature > 0)) return largestPlace;
  const draw = randomNumbers(seed);
  return (logits) => {
    const probabilities = softmax(logits, temperature);
    let rest = draw();
    const place = probabilities.findIndex((probability) => (rest -= probability) < 0);
    return place < 0 ? largestPlace(logits) : place;
  };
}

/** Numbers from 0 to 1 by a xorshift generator of 32 bits (Marsaglia 2003, "Xorshift RNGs"). */
function randomNumbers(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 0 || 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  // Of neighboring seeds, the first numbers are alike.
  for (let i = 0; i < 8; i++) next();
  return next;
}
