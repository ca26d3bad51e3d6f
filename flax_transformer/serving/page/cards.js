// A card for each model: a form, its answer, and the reason if there is none.

/** Makes an element; attributes are plain texts, children are elements or texts. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A button that does something else than to send the form. */
function makeButton(text, press) {
  const button = make("button", { type: "button" }, text);
  button.addEventListener("click", press);
  return button;
}

/** A text area with its label; Ctrl-Enter sends the form. */
function makeText(label, attributes = {}) {
  const area = make("textarea", { rows: 3, dir: "auto", required: "", ...attributes });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    area.form.requestSubmit();
  });
  return { area, field: make("label", {}, label, area) };
}

/**
 * Adds a card; `run` fills the answer. Returns its form, and a function that clears its answer.
 *
 * `others` are buttons after the first; `attended`, if any, gives the model and the text whose
 * attention a last button shows.
 */
function addCard({ title, about, fields, action, run, others = [], attended = false }) {
  const id = `model-${byId("cards").children.length}`;
  const error = make("p", { class: "error", role: "alert", hidden: "" });
  const answer = make("div", { class: "answer", "aria-live": "polite" });
  const go = make("button", { type: "submit" }, action);
  const buttons = make("div", { class: "row" }, go, ...others);
  const form = make("form", {}, ...fields, buttons);
  const explain = (failure) => {
    error.textContent = failure.message;
    error.hidden = false;
  };
  if (attended) {
    const look = makeButton("Show attention", async () => {
      if (!form.reportValidity()) return;
      error.hidden = true;
      look.disabled = true;
      await showAttention(...attended()).catch(explain);
      look.disabled = false;
    });
    buttons.append(look);
  }
  const rest = () => {
    answer.removeAttribute("aria-busy");
    go.disabled = false;
  };
  let latest = 0;
  const clear = () => {
    latest++; // an answer that is still to come is not shown
    answer.replaceChildren();
    error.hidden = true;
    rest();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const number = ++latest;
    let isShown = false;
    const show = (...parts) => {
      isShown = true;
      if (number === latest) answer.replaceChildren(...parts);
    };
    error.hidden = true;
    answer.setAttribute("aria-busy", "true");
    go.disabled = true;
    try {
      await run(show);
    } catch (failure) {
      if (number !== latest) return;
      if (!isShown) show(); // the beginning of a text stays
      explain(failure);
    } finally {
      if (number === latest) rest();
    }
  });
  byId("cards").append(make(
    "section", { class: "card", "aria-labelledby": id },
    make("div", { class: "head" },
      make("h2", { id }, make("bdi", {}, title)), make("p", { class: "soft" }, about)),
    form, error, answer,
  ));
  return { form, clear };
}

const MOST_BARS = 8;

/** A bar for each of the most probable classes. */
function makeBars(shares) {
  // An object has names that are numbers first, whatever their order was.
  const all = Object.entries(shares).sort(([, one], [, other]) => other - one);
  const list = make("ol", { class: "bars" }, ...all.slice(0, MOST_BARS).map(([name, share]) => {
    const fill = make("span");
    fill.style.width = `${100 * share}%`;
    return make("li", {},
      make("bdi", { class: "name" }, name),
      make("span", { class: "track", "aria-hidden": "true" }, fill),
      make("span", { class: "share" }, `${(100 * share).toFixed(1)} %`));
  }));
  const others = all.length - MOST_BARS;
  return others > 0 ? [list, make("p", { class: "soft" }, `and ${others} others`)] : [list];
}
