// Watches what a page is still doing. Runs in the page's own world, before any script of the page, in every frame.
// `key` is a name that nobody knows beforehand; under it lies `probe`, which is answered when the page has come to rest.
((key, quiet, patience) => {
  if (Object.prototype.hasOwnProperty.call(window, key)) return;
  const now = performance.now.bind(performance);
  const later = window.setTimeout.bind(window);
  const never = window.clearTimeout.bind(window);

  let last = now(); // when something that matters happened last
  let numbers = 0;
  const calls = new Map(); // fetches and XHRs on their way
  const asked = new Map(); // how often the same was asked for
  const timers = new Map(); // short timers that have not run
  const waiting = new Set(); // probes
  let running = null; // the timer whose consequences are seen now

  const look = () => { for (const probe of waiting) probe(); };
  const touch = () => { last = now(); };

  // ---- fetches ----
  // The same question again and again is a poll: its numbers may differ, as times and counters do.
  const question = (method, url, body) => {
    let address = String(url);
    try { address = new URL(address, location.href).href; } catch { /* it will fail by itself */ }
    const text = typeof body === 'string' ? body.slice(0, 500) : '';
    return `${method} ${address.replace(/\d{6,}/g, '#')} ${text}`.slice(0, 1000);
  };
  const begin = (method, url, body) => {
    const number = ++numbers;
    const what = question(method, url, body);
    const times = (asked.get(what) || 0) + 1;
    if (asked.size < 1000 || times > 1) asked.set(what, times);
    const poll = times > 2;
    if (!poll) {
      calls.set(number, now());
      if (running) running.useful = true;
      touch();
    }
    return () => {
      running = null;
      if (calls.delete(number)) { touch(); look(); }
    };
  };
  const fetchOf = window.fetch;
  if (fetchOf) {
    window.fetch = function fetch(input, init) {
      const request = typeof Request !== 'undefined' && input instanceof Request ? input : null;
      const end = begin((init && init.method) || (request && request.method) || 'GET', request ? request.url : input, init && init.body);
      let answer;
      try { answer = Reflect.apply(fetchOf, this, arguments); } catch (error) { end(); throw error; }
      answer.then(end, end);
      return answer;
    };
    // An answer's body is on its way, too.
    for (const name of ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text']) {
      const read = Response.prototype[name];
      if (!read) continue;
      Response.prototype[name] = function () {
        const end = begin('BODY', this.url + numbers, null);
        const body = Reflect.apply(read, this, arguments);
        body.then(end, end);
        return body;
      };
    }
  }
  const open = XMLHttpRequest.prototype.open;
  const send = XMLHttpRequest.prototype.send;
  const opened = new WeakMap();
  XMLHttpRequest.prototype.open = function (method, url) {
    opened.set(this, [method, url]);
    return Reflect.apply(open, this, arguments);
  };
  XMLHttpRequest.prototype.send = function (body) {
    const [method, url] = opened.get(this) || ['GET', ''];
    const end = begin(method, url, body);
    this.addEventListener('loadend', end, { once: true });
    try { return Reflect.apply(send, this, arguments); } catch (error) { end(); throw error; }
  };

  // ---- workers ----
  // One that has just been started has not said anything yet.
  const WorkerOf = window.Worker;
  if (WorkerOf) {
    window.Worker = new Proxy(WorkerOf, {
      construct(target, given, made) {
        const worker = Reflect.construct(target, given, made);
        const end = begin('WORKER', String(given[0]) + numbers, null);
        for (const name of ['message', 'error']) worker.addEventListener(name, end, { once: true });
        later(end, patience);
        return worker;
      },
    });
  }

  // ---- timers ----
  // One that is set by another's running, and that by another's, without anything coming of it, ticks for its own sake.
  const idle = (timer) => (timer.before ? (timer.before.useful ? 0 : timer.idle + 1) : 0);
  const setTimer = window.setTimeout;
  window.setTimeout = function (work, delay) {
    const wait = Number(delay) || 0;
    if (typeof work !== 'function' || wait > 1500) return Reflect.apply(setTimer, window, arguments);
    const timer = { before: running, idle: running ? running.idle : 0, useful: false };
    const more = Array.prototype.slice.call(arguments, 2);
    const id = later(() => {
      timers.delete(id);
      timer.idle = idle(timer);
      timer.before = null;
      running = timer;
      if (timer.idle <= 3) touch();
      try { return Reflect.apply(work, window, more); } finally { look(); }
    }, wait);
    timers.set(id, timer);
    return id;
  };
  const clear = (id) => { if (timers.delete(id)) look(); return never(id); };
  window.clearTimeout = function clearTimeout(id) { return clear(id); };
  // Either clears both.
  window.clearInterval = function clearInterval(id) { return clear(id); };

  // Frames are asked for one after the other for ever by whatever moves; a few of them may bring something.
  const frames = new Map();
  const askFrame = window.requestAnimationFrame;
  const dropFrame = window.cancelAnimationFrame;
  window.requestAnimationFrame = function requestAnimationFrame(work) {
    if (typeof work !== 'function') return Reflect.apply(askFrame, window, arguments);
    const frame = { before: running, idle: running ? running.idle : 0, useful: false };
    const id = askFrame.call(window, (time) => {
      frames.delete(id);
      frame.idle = idle(frame);
      frame.before = null;
      running = frame;
      try { return work.call(window, time); } finally { if (frame.idle <= FRAMES) look(); }
    });
    frames.set(id, frame);
    return id;
  };
  window.cancelAnimationFrame = function cancelAnimationFrame(id) {
    dropFrame.call(window, id);
    if (frames.delete(id)) look();
  };
  const FRAMES = 10;

  // So may the first moments without other work that are asked for. Where there is always work, they may not come at all.
  const MOMENTS = 20;
  const moments = new Map(); // until when each counts
  let asks = 0;
  const askMoment = window.requestIdleCallback;
  const dropMoment = window.cancelIdleCallback;
  if (askMoment) {
    window.requestIdleCallback = function requestIdleCallback(work, options) {
      if (typeof work !== 'function' || ++asks > MOMENTS) return Reflect.apply(askMoment, window, arguments);
      const id = askMoment.call(window, (left) => {
        moments.delete(id);
        try { return work.call(window, left); } finally { look(); }
      }, options);
      moments.set(id, now() + patience);
      later(look, patience + 1); // the clock is not exact
      return id;
    };
    window.cancelIdleCallback = function cancelIdleCallback(id) {
      dropMoment.call(window, id);
      if (moments.delete(id)) look();
    };
  }

  // ---- changes ----
  const silent = new Set(['SCRIPT', 'STYLE', 'LINK', 'META', 'NOSCRIPT', 'TEMPLATE']);
  const matters = (node) => (node.nodeType === 1 ? !silent.has(node.nodeName) : node.nodeType === 3 && /\S/.test(node.data));
  const noise = new WeakMap();
  const observer = new MutationObserver((records) => {
    let mattered = false;
    for (const record of records) {
      let growth = 0;
      if (record.type === 'childList') {
        let count = 0;
        for (const node of record.addedNodes) if (matters(node)) { growth++; count++; }
        for (const node of record.removedNodes) if (matters(node)) { growth--; count++; }
        if (count === 0) continue;
      }
      if (growth > 0) { mattered = true; continue; }
      // What only replaces itself over and over is a clock or a spinner.
      const times = (noise.get(record.target) || 0) + 1;
      noise.set(record.target, times);
      if (times <= 6) mattered = true;
    }
    if (!mattered) return;
    if (running) running.useful = true;
    touch();
  });
  const all = { subtree: true, childList: true, characterData: true };
  observer.observe(document, all);
  const attachShadow = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function () {
    const root = Reflect.apply(attachShadow, this, arguments);
    observer.observe(root, all);
    return root;
  };

  // ---- the answer ----
  const letters = () => {
    const body = document.body;
    if (!body) return 0;
    let count = body.textContent.length;
    for (const element of body.querySelectorAll('script, style, noscript, template')) count -= element.textContent.length;
    return count;
  };
  const probe = () => new Promise((resolve) => {
    let timer = 0;
    const see = () => {
      never(timer);
      const time = now();
      let busy = 0;
      for (const entry of timers.values()) if (idle(entry) <= 3) busy++;
      for (const entry of frames.values()) if (idle(entry) <= FRAMES) busy++;
      for (const until of moments.values()) if (time < until) busy++;
      let oldest = Infinity;
      for (const since of calls.values()) oldest = Math.min(oldest, since);
      // A page that stands and still waits for something is most likely told news; one that is empty waits for its content.
      const waits = calls.size > 0 && !(letters() >= 200 && [...calls.values()].every((since) => time - since >= patience));
      const scripts = document.scripts.length > 0 || (document.body && document.body.hasAttribute('onload'));
      const rest = (scripts ? quiet : 0) - (time - last);
      if (busy === 0 && !waits && rest <= 0) {
        waiting.delete(see);
        resolve({ open: calls.size, letters: letters() });
      } else if (busy === 0 && !waits) {
        timer = later(see, Math.max(rest, 1));
      } else if (waits) {
        timer = later(see, Math.max(oldest + patience - time, 25));
      }
    };
    waiting.add(see);
    see();
  });
  // Whether what is seen is there: fonts, and the pictures within the window.
  const seen = async () => {
    const within = (element) => {
      const box = element.getBoundingClientRect();
      return box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
    };
    const pictures = [...document.images].filter((image) => !image.complete && within(image));
    const loads = pictures.map((image) => new Promise((done) => {
      image.addEventListener('load', done, { once: true });
      image.addEventListener('error', done, { once: true });
    }));
    await Promise.all([document.fonts ? document.fonts.ready : null, ...loads]);
    return pictures.length;
  };
  Object.defineProperty(window, key, { value: Object.freeze({ probe, seen }) });
})
