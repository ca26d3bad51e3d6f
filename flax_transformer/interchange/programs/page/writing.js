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
  byId("result").hidden = false;
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
    hint: `${model.noteOfCut(text)}Choose a token of the translation to see which tokens of the `
      + "text it looked at.",
    hasMatrix: true,
  });
  byId("looks").hidden = !text.trim();
  return writeAll(model, "", model.translate(text), ({ id, attention }) =>
    addQuery(
      tokenizer.name(id), ofQuery(attention.attention_cross, 0, ids.length), isEnd(model, id),
    ));
}

function continueShown(model) {
  const text = byId("text").value;
  const { tokenizer } = model;
  const choose = sampler(Number(byId("temperature").value), Number(byId("seed").value));
  const length = Math.max(1, Number(byId("length").value) || 1);
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
  const write = isTranslating ? translateShown : continueShown;
  byId("text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    write(model);
  });
  byId("text").addEventListener("keydown", (event) => {
    // Within a composition, Enter ends the composition.
    if (event.key === "Enter" && !event.isComposing && (isTranslating ? !event.shiftKey : event.ctrlKey)) {
      event.preventDefault();
      write(model);
    }
  });
  byId("stop").addEventListener("click", () => {
    turn++;
    byId("answer").querySelector(".cursor")?.remove();
    endWriting();
  });
  return () => write(model);
}
