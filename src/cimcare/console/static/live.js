// Parts that go on by themselves (data-goes-on: at most every so many seconds) are fetched again when the hub says that
// something has changed, and when it has said nothing for a while. They stand still while somebody holds them: types or
// has typed there, has ticked a box, marks text; and while nobody sees them. What is open or shut by hand stays so.
(function () {
  const TICK = 5000, SILENT = 15000, SPREAD = 1000;
  // Of each part: `made`, the instant up to which it shows all; when it is to be looked at `next` in a row of changes;
  // the timer of the look that is coming, and when that is due.
  const marks = new WeakMap();
  let newest = "", heard = Date.now();

  function parts() {
    return document.querySelectorAll("[data-goes-on]");
  }
  function markOf(part) {
    if (!marks.has(part)) marks.set(part, { made: document.body.dataset.made, next: 0, timer: 0, due: 0 });
    return marks.get(part);
  }
  function isChanged(field) {
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.localName !== "select") return field.value !== field.defaultValue;
    const first = Array.from(field.options).findIndex((one) => one.defaultSelected);
    return field.selectedIndex !== Math.max(first, 0);
  }
  function isHeld(part) {
    const here = document.activeElement, marked = document.getSelection();
    if (part.contains(here) && here.matches("input, select, textarea")) return true;
    if (!marked.isCollapsed && marked.containsNode(part, true)) return true;
    return Array.from(part.querySelectorAll("input:not([type=hidden]), select, textarea")).some(isChanged);
  }

  // Many windows hear the same word at once, and ask a little apart from one another.
  function look(part, wait) {
    const mark = markOf(part), due = Date.now() + wait;
    if (mark.timer && mark.due <= due) return;
    clearTimeout(mark.timer);
    mark.due = due;
    mark.timer = setTimeout(function () {
      mark.timer = 0;
      if (part.isConnected) htmx.trigger(part, "goes-on");
    }, wait);
  }
  function hear(said) {
    heard = Date.now();
    if (said.at > newest) newest = said.at;
    for (const part of parts()) {
      const mark = markOf(part), now = Date.now(), spread = SPREAD * Math.random();
      if (said.word === "still") look(part, spread);
      else if (mark.made < said.at && !mark.timer) {
        const apart = 1000 * part.dataset.goesOn;
        const wait = Math.max(spread, mark.next - apart - now); // two in a row may be closer, after a quiet time
        mark.next = Math.max(mark.next, now + wait) + apart;
        look(part, wait);
      }
    }
  }

  const news = openNews(hear);
  function attend() {
    if (document.hidden || !parts().length) news.leave();
    else news.watch();
  }
  // Whoever comes back to a page wants to see what is, and not what was.
  function seen() {
    attend();
    if (!document.hidden) for (const part of parts()) look(part, 0);
  }
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("pageshow", (event) => event.persisted && seen());
  window.addEventListener("pagehide", () => news.leave());
  setInterval(function () {
    attend();
    if (document.hidden || Date.now() - heard < SILENT) return;
    heard = Date.now();
    for (const part of parts()) look(part, 0);
  }, TICK);
  attend();

  function stand(event) {
    const part = event.target;
    if (part.dataset.goesOn !== undefined && (document.hidden || isHeld(part))) event.preventDefault();
  }
  function tell(text) {
    const place = document.getElementById("stands");
    if (place.textContent !== text) place.textContent = text;
    document.body.classList.toggle("stands", text !== "");
  }
  document.addEventListener("htmx:configRequest", function (event) {
    const part = event.target;
    if (part.dataset.goesOn === undefined) return;
    const made = markOf(part).made;
    event.detail.headers["x-not-before"] = made > newest ? made : newest;
  });
  document.addEventListener("htmx:beforeRequest", stand);
  document.addEventListener("htmx:beforeSwap", function (event) {
    stand(event);
    const part = event.target, made = event.detail.xhr.getResponseHeader("x-made-at");
    if (part.dataset.goesOn === undefined || event.detail.xhr.status !== 200) return;
    tell("");
    if (!event.defaultPrevented && made) markOf(part).made = made;
  });
  for (const trouble of ["htmx:responseError", "htmx:sendError", "htmx:timeout"])
    document.addEventListener(trouble, function (event) {
      const part = event.target;
      if (part.dataset.goesOn === undefined || document.hidden) return;
      const status = event.detail.xhr.status, at = markOf(part).made.slice(11, 19);
      let why = "the hub does not answer. It goes on by itself as soon as it can.";
      if (status === 503) why = "the hub cannot look into its database now. It goes on by itself as soon as it can.";
      else if (status === 404) why = "what it shows is not kept any more.";
      else if (status) why = `the hub answers with an error (${status}).`;
      tell(`This page stands still at ${at} Z: ${why}`);
    });
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = function (name, node) {
    return !(name === "open" && node.localName === "details") && !(name === "style" && node.localName === "textarea");
  };
})();
