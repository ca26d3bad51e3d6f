// The tokenizers that a training learns: byte-level BPE, and characters. Special tokens are no text.

/** The bytes of a text in UTF-8; half of a pair of surrogates becomes U+FFFD. */
function utf8Of(text) {
  const bytes = [];
  for (const character of text) {
    let code = character.codePointAt(0);
    if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
    if (code < 0x80) bytes.push(code);
    else {
      const more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
      bytes.push(((0xff00 >> (more + 1)) & 0xff) | (code >> (6 * more)));
      for (let i = more - 1; i >= 0; i--) bytes.push(0x80 | ((code >> (6 * i)) & 0x3f));
    }
  }
  return bytes;
}

/** The bounds of the second byte of a character in UTF-8, and the number of bytes after the first. */
function followersOf(first) {
  if (first >= 0xc2 && first < 0xe0) return [1, 0x80, 0xbf];
  if (first >= 0xe0 && first < 0xf0) return [2, first === 0xe0 ? 0xa0 : 0x80, first === 0xed ? 0x9f : 0xbf];
  if (first >= 0xf0 && first < 0xf5) return [3, first === 0xf0 ? 0x90 : 0x80, first === 0xf4 ? 0x8f : 0xbf];
  return [0, 0, 0];
}

/** The text of bytes; `unreadable` gives what stands for bytes that are no whole character. */
function textOfUtf8(bytes, unreadable = () => "\ufffd") {
  let text = "";
  for (let i = 0; i < bytes.length;) {
    const [more, least, most] = followersOf(bytes[i]);
    let code = more ? bytes[i] & (0x3f >> more) : bytes[i];
    let length = 1;
    while (length <= more) {
      const byte = bytes[i + length];
      if (!(byte >= (length === 1 ? least : 0x80) && byte <= (length === 1 ? most : 0xbf))) break;
      code = (code << 6) | (byte & 0x3f);
      length++;
    }
    const isWhole = more ? length > more : bytes[i] < 0x80;
    text += isWhole ? String.fromCodePoint(code) : unreadable(bytes.slice(i, i + length));
    i += length;
  }
  return text;
}

/** The letters with which a vocabulary spells the 256 bytes. */
function lettersOfBytes() {
  const isVisible = (byte) =>
    (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 256;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isVisible(byte) ? byte : others++));
}

const LETTERS = lettersOfBytes();
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));
// Words with the space before them, numbers, signs, and runs of white space.
const WORDS = new RegExp(
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+"
    + "|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+",
  "gu",
);

class ByteSubwords {
  constructor({ pieces, merges }) {
    this.pieces = pieces;
    this.numbers = new Map(pieces.map((piece, number) => [piece, number]));
    this.ranks = new Map(merges.map((merge, rank) => [merge, rank]));
    this.words = new Map(); // encoded before
  }

  encode(text) {
    const ids = [];
    for (const [word] of text.matchAll(WORDS)) {
      if (!this.words.has(word)) this.words.set(word, this.encodeWord(word));
      for (const id of this.words.get(word)) ids.push(id);
    }
    return ids;
  }

  /** Joins the two neighbors that were learned first, as long as there are any. */
  encodeWord(word) {
    const parts = utf8Of(word).map((byte) => LETTERS[byte]);
    const rankAt = (place) => this.ranks.get(`${parts[place]} ${parts[place + 1]}`) ?? Infinity;
    const ranks = parts.slice(1).map((_, place) => rankAt(place));
    for (;;) {
      const least = ranks.reduce((best, rank, i) => (rank < ranks[best] ? i : best), 0);
      if (!(ranks[least] < Infinity)) return parts.map((part) => this.numbers.get(part));
      parts.splice(least, 2, parts[least] + parts[least + 1]);
      ranks.splice(least, 1);
      if (least > 0) ranks[least - 1] = rankAt(least - 1);
      if (least < ranks.length) ranks[least] = rankAt(least);
    }
  }

  bytesOf(numbers) {
    return numbers.flatMap((number) => [...this.pieces[number]].map((letter) => BYTES.get(letter)));
  }

  decode(numbers) {
    return textOfUtf8(this.bytesOf(numbers));
  }

  name(number) {
    const inHex = (bytes) => bytes.map((byte) => `\\x${byte.toString(16)}`).join("");
    return textOfUtf8(this.bytesOf([number]), inHex);
  }
}

class Characters {
  constructor({ pieces }) {
    this.pieces = pieces;
    this.numbers = new Map(pieces.map((piece, number) => [piece, number]));
  }

  /** The first number is that of unknown characters. */
  encode(text) {
    return [...text].map((character) => this.numbers.get(character) ?? 0);
  }

  decode(numbers) {
    return numbers.map((number) => this.pieces[number]).join("");
  }

  name(number) {
    return this.pieces[number];
  }
}

const SUBWORDS = { bytes: ByteSubwords, characters: Characters };

class Tokenizer {
  /** Id `first` is the first subword; `special` has the names of the ids before it. */
  constructor({ kind, first, special, bos, eos, ...learned }) {
    Object.assign(this, { first, special, bos, eos });
    this.subwords = new SUBWORDS[kind](learned);
  }

  encode(text) {
    return this.subwords.encode(text).map((number) => number + this.first);
  }

  /** The text of ids up to the first end mark; other special ids are skipped. */
  decode(ids) {
    const end = ids.indexOf(this.eos);
    const text = end < 0 ? ids : ids.slice(0, end);
    const numbers = text.filter((id) => id >= this.first).map((id) => id - this.first);
    return this.subwords.decode(numbers);
  }

  name(id) {
    return id < this.first ? this.special[id] : this.subwords.name(id - this.first);
  }
}
