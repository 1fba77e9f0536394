// What the pages have in common.

/** Returns an element; text stays text, whatever is in it. A child that is no value is left out. */
export function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== undefined && child !== false && child !== ""));
  return made;
}

/** Returns the element of a time, in the reader's clock; the day too where it is not today. */
export function isoTime(timestamp) {
  const at = new Date(timestamp);
  const isToday = at.toDateString() === new Date().toDateString();
  const words = isToday ? at.toLocaleTimeString() : at.toLocaleString();
  return element("time", { dateTime: timestamp, title: timestamp }, words);
}

export function showState(state, words) {
  const shown = document.querySelector("#state");
  shown.dataset.state = state;
  if (shown.textContent !== words) shown.textContent = words;
}

const { api, ticket } = document.body.dataset;

/**
 * Sends a request to the API; returns the response's body. Throws an error whose text is for the reader.
 *
 * The ticket stands for the token with which the page was asked for.
 */
export async function send(method, path, body) {
  const headers = ticket ? { Authorization: `Bearer ${ticket}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The service was not reached.");
  }
  const received = await response.json();
  if (response.ok) return received;
  throw new Error(response.status === 401 ? "Your login has ended: reload the page." : received.error);
}
