// Alt with a key presses what names the key: a danger is told by one stroke, whatever field is being typed in.
document.addEventListener("keydown", function (event) {
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  for (const one of document.querySelectorAll("[data-key]")) {
    if (one.dataset.key !== event.code) continue;
    event.preventDefault();
    one.click();
    return;
  }
});
