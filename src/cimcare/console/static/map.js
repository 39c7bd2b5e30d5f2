// The drawing of a network to be moved and zoomed: Leaflet over what the server has drawn, which stays where it is, hidden,
// kept up to date and for the printer. Whenever it changes, the map follows and stands still. Nothing is fetched here but
// tiles, if the page names a server of them.
(function () {
  const LEAST = 0.9, MOST = 1.3; // sizes of a sign, as shares of that in the drawing
  const CLOSE = 1.8, CLOSER = 3.6; // pixels of a unit of the drawing from which on more things have their names
  const LOWEST = -12, DEEPEST = 22, MOST_OF_A_SCHEME = 8, MOST_PIXELS = 32768;
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;

  // The drawing once more, with each thing where it truly is if the model knows that.
  function pictureOf(drawing) {
    const picture = drawing.querySelector("svg").cloneNode(true);
    for (const one of picture.querySelectorAll("[id]")) one.id = `chart-${one.id}`;
    for (const one of picture.querySelectorAll("[data-at]")) {
      const at = one.dataset.at.split(" ");
      if (one.localName === "line") ["x1", "y1", "x2", "y2"].forEach((name, place) => one.setAttribute(name, at[place]));
      else one.setAttribute("transform", `translate(${at})`);
    }
    if (picture.dataset.box) picture.setAttribute("viewBox", `0 0 ${picture.dataset.box}`);
    return picture;
  }
  function sizeOf(picture) {
    return picture.getAttribute("viewBox").split(" ").slice(2).map(Number);
  }
  function boundsOf(picture) {
    const [south, west, north, east] = picture.dataset.bounds
      ? picture.dataset.bounds.split(" ").map(Number)
      : [-sizeOf(picture)[1], 0, 0, sizeOf(picture)[0]];
    return L.latLngBounds([south, west], [north, east]);
  }

  // Where somebody had looked comes back with the page: from an incident one returns to the same spot.
  const remembered = `map ${location.search}`;
  function remember(view) {
    try {
      if (view) sessionStorage.setItem(remembered, JSON.stringify(view));
      else sessionStorage.removeItem(remembered);
    } catch { /* storage may be forbidden: the map begins with all of it then */ }
  }
  function recall() {
    try {
      return JSON.parse(sessionStorage.getItem(remembered));
    } catch {
      return null;
    }
  }

  // Leaflet's own layer of tiles ends what it no longer wants by an image of the scheme `data`, which the policy forbids.
  function tilesOf(chart) {
    const Tiles = L.GridLayer.extend({
      createTile(at, done) {
        const tile = document.createElement("img");
        tile.alt = "";
        tile.referrerPolicy = "origin"; // public servers want to know who asks, and are told no more than that
        tile.addEventListener("load", () => done(null, tile));
        tile.addEventListener("error", () => done(new Error("no tile"), tile));
        tile.src = chart.dataset.tiles.replace(/\{([xyz])\}/g, (_, name) => at[name]);
        return tile;
      },
    });
    const tiles = new Tiles({ maxNativeZoom: Number(chart.dataset.tilesZoom), maxZoom: 30 });
    tiles.on("tileunload", (event) => event.tile.removeAttribute("src"));
    return tiles;
  }

  function addButtons(map, showAll) {
    const bar = L.DomUtil.create("div", "chart-buttons");
    const buttons = [
      ["+", "Zoom in", () => map.zoomIn()],
      ["−", "Zoom out", () => map.zoomOut()],
      ["All", "All of the drawing", showAll],
    ];
    const [nearer, farther] = buttons.map(([sign, name, act]) => {
      const button = L.DomUtil.create("button", sign === "All" ? "whole" : "", bar);
      Object.assign(button, { type: "button", textContent: sign, title: name, ariaLabel: name });
      button.addEventListener("click", act);
      return button;
    });
    L.DomEvent.disableClickPropagation(bar);
    map.on("zoomend zoomlevelschange", () => {
      nearer.ariaDisabled = String(map.getZoom() >= map.getMaxZoom());
      farther.ariaDisabled = String(map.getZoom() <= map.getMinZoom());
    });
    const Bar = L.Control.extend({ onAdd: () => bar });
    new Bar({ position: "topleft" }).addTo(map);
  }

  // Keys work wherever the focus is inside; a link that has it is in sight; a link under a hand that moves is not followed.
  function guide(map, chart) {
    let hasMoved = false, isByKey = false;
    function keepInSight() {
      const link = document.activeElement.closest("#chart svg a");
      if (!link) return;
      chart.scrollTo(0, 0); // a browser may have scrolled to it, which is no way to move a map
      const seen = chart.getBoundingClientRect(), it = link.getBoundingClientRect();
      const x = (it.left + it.right - seen.left - seen.right) / 2, y = (it.top + it.bottom - seen.top - seen.bottom) / 2;
      if (2 * Math.abs(x) > seen.width || 2 * Math.abs(y) > seen.height) map.panBy([x, y], { animate: false });
    }
    chart.addEventListener("focusin", () => {
      map.fire("focus");
      keepInSight();
    });
    chart.addEventListener("focusout", () => map.fire("blur"));
    chart.addEventListener("keydown", (event) => { isByKey = "+=-".includes(event.key); }, true);
    map.on("zoomend", () => {
      if (isByKey) keepInSight();
      isByKey = false;
    });
    chart.addEventListener("pointerdown", () => { hasMoved = false; }, true);
    map.on("dragstart", () => { hasMoved = true; });
    chart.addEventListener("click", (event) => {
      if (hasMoved && event.detail) event.preventDefault();
    }, true);
  }

  function start() {
    const chart = document.getElementById("chart"), drawing = document.getElementById("drawing");
    if (!chart) return;
    const before = Idiomorph.defaults.callbacks.beforeNodeMorphed;
    Idiomorph.defaults.callbacks.beforeNodeMorphed = (node, other) => (node === chart ? false : before(node, other));
    document.documentElement.classList.add("charted");

    const picture = pictureOf(drawing), isOnEarth = Boolean(picture.dataset.bounds), isScheme = !picture.dataset.box;
    const map = L.map(chart, {
      crs: isOnEarth ? L.CRS.EPSG3857 : L.CRS.Simple,
      zoomControl: false, attributionControl: false, minZoom: LOWEST,
      zoomSnap: chart.dataset.tiles ? 1 : 0.125, wheelPxPerZoomLevel: 120,
      zoomAnimation: !isStill, fadeAnimation: !isStill, markerZoomAnimation: false, inertia: !isStill,
    });
    const overlay = L.svgOverlay(picture, boundsOf(picture));
    const scaleAt = (zoom) => {
      const bounds = overlay.getBounds();
      const wide = map.project(bounds.getNorthEast(), zoom).x - map.project(bounds.getSouthWest(), zoom).x;
      return wide / sizeOf(picture)[0];
    };
    function dress(zoom) {
      const scale = scaleAt(zoom);
      picture.style.setProperty("--sign", Math.min(Math.max(scale, LEAST), MOST) / scale);
      picture.classList.toggle("close", scale >= CLOSE);
      picture.classList.toggle("closer", scale >= CLOSER);
    }
    function bound() {
      const bounds = overlay.getBounds();
      const largest = Math.min(MOST_PIXELS / Math.max(...sizeOf(picture)), isScheme ? MOST_OF_A_SCHEME : Infinity);
      map.setMaxBounds(bounds.pad(0.5));
      map.setMaxZoom(Math.floor(Math.min(Math.log2(largest / scaleAt(0)), isOnEarth ? DEEPEST : Infinity)));
      map.setMinZoom(LOWEST);
      map.setMinZoom(Math.min(map.getBoundsZoom(bounds), map.getMaxZoom()) - 1);
    }
    let home = null; // the view of all of it, which is not one that somebody has chosen
    const view = () => ({ at: map.getCenter(), zoom: map.getZoom() });
    const isHome = () => map.getZoom() === home.zoom && map.project(map.getCenter()).distanceTo(map.project(home.at)) < 2;
    function showAll() {
      const largest = Math.log2(MOST / scaleAt(0));
      map.fitBounds(overlay.getBounds(), { maxZoom: isScheme ? largest : undefined, animate: false });
      home = view();
      remember(null);
    }
    map.fitBounds(overlay.getBounds(), { animate: false });
    overlay.addTo(map);
    bound();
    if (chart.dataset.tiles) {
      tilesOf(chart).addTo(map);
      const whose = document.createElement("span");
      whose.textContent = chart.dataset.tilesAttribution;
      if (whose.textContent) L.control.attribution({ prefix: false }).addAttribution(whose.innerHTML).addTo(map);
    }
    if (isOnEarth) L.control.scale({ position: "bottomleft" }).addTo(map);
    addButtons(map, showAll);
    guide(map, chart);
    map.on("zoom zoomanim viewreset", (event) => dress(event.zoom ?? map.getZoom()));
    const last = recall();
    showAll();
    map.on("moveend", () => remember(isHome() ? null : view()));
    if (last) map.setView(last.at, last.zoom, { animate: false });
    dress(map.getZoom());
    map.on("resize", () => {
      bound();
      if (!recall()) showAll();
    });

    new MutationObserver(() => {
      if (!drawing.querySelector("svg")) return;
      const fresh = pictureOf(drawing);
      for (const name of ["viewBox", "aria-label", "data-box", "data-bounds"]) {
        if (fresh.hasAttribute(name)) picture.setAttribute(name, fresh.getAttribute(name));
      }
      Idiomorph.morph(picture, [...fresh.childNodes], { morphStyle: "innerHTML" });
      if (overlay.getBounds().equals(boundsOf(picture))) return;
      overlay.setBounds(boundsOf(picture));
      bound();
      dress(map.getZoom());
    }).observe(drawing, { subtree: true, childList: true, attributes: true, characterData: true });
  }
  document.addEventListener("DOMContentLoaded", start);
})();
