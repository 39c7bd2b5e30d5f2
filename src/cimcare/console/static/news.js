// What the hub says to all pages: that something has changed, or that nothing has. A browser has about six connections
// for one address, so one stream serves all its windows that somebody sees: this file is also the shared worker that
// holds it. Where there are no such workers, each page that is seen holds a stream of its own.
(function () {
  const ADDRESS = "/console/news", TICK = 5000, SILENT = 25000, FORGOTTEN = 60000;

  // One stream, opened again when it was lost, refused or silent for longer than the hub ever is.
  function makeStream(tell) {
    let source = null, clock = null, last = 0, changed = null;
    function open() {
      last = Date.now();
      source = new EventSource(ADDRESS);
      for (const word of ["changed", "still"])
        source.addEventListener(word, function (event) {
          const said = { word: word, at: event.data };
          last = Date.now();
          if (word === "changed") changed = said;
          tell(said);
        });
    }
    function look() {
      if (Date.now() - last < (source.readyState === EventSource.CLOSED ? 2 * TICK : SILENT)) return;
      source.close();
      open();
    }
    return {
      start() {
        if (clock !== null) return;
        clock = setInterval(look, TICK);
        open();
      },
      stop() {
        if (clock === null) return;
        clearInterval(clock);
        source.close();
        clock = changed = null;
      },
      // The last change of which this stream knows, for who begins to listen now.
      changed: () => changed,
    };
  }

  function beWorker() {
    const ports = new Map();
    const stream = makeStream(function (said) {
      for (const port of ports.keys()) port.postMessage(said);
    });
    function leave(port) {
      ports.delete(port);
      if (!ports.size) stream.stop();
    }
    self.onconnect = function (event) {
      const port = event.ports[0];
      port.onmessage = function (message) {
        if (message.data !== "watch") return leave(port);
        if (!ports.has(port) && stream.changed()) port.postMessage(stream.changed());
        ports.set(port, Date.now());
        stream.start();
      };
    };
    // A window that crashed says no good-bye.
    setInterval(function () {
      for (const [port, at] of ports) if (Date.now() - at > FORGOTTEN) leave(port);
    }, TICK);
  }

  // For a page: `watch` again and again while it is seen, `leave` when it is not.
  function openNews(script, tell) {
    const own = makeStream(tell), alone = { watch: own.start, leave: own.stop };
    if (!window.SharedWorker) return alone;
    const worker = new SharedWorker(script, "cimcare news");
    let shared = { watch: () => worker.port.postMessage("watch"), leave: () => worker.port.postMessage("leave") };
    worker.port.onmessage = (message) => tell(message.data);
    worker.onerror = () => (shared = alone);
    return { watch: () => shared.watch(), leave: () => shared.leave() };
  }

  if (typeof document === "undefined") beWorker();
  else {
    const script = document.currentScript.src;
    window.openNews = (tell) => openNews(script, tell);
  }
})();
