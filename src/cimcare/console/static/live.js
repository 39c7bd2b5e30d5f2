// Parts that are fetched again and again (data-goes-on) stand still while somebody holds them: types or has typed there,
// has ticked a box, marks text; and while nobody sees them. What is open or shut by hand stays so.
(function () {
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
  function stand(event) {
    const part = event.target;
    if (part.dataset.goesOn !== undefined && (document.hidden || isHeld(part))) event.preventDefault();
  }
  document.addEventListener("htmx:beforeRequest", stand);
  document.addEventListener("htmx:beforeSwap", stand);
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = function (name, node) {
    return !(name === "open" && node.localName === "details");
  };
})();
