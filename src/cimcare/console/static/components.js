// What Alpine does on pages: the choice of appearance, copying, and tabs under the arrow keys. Pages name these
// functions; no code stands in them.
document.addEventListener("alpine:init", function () {
  Alpine.data("appearance", () => ({
    chosen: Appearance.chosen(),
    init() {
      this.$watch("chosen", Appearance.choose);
      document.addEventListener("appearance", (event) => { this.chosen = event.detail; });
    },
  }));

  const SHOWN_MS = 2000;
  const say = (text) => { document.getElementById("said").textContent = text; };
  async function fetched(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} answers ${answer.status}`);
    return answer.text();
  }
  function wanted({ text, from, lines }) {
    if (from) return fetched(from);
    if (lines) text = Array.from(document.querySelectorAll(lines), (line) => line.textContent).join("\n");
    return Promise.resolve(text);
  }
  // Some browsers let a page copy within the click alone, so what has yet to be fetched is promised.
  function promise(text) {
    if (typeof ClipboardItem === "undefined") return text.then((one) => navigator.clipboard.writeText(one));
    const typed = text.then((one) => new Blob([one], { type: "text/plain" }));
    return navigator.clipboard.write([new ClipboardItem({ "text/plain": typed })]);
  }
  // Where a hub is reached over plain HTTP from another machine, browsers have the old way alone.
  function copyMarked(text) {
    const field = document.createElement("textarea"), before = document.activeElement;
    field.className = "sr";
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    before.focus();
    if (!isCopied) throw new Error("this browser does not let pages copy");
  }
  Alpine.data("copying", () => ({
    state: "",
    async copy() {
      const { what } = this.$el.dataset, text = wanted(this.$el.dataset);
      try {
        await (navigator.clipboard ? promise(text) : text.then(copyMarked));
        this.state = "copied";
        say(`${what} copied`);
      } catch (error) {
        this.state = "failed";
        say(`${what} could not be copied: ${error.message}`);
      }
      setTimeout(() => { this.state = ""; say(""); }, SHOWN_MS);
    },
  }));

  // One stop for the keyboard, moved along by arrows. A tab is fetched when it is pressed, so moving costs nothing.
  Alpine.data("tabs", () => ({
    move(event) {
      const tabs = Array.from(this.$root.querySelectorAll("[role=tab]")), here = tabs.indexOf(event.target);
      const places = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 };
      if (event.key === " ") event.target.click();
      else if (event.key in places) tabs[(places[event.key] + tabs.length) % tabs.length].focus();
      else return;
      event.preventDefault();
    },
    stop() {
      return this.$el.getAttribute("aria-selected") === "true" ? 0 : -1;
    },
  }));
});

// A part that is brought up to date keeps what Alpine has made of it: what is bound stays as it is bound, what was
// uncovered stays so, and what was drawn is left to what has drawn it.
(function () {
  const callbacks = Idiomorph.defaults.callbacks, updated = callbacks.beforeAttributeUpdated;
  callbacks.beforeAttributeUpdated = function (name, node, kind) {
    if (node.hasAttribute(`x-bind:${name}`) || (name === "x-cloak" && kind === "update")) return false;
    return updated(name, node, kind);
  };
  callbacks.beforeNodeMorphed = function (node) {
    return node.dataset === undefined || node.dataset.drawn === undefined;
  };
})();
