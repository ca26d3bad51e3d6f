// Translations and continuations, which grow token by token.

const SPEED_AFTER = 8; // tokens, before which the speed means little
let turn = 0; // of the writing that is shown; an older one ends

/** Lets the page draw and answer. */
const pause = () => new Promise((resolve) => { setTimeout(resolve); });

function showWritten(given, text, isWriting) {
  const part = (className, content) => {
    const element = Object.assign(document.createElement("span"), { className });
    element.textContent = content;
    return element;
  };
  const end = isWriting ? [part("cursor", "")] : [];
  byId("answer").replaceChildren(part("given", given), part("", text), ...end);
}

/** Writes with a model: `steps` yields tokens, `look` shows the attention of one. */
async function writeAll(model, given, steps, look) {
  const mine = ++turn;
  const written = [];
  showWritten(given, "", true);
  byId("speed").textContent = "";
  byId("note").textContent = model.noteOfCut(byId("text").value);
  byId("stop").disabled = false;
  byId("answer").setAttribute("aria-busy", "true");
  const start = performance.now();
  for (const step of steps) {
    if (mine !== turn) return;
    written.push(step.id);
    showWritten(given, model.tokenizer.decode(written), true);
    look(step);
    showSpeed(written.length, performance.now() - start);
    await pause();
  }
  if (mine !== turn) return;
  showWritten(given, model.tokenizer.decode(written), false);
  endWriting();
}

function stopWriting() {
  turn++;
  byId("answer").querySelector(".cursor")?.remove();
  endWriting();
}

function endWriting() {
  byId("stop").disabled = true;
  byId("answer").setAttribute("aria-busy", "false");
  document.body.dataset.done = turn;
}

function showSpeed(count, milliseconds) {
  const speed = (1000 * count) / milliseconds;
  const tokens = `${count} token${count === 1 ? "" : "s"}`;
  const after = count < SPEED_AFTER ? "" : `, ${speed.toFixed(speed < 10 ? 1 : 0)} a second`;
  byId("speed").textContent = tokens + after;
}

const isEnd = (model, id) => model.page.tokens.end.includes(id);

function translateShown(model) {
  const text = byId("text").value;
  const { tokenizer } = model;
  const ids = model.idsOfText(text);
  startLooking(ids.map((id) => tokenizer.name(id)), {
    keys: "The text as the model reads it",
    queries: "The translation, token by token",
    hint: "Choose a token of the translation to see which tokens of the text it looked at.",
    hasMatrix: true,
  });
  for (const id of ["result", "looks"]) byId(id).hidden = !text.trim();
  return writeAll(model, "", model.translate(text), ({ id, attention }) =>
    addQuery(
      tokenizer.name(id), ofQuery(attention.attention_cross, 0, ids.length), isEnd(model, id),
    ));
}

function continueShown(model) {
  const text = byId("text").value;
  const { tokenizer } = model;
  const [temperature, seed, length] = ["temperature", "seed", "length"].map(numberIn);
  const choose = sampler(temperature, seed);
  byId("result").hidden = false;
  let read = [];
  return writeAll(model, text, model.continue(text, length, choose), (step) => {
    const isSame = read.length && read.every((id, i) => id === step.read[i]);
    if (!isSame) {
      startLooking(step.read.map((id) => tokenizer.name(id)), {
        keys: "What the model has read",
        queries: "What it has written since then",
        hint: "Choose a written token to see which earlier tokens the model looked at.",
      });
    } else step.read.slice(read.length).forEach((id) => addKey(tokenizer.name(id)));
    read = step.read;
    const { attention_decoder: weights } = step.attention;
    const found = ofQuery(weights, weights.shape[3] - 1, read.length);
    addQuery(tokenizer.name(step.id), found, isEnd(model, step.id));
  });
}

/** The number in a field; throws what it must be if it is something else. */
function numberIn(id) {
  const { labels: [label], min, max, step, valueAsNumber: number } = byId(id);
  const isWhole = step === "1";
  const isRight = number >= Number(min) && number <= Number(max);
  if (isRight && (!isWhole || Number.isInteger(number))) return number;
  const kind = isWhole ? "a whole number" : "a number";
  throw new Error(`${label.textContent.trim()} must be ${kind} from ${min} to ${max}`);
}

/** Prepares the form of a model that writes. */
function openWriting(model) {
  const { page } = model;
  const isTranslating = page.task === "translate";
  byId("text-form").hidden = false;
  byId("text-name").textContent = isTranslating ? "Text to translate" : "Beginning of a text";
  byId("write").textContent = isTranslating ? "Translate" : "Continue";
  byId("result-name").textContent = isTranslating ? "Translation" : "Text";
  byId("sampling").hidden = isTranslating;
  byId("temperature").value = page.temperature ?? 0;
  byId("length").value = page.length ?? 100;
  const writeShown = isTranslating ? translateShown : continueShown;
  const write = () => {
    byId("error").textContent = "";
    try {
      writeShown(model);
    } catch (error) {
      stopWriting();
      for (const id of ["result", "looks"]) byId(id).hidden = true;
      byId("error").textContent = error.message;
    }
  };
  byId("text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  byId("text").addEventListener("keydown", (event) => {
    // Within a composition, Enter ends the composition.
    if (event.key === "Enter" && !event.isComposing && (isTranslating ? !event.shiftKey : event.ctrlKey)) {
      event.preventDefault();
      write();
    }
  });
  byId("stop").addEventListener("click", stopWriting);
  return write;
}
