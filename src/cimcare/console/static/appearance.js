// Light or dark as it was chosen in this browser, else as the machine has it. Runs once the style sheets are there and
// before anything is painted, and again when the choice is made, here or in another window.
const Appearance = (function () {
  const KEY = "cimcare.appearance", SYSTEM = "(prefers-color-scheme: dark)";
  const MEDIA = { "": SYSTEM, light: "not all", dark: "screen" }; // what is printed is light
  const dark = Array.from(document.styleSheets)
    .flatMap((sheet) => Array.from(sheet.cssRules))
    .filter((rule) => rule instanceof CSSMediaRule && rule.media.mediaText === SYSTEM);
  function chosen() {
    try {
      const kept = localStorage.getItem(KEY);
      return kept in MEDIA ? kept : "";
    } catch { // a browser that keeps nothing
      return "";
    }
  }
  function show(choice) {
    for (const rule of dark) rule.media.mediaText = MEDIA[choice];
    document.querySelector("meta[name=color-scheme]").content = choice || "light dark";
    document.dispatchEvent(new CustomEvent("appearance", { detail: choice }));
  }
  function choose(choice) {
    try {
      localStorage.setItem(KEY, choice);
    } catch { // then it holds for this page
    }
    show(choice);
  }
  if (chosen()) show(chosen());
  addEventListener("storage", function (event) {
    if (event.key === KEY || event.key === null) show(chosen());
  });
  matchMedia(SYSTEM).addEventListener("change", function () {
    if (!chosen()) show("");
  });
  return { chosen, choose };
})();
