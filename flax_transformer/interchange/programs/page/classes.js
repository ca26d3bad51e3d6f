// Probabilities of classes, for a text that is typed.

const MOST_BARS = 12;

function showBars(names, probabilities) {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const items = order.slice(0, MOST_BARS).map((place) => {
    const item = document.createElement("li");
    const [label, bar, share] = ["label", "bar", "share"].map((className) =>
      Object.assign(document.createElement("div"), { className }));
    label.textContent = names[place];
    share.textContent = `${(100 * probabilities[place]).toFixed(1)}\u00a0%`;
    const filled = document.createElement("div");
    filled.style.width = `${100 * probabilities[place]}%`;
    bar.append(filled);
    item.append(label, bar, share);
    return item;
  });
  byId("result").hidden = false;
  byId("result-name").textContent = "Classes";
  byId("bars").replaceChildren(...items);
}

/** The mean weights [layers, heads, keys] over all queries of [layers, 1, heads, queries, keys]. */
function overQueries({ shape, data }) {
  const [layers, , heads, queries, keys] = shape;
  const weights = new Float32Array(layers * heads * keys);
  for (let i = 0; i < data.length; i++) {
    weights[Math.floor(i / (queries * keys)) * keys + (i % keys)] += data[i] / queries;
  }
  return { weights, layers, heads };
}

/** The attention that matters for a class: that of the first token if it is pooled. */
function lookOfClass(page, weights) {
  return page.pools_first ? ofQuery(weights, 0, weights.shape[4]) : overQueries(weights);
}

function classifyText(model) {
  const text = byId("text").value;
  const { probabilities, attention } = model.classify(text);
  showBars(model.page.classes, probabilities);
  byId("note").textContent = model.noteOfCut(text);
  const tokens = model.idsOfText(text).map((id) => model.tokenizer.name(id));
  startLooking(tokens, {
    keys: model.page.pools_first
      ? "The text, shaded by the attention of the first token, from which the class is computed"
      : "The text, shaded by the mean attention of all tokens",
  });
  addQuery(null, lookOfClass(model.page, attention.attention_encoder));
  document.body.dataset.done = ++turn;
}

function openTextClasses(model) {
  byId("text-form").hidden = false;
  byId("text-name").textContent = "Text to classify";
  byId("text").addEventListener("input", () => classifyText(model));
  byId("text-form").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["write", "stop"]) byId(id).hidden = true;
  return () => classifyText(model);
}
