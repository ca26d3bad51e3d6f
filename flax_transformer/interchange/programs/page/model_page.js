// Opens the page: its model, its form, and examples to try.

const page = JSON.parse(byId("page").textContent);

function openModel() {
  const element = byId("weights");
  const bytes = bytesOfBase64(element.textContent);
  element.remove();
  return new PageModel(page, bytes);
}

function exampleButton(example, use) {
  const button = Object.assign(document.createElement("button"), { type: "button" });
  if (typeof example === "string") button.textContent = example;
  else {
    button.append(pictureOf(example, page.image));
    button.setAttribute("aria-label", "An image of the data");
  }
  button.addEventListener("click", () => use(example));
  return button;
}

function showTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
}

function open() {
  showTheme();
  byId("about").textContent = page.about;
  const model = openModel();
  const ofTask = { translate: openWriting, generate: openWriting };
  const openTask = ofTask[page.task] ?? (page.image ? openImages : openTextClasses);
  const answer = openTask(model);
  const use = (example) => {
    if (typeof example === "string") byId("text").value = example;
    answer(example);
  };
  byId("examples").append(...page.examples.map((example) => exampleButton(example, use)));
  byId("theme").addEventListener("click", () => {
    changeTheme();
    showTheme();
    askToLook();
  });
  if (page.examples.length) use(page.examples[0]);
  // For programs that drive the page.
  Object.assign(globalThis, { model, seen });
  document.body.dataset.open = "true";
}

open();
