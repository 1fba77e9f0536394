// The scripts at the end of a page of the API send its forms. A form that is sent before they have
// run would go out as the browser's own, which no route takes: it waits for them here.

let pressed = null;

function hold(event) {
  if (event.target.matches("[data-method], [method=POST]")) {
    event.preventDefault();
    pressed = event.submitter;
  }
}

function release() {
  removeEventListener("submit", hold, true);
  pressed?.click();
}

addEventListener("submit", hold, true);
// By jQuery, whose functions run in the order in which they came, thus after those of the scripts.
addEventListener("load", () => window.jQuery(release));
