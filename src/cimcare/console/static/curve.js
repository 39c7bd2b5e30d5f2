// Draws a curve with uPlot from the table beside it, where the server's drawing stood: what is under the pointer stands
// in words, a part is taken by dragging, what a step is about opens by a click. Times are UTC, colours the page's.
document.addEventListener("alpine:init", function () {
  const FONT = "12px system-ui, sans-serif", LEAST_PX = 6;
  const grouped = (number) => number.toLocaleString("en").replaceAll(",", " ");
  const MINUTE = 60, DAY = 86400, SHORT = 45 * MINUTE;
  // From a distance of marks on: what is written, and what is added where a year or a day begins.
  const CLOCK = [
    [DAY, "{MM}-{DD}", null, null, null, null, null, null, 1],
    [MINUTE, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  ];
  const CLOCK_ALONE = [
    [MINUTE, "{HH}:{mm}", null, null, null, null, null, null, 1],
    [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
  ];
  const COUNTS = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat();

  function read(figure) {
    const { since, until, width, here, mark, markName, zoom } = figure.dataset;
    const heads = figure.querySelectorAll("details th[data-shape]");
    const columns = Array.from(heads, (head) => ({ name: head.textContent, ...head.dataset }));
    const rows = Array.from(figure.querySelectorAll("details tbody tr"), function (row) {
      const time = row.querySelector("time"), link = row.querySelector("a");
      const values = Array.from(row.querySelectorAll("td"), (cell) => cell.querySelector("data"));
      const texts = values.map((one) => (one ? one.textContent : "–"));
      return {
        middle: Date.parse(time.dateTime) / 1000 + Number(width) / 2,
        time: time.textContent,
        href: link && link.href,
        texts,
        values: values.map((one) => (one ? Number(one.value) : null)),
      };
    });
    const data = [rows.map((row) => row.middle), ...columns.map((_, place) => rows.map((row) => row.values[place]))];
    return {
      since: Number(since), until: Number(until), here: Number(here), zoom,
      mark: Number(mark), markName, hasMark: figure.dataset.hasMark === "yes",
      first: figure.querySelector("details th").textContent, columns, rows, data,
    };
  }

  // What uPlot is told. `curve()` is what was read last, for it changes while the drawing stays.
  function options(curve, ink, { width, height }, goTo) {
    const { columns, zoom } = curve(), isOn = (side) => columns.some((one) => one.side === side);
    const axis = (side, more) => ({
      scale: side, font: FONT, stroke: ink(columns.find((one) => one.side === side).ink), incrs: COUNTS, gap: 4,
      values: (_, marks) => marks.map(grouped), ticks: { show: false },
      size: (_, texts) => 12 + 7.2 * Math.max(2, ...(texts || []).map((text) => text.length)), ...more,
    });
    const isLong = curve().until - curve().since > SHORT;
    const clock = isLong ? { values: CLOCK, size: 38 } : { values: CLOCK_ALONE, size: 24 };
    const drag = { x: Boolean(zoom), y: false, setScale: false, dist: LEAST_PX };
    const grid = { stroke: ink("line"), width: 1 };
    return {
      width, height, padding: [8, isOn("right") ? 0 : 14, 0, 0],
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      scales: {
        x: { range: () => [curve().since, curve().until] },
        left: { range: (_, __, most) => [0, Math.max((most || 1) * 1.06, curve().hasMark ? curve().mark * 1.06 : 0)] },
        right: { range: (_, __, most) => [0, (most || 1) * 1.06] },
      },
      axes: [
        { font: FONT, stroke: ink("soft"), grid: { show: false }, ticks: { stroke: ink("line"), size: 4 }, ...clock },
        axis("left", { grid }),
        ...(isOn("right") ? [axis("right", { side: 1, grid: { show: false } })] : []),
      ],
      series: [
        { label: curve().first, value: (_, __, ___, place) => (place == null ? "–" : curve().rows[place].time) },
        ...columns.map((one, column) => ({
          label: one.name, scale: one.side, stroke: ink(one.ink), width: one.shape === "bars" ? 0 : 2,
          fill: one.shape === "bars" ? ink(one.ink) + (one.ink === "brand" ? "99" : "") : undefined,
          paths: one.shape === "bars" ? uPlot.paths.bars({ size: [0.8, Infinity] }) : uPlot.paths.linear(),
          points: { show: one.shape === "line" && curve().rows.length < 40, size: 5, fill: ink(one.ink) },
          value: (_, __, ___, place) => (place == null ? "–" : curve().rows[place].texts[column]),
        })),
      ],
      legend: { markers: { width: 0, fill: (_, place) => (place ? ink(columns[place - 1].ink) : "transparent") } },
      // It takes a click at the edge for a drag and holds it back; which of them it was is found out here.
      cursor: { y: false, points: { show: false }, drag: { ...drag, click: () => {} } },
      hooks: { draw: [(plot) => drawLines(plot, curve(), ink)], setSelect: [(plot) => take(plot, curve(), goTo)] },
    };
  }

  function drawLines(plot, { here, mark, hasMark, markName }, ink) {
    const { ctx, bbox } = plot, unit = devicePixelRatio;
    function line(colour, dashes, from, to) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = 1.5 * unit;
      ctx.setLineDash(dashes.map((one) => one * unit));
      ctx.beginPath();
      ctx.moveTo(...from);
      ctx.lineTo(...to);
      ctx.stroke();
    }
    ctx.save();
    if (here) {
      const x = plot.valToPos(here, "x", true);
      line(ink("ink"), [4, 3], [x, bbox.top], [x, bbox.top + bbox.height]);
    }
    if (mark) {
      const y = hasMark ? plot.valToPos(mark, "left", true) : bbox.top;
      if (hasMark) line(ink("soft"), [7, 4], [bbox.left, y], [bbox.left + bbox.width, y]);
      const text = `${hasMark ? "" : "↑ "}${markName} ${grouped(mark)}`, right = bbox.left + bbox.width;
      ctx.font = FONT.replace("12", String(12 * unit));
      ctx.textAlign = "right";
      ctx.textBaseline = "top";
      ctx.fillStyle = ink("card");
      const room = ctx.measureText(text).width + 6 * unit;
      ctx.fillRect(right - room, y + 2 * unit, room, 15 * unit);
      ctx.fillStyle = ink("soft");
      ctx.fillText(text, right, y + 3 * unit);
    }
    ctx.restore();
  }

  // A part was taken by dragging.
  function take(plot, { zoom }, goTo) {
    const { left, width } = plot.select;
    if (!zoom || width < LEAST_PX) return;
    const at = (pixels) => new Date(plot.posToVal(pixels, "x") * 1000).toISOString();
    goTo(zoom + new URLSearchParams({ since: at(left), until: at(left + width) }));
  }

  // uPlot listens to a mouse alone: what a finger does across is told as if a mouse did it.
  function followFingers(over) {
    const told = { pointerdown: "mousedown", pointermove: "mousemove", pointerup: "mouseup" };
    for (const [heard, meant] of Object.entries(told)) {
      over.addEventListener(heard, function (event) {
        if (event.pointerType !== "touch") return;
        const { clientX, clientY } = event;
        over.dispatchEvent(new MouseEvent(meant, { clientX, clientY, movementX: 1, bubbles: true, button: 0 }));
      });
    }
  }

  Alpine.data("curve", function () {
    const ends = [];
    let plot = null, shown = null, pressed = 0;
    return {
      init() {
        const figure = this.$root, place = figure.querySelector("[data-drawn]");
        const style = (name) => getComputedStyle(figure).getPropertyValue(`--${name}`).trim();
        const size = () => ({ width: figure.clientWidth, height: Number(style("high")) || 190 });
        const goTo = (address) => location.assign(address);
        function draw() {
          if (plot) plot.destroy();
          shown = read(figure);
          plot = new uPlot(options(() => shown, style, size(), goTo), shown.data, place);
          plot.over.addEventListener("mousedown", (event) => { pressed = event.clientX; });
          plot.over.addEventListener("click", open);
          followFingers(plot.over);
        }
        function open(event) {
          const row = shown.rows[plot.cursor.idx], isDrag = Math.abs(event.clientX - pressed) >= LEAST_PX;
          if (row && row.href && !isDrag) goTo(row.href);
        }
        function renew() {
          const next = read(figure);
          if (JSON.stringify(next.columns) !== JSON.stringify(shown.columns)) return draw();
          shown = next;
          plot.setData(next.data);
        }
        draw();
        const renewed = new MutationObserver(renew), sized = new ResizeObserver(() => plot.setSize(size()));
        renewed.observe(figure, { attributes: true });
        const whole = { attributes: true, childList: true, characterData: true, subtree: true };
        renewed.observe(figure.querySelector("details table"), whole);
        sized.observe(figure);
        document.addEventListener("appearance", draw);
        ends.push(() => renewed.disconnect(), () => sized.disconnect());
        ends.push(() => document.removeEventListener("appearance", draw));
      },
      destroy() {
        for (const end of ends) end();
        plot.destroy();
      },
    };
  });
});
