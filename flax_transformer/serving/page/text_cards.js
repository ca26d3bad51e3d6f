// Cards of models of texts.

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

function languageName(code) {
  try {
    return names.of(code);
  } catch {
    return code; // of another kind than Intl knows, such as en_XX
  }
}

/** One card for all translators, which languages tell apart. */
function addTranslators(models) {
  const [source, target] = [make("select"), make("select")];
  const fill = (select, codes) => {
    const before = select.value;
    select.replaceChildren(...[...new Set(codes)].map((code) =>
      make("option", { value: code }, languageName(code))));
    if (codes.includes(before)) select.value = before;
  };
  const fitting = () => models.filter((model) => model.source === source.value);
  const { area, field } = makeText("Text");
  const change = () => {
    fill(target, fitting().map((model) => model.target));
    area.lang = source.value;
  };
  fill(source, models.map((model) => model.source));
  source.addEventListener("change", change);
  change();
  addCard({
    title: models.map(({ name }) => name).join(", "),
    about: "translates",
    fields: [
      make("div", { class: "row" },
        make("label", { class: "inline" }, "from", source),
        make("label", { class: "inline" }, "to", target)),
      field,
    ],
    action: "Translate",
    attended: models.every(({ attends }) => attends) && (() => {
      const model = fitting().find((each) => each.target === target.value);
      return [model.name, area.value];
    }),
    run: async (show) => {
      const asked = { q: area.value, source: source.value, target: target.value };
      const { translatedText } = await ask("/translate", asked);
      show(make("p", { class: "written", dir: "auto", lang: asked.target }, translatedText));
    },
  });
}

/** The card of a model that gives an answer for a text. */
function addTextCard(model, { about, action, answerOf, label = "Text", start = "" }) {
  const { area, field } = makeText(label);
  area.value = start;
  addCard({
    title: model.name,
    about,
    fields: [field],
    action,
    attended: model.attends && (() => [model.name, area.value]),
    run: async (show) => show(...await answerOf(area.value)),
  });
}

/** The answer of a plain route to one text. */
async function answerTo(model, text) {
  const { answers } = await ask(`/${model.does}`, { model: model.name, texts: text });
  return answers[0];
}

function addTextClassifier(model) {
  addTextCard(model, {
    about: "classifies texts",
    action: "Classify",
    answerOf: async (text) => makeBars((await answerTo(model, text)).probabilities),
  });
}

function addFiller(model) {
  addTextCard(model, {
    about: "fills gaps",
    action: "Fill",
    label: "Text with a [MASK] for each missing word",
    start: "[MASK]",
    answerOf: async (text) => {
      const filled = await answerTo(model, text);
      return [
        make("p", { class: "written", dir: "auto" }, filled.text),
        ...filled.gaps.flatMap((gap, number) => [
          make("h3", {}, `Gap ${number + 1}`), ...makeBars(gap),
        ]),
      ];
    },
  });
}

function addTagger(model) {
  addTextCard(model, {
    about: "tags words",
    action: "Tag",
    answerOf: async (text) => [make("ul", { class: "words" },
      ...(await answerTo(model, text)).map(({ word, tag, probability }) => make("li", {},
        make("bdi", {}, word),
        make("span", { class: "soft" }, `${tag} ${Math.round(100 * probability)} %`))))],
  });
}

const SHOWN_NUMBERS = 12;

function addEmbedder(model) {
  addTextCard(model, {
    about: "gives vectors of texts",
    action: "Embed",
    answerOf: async (text) => {
      const { data } = await ask("/v1/embeddings", { model: model.name, input: text });
      const [{ embedding: numbers }] = data;
      const shown = numbers.slice(0, SHOWN_NUMBERS).map((each) => each.toFixed(3)).join("  ");
      return [
        make("p", { class: "soft" }, `${numbers.length} numbers`),
        make("p", { class: "written" }, numbers.length > SHOWN_NUMBERS ? `${shown}  …` : shown),
      ];
    },
  });
}
