// What each model does -> its card.

const CARDS = {
  classify: (model) => (model.reads ? addPictureClassifier(model) : addTextClassifier(model)),
  embed: addEmbedder,
  fill: addFiller,
  generate: addLanguageModel,
  tag: addTagger,
};

const translators = service.models.filter(({ does }) => does === "translate");
if (translators.length) addTranslators(translators);
for (const model of service.models) CARDS[model.does]?.(model);

// Two columns of about the same number, in the order of models also on narrow screens.
const cards = [...byId("cards").children];
const half = Math.ceil(cards.length / 2);
byId("cards").replaceChildren(...[cards.slice(0, half), cards.slice(half)]
  .filter((column) => column.length)
  .map((column) => make("div", { class: "column" }, ...column)));

byId("key-choice").hidden = !service.needsKey;
byId("key-choice").addEventListener("submit", (event) => event.preventDefault());
// A link cannot send the key.
byId("to-metrics").addEventListener("click", async (event) => {
  if (!service.needsKey) return;
  event.preventDefault();
  const [text, reason] = await send("/metrics").then(
    async (response) => [await response.text(), ""], (error) => ["", error.message],
  );
  for (const [id, content] of [["metrics", text], ["refusal", reason]]) {
    byId(id).textContent = content;
    byId(id).hidden = !content;
  }
});
const showTheme = () => { byId("theme").textContent = isDark() ? "Light" : "Dark"; };
byId("theme").addEventListener("click", () => {
  changeTheme();
  showTheme();
});
showTheme();
