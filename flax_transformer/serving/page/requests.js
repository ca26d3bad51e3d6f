// Requests to the service. Errors are shown as it gives them.

const byId = (id) => document.getElementById(id);
const service = JSON.parse(byId("service").textContent);

/** Sends a body, or asks without one; returns the response, or throws its reason. */
async function send(path, body = undefined, kind = "application/json", signal = undefined) {
  const headers = { "Content-Type": kind };
  // The key is nowhere but in its field.
  if (byId("key").value) headers.Authorization = `Bearer ${byId("key").value}`;
  let response;
  try {
    response = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(`the service does not answer (${error.message})`);
  }
  if (!response.ok) throw new Error(await reasonOf(response));
  return response;
}

async function reasonOf(response) {
  const text = await response.text();
  try {
    return messageOf(JSON.parse(text).error) ?? text;
  } catch {
    return text || `${response.status} ${response.statusText}`;
  }
}

/** The text of an error, which is a text or, in OpenAI's interface, an object with one. */
function messageOf(error) {
  return typeof error === "object" ? error?.message : error;
}

/** The fields that a route answers to these fields. */
async function ask(path, fields) {
  return (await send(path, JSON.stringify(fields))).json();
}

/** The events of a stream, up to the one that ends it. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (done ? "\n" : value)).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice("data:".length).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
    if (done) return;
  }
}

/**
 * Opens the page of the attention of a model in another tab, or throws why there is none.
 *
 * The page has scripts, which the policy of this page forbids: so the tab asks for it once more.
 */
async function showAttention(model, text) {
  await send("/attention", JSON.stringify({ model, text }));
  if (navigator.userActivation?.isActive === false) {
    // Some time after a click, browsers open no tab.
    throw new Error("the attention is ready: press the button again to open it");
  }
  const { elements } = byId("attention");
  elements.model.value = model;
  elements.text.value = text;
  elements.api_key.value = byId("key").value;
  byId("attention").submit();
}
