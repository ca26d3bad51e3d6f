// The card of a language model, whose text appears while it is written.

function addLanguageModel(model) {
  const { area, field } = makeText("Prompt");
  const length = make("input", { type: "number", min: 1, step: 1, value: 100, required: "" });
  const warmth = make("input", { type: "range", min: 0, max: 2, step: 0.1, value: 0.8 });
  const shown = make("output", {}, warmth.value);
  warmth.addEventListener("input", () => { shown.textContent = warmth.value; });
  let stopping = null;
  const stop = makeButton("Stop", () => stopping?.abort());
  stop.disabled = true;
  addCard({
    title: model.name,
    about: "continues texts",
    fields: [
      field,
      make("div", { class: "row" },
        make("label", { class: "inline" }, "tokens", length),
        make("label", { class: "inline" }, "temperature", warmth, shown)),
    ],
    action: "Write",
    others: [stop],
    attended: model.attends && (() => [model.name, area.value]),
    run: async (show) => {
      stopping?.abort();
      const own = new AbortController();
      stopping = own;
      stop.disabled = false;
      try {
        await write(show, own.signal);
      } catch (error) {
        if (error.name !== "AbortError") throw error;
      } finally {
        if (stopping === own) stop.disabled = true;
      }
    },
  });

  async function write(show, signal) {
    const prompt = area.value;
    const fields = {
      model: model.name, prompt, max_tokens: +length.value, temperature: +warmth.value, stream: true,
    };
    const response = await send(
      "/v1/completions", JSON.stringify(fields), "application/json", signal,
    );
    const text = make("span");
    show(make("p", { class: "written", dir: "auto" },
      make("span", { class: "prompt" }, prompt), text));
    for await (const { choices, error } of eventsOf(response)) {
      if (error) throw new Error(messageOf(error));
      text.append(choices?.[0]?.text ?? "");
    }
  }
}
