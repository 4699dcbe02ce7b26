// Finds elements, waits until they can be acted upon, and watches that what is done hits them. Runs in a world of its own:
// the page's scripts do not see it.
(() => {
  if (globalThis.hands) return;

  // ---- finding ----
  const roots = function* (root) {
    yield root;
    for (const element of root.querySelectorAll('*')) if (element.shadowRoot) yield* roots(element.shadowRoot);
  };
  const words = (text) => text.replace(/\s+/g, ' ').trim();
  const hidden = new Set(['SCRIPT', 'STYLE', 'NOSCRIPT', 'TEMPLATE', 'HEAD', 'TITLE']);
  const label = (element) => {
    if (element instanceof HTMLInputElement && ['submit', 'button', 'reset'].includes(element.type)) return words(element.value);
    return words(element.innerText ?? element.textContent ?? '');
  };
  const ROLES = {
    A: (e) => (e.hasAttribute('href') ? 'link' : ''), AREA: (e) => (e.hasAttribute('href') ? 'link' : ''), ARTICLE: 'article',
    ASIDE: 'complementary', BUTTON: 'button', DIALOG: 'dialog', FOOTER: 'contentinfo', FORM: 'form', H1: 'heading', H2: 'heading',
    H3: 'heading', H4: 'heading', H5: 'heading', H6: 'heading', HEADER: 'banner', HR: 'separator', IMG: 'img', LI: 'listitem',
    MAIN: 'main', NAV: 'navigation', OL: 'list', OPTION: 'option', P: 'paragraph', PROGRESS: 'progressbar', SECTION: 'region',
    SELECT: (e) => (e.multiple || e.size > 1 ? 'listbox' : 'combobox'), SUMMARY: 'button', TABLE: 'table', TD: 'cell',
    TEXTAREA: 'textbox', TH: 'columnheader', TR: 'row', UL: 'list',
    INPUT: (e) => ({
      button: 'button', submit: 'button', reset: 'button', image: 'button', checkbox: 'checkbox', radio: 'radio', range: 'slider',
      number: 'spinbutton', search: 'searchbox', hidden: '',
    })[e.type] ?? 'textbox',
  };
  const role = (element) => {
    const said = (element.getAttribute('role') || '').split(' ')[0];
    if (said) return said;
    const known = ROLES[element.tagName];
    return typeof known === 'function' ? known(element) : known || '';
  };
  const nameOf = (element) => {
    const by = element.getAttribute('aria-labelledby');
    if (by) return words(by.split(/\s+/).map((id) => element.getRootNode().getElementById?.(id)?.textContent ?? '').join(' '));
    const said = element.getAttribute('aria-label');
    if (said) return words(said);
    if (element.labels && element.labels.length) return words([...element.labels].map((other) => other.innerText).join(' '));
    return words(element.getAttribute('alt') || label(element) || element.getAttribute('placeholder') || element.getAttribute('title') || '');
  };
  const every = function* (selector) {
    if (/^xpath=|^\/\/|^\(\/\//.test(selector)) {
      const found = document.evaluate(selector.replace(/^xpath=/, ''), document, null, XPathResult.ORDERED_NODE_SNAPSHOT_TYPE, null);
      for (let i = 0; i < found.snapshotLength; i++) if (found.snapshotItem(i).nodeType === 1) yield found.snapshotItem(i);
      return;
    }
    if (selector.startsWith('text=')) {
      const asked = selector.slice(5).trim();
      const exact = /^".*"$/.test(asked);
      const text = words(exact ? asked.slice(1, -1) : asked).toLowerCase();
      const fits = (element) => {
        const own = label(element).toLowerCase();
        return exact ? own === text : own.includes(text);
      };
      for (const root of roots(document)) {
        for (const element of root.querySelectorAll('*')) {
          if (hidden.has(element.tagName) || !fits(element)) continue;
          // The innermost one that has it.
          if (![...element.children].some((child) => !hidden.has(child.tagName) && fits(child))) yield element;
        }
      }
      return;
    }
    if (selector.startsWith('role=')) {
      const parts = /^role=([\w-]+)(?:\[name=(?:"([^"]*)"|'([^']*)'|([^\]]*))\])?$/.exec(selector.trim());
      if (!parts) throw new Error(`${selector} is not understood: role=button[name="Save"] is the form`);
      const name = parts[2] ?? parts[3] ?? parts[4];
      for (const root of roots(document)) {
        for (const element of root.querySelectorAll('*')) {
          if (role(element) !== parts[1]) continue;
          if (name === undefined || nameOf(element).toLowerCase().includes(words(name).toLowerCase())) yield element;
        }
      }
      return;
    }
    const css = selector.replace(/^css=/, '');
    const plain = document.querySelectorAll(css);
    if (plain.length) { yield* plain; return; }
    for (const root of roots(document)) if (root !== document) yield* root.querySelectorAll(css);
  };
  // The first that is seen, else the first.
  const find = (selector) => {
    let first = null;
    for (const element of every(selector)) {
      if (visible(element)) return element;
      first ??= element;
    }
    return first;
  };

  // ---- what stands in the way ----
  const visible = (element) => {
    if (!element.isConnected) return false;
    if (element.tagName === 'OPTION') return visible(element.closest('select') ?? element.parentElement);
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && element.checkVisibility({ visibilityProperty: true });
  };
  const describe = (element) => {
    if (!element) return 'nothing';
    const id = element.id ? `#${element.id}` : '';
    const names = typeof element.className === 'string' && element.className.trim() ? `.${element.className.trim().split(/\s+/).slice(0, 2).join('.')}` : '';
    return `<${element.tagName.toLowerCase()}${id}${names}>`;
  };
  const topmost = (x, y) => {
    let found = document.elementFromPoint(x, y);
    while (found?.shadowRoot) {
      const inner = found.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === found) break;
      found = inner;
    }
    return found;
  };
  const within = (element, other) => {
    for (let node = other; node; node = node.parentNode ?? node.host) if (node === element) return true;
    return Boolean(element.labels && [...element.labels].some((by) => by.contains(other))) || other?.closest?.('label')?.control === element;
  };
  const place = (element) => {
    const boxes = [...element.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
    const box = boxes[0] ?? element.getBoundingClientRect();
    const left = Math.max(box.left, 0), right = Math.min(box.right, innerWidth);
    const top = Math.max(box.top, 0), bottom = Math.min(box.bottom, innerHeight);
    return right > left && bottom > top ? { x: (left + right) / 2, y: (top + bottom) / 2, whole: right - left >= Math.min(box.width, innerWidth) - 1 && bottom - top >= Math.min(box.height, innerHeight) - 1 } : null;
  };
  const editable = (element) => element.isContentEditable || (('value' in element) && !element.readOnly && !['BUTTON', 'SELECT'].includes(element.tagName));
  // Why an element cannot be acted upon now: { why } or { x, y }.
  const able = (op, element, scroll) => {
    if (!element) return { why: 'not_found' };
    if (!visible(element)) return { why: 'not_visible' };
    if (element.disabled || element.closest?.('fieldset[disabled]') || element.getAttribute('aria-disabled') === 'true') return { why: 'disabled' };
    if (op.edits && !editable(element)) return { why: 'not_editable' };
    if (op.page) return { element };
    let at = place(element);
    if (!at || !at.whole) {
      if (!scroll) return { why: 'out_of_view' };
      element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
      at = place(element);
      if (!at) return { why: 'out_of_view' };
    }
    const top = topmost(at.x, at.y);
    if (!op.through && top && !within(element, top)) return { why: 'covered', by: describe(top) };
    if (!top && !op.through) return { why: 'covered', by: 'another frame' };
    return { x: at.x, y: at.y, element };
  };

  // ---- waiting, for events ----
  // Looks again whenever something has changed that could matter, until it is so.
  const until = (test, within) => new Promise((resolve) => {
    let timer = 0, frame = 0, over = false, watched = new WeakSet();
    const events = ['load', 'scroll', 'resize', 'transitionend', 'animationend', 'toggle', 'input', 'change', 'focusin', 'readystatechange'];
    const observer = new MutationObserver(() => again());
    const watch = () => {
      for (const root of roots(document)) {
        if (watched.has(root)) continue;
        watched.add(root);
        observer.observe(root, { subtree: true, childList: true, characterData: true, attributes: true });
      }
    };
    const end = (value) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      observer.disconnect();
      for (const name of events) removeEventListener(name, again, true);
      resolve(value);
    };
    const see = () => {
      if (over) return;
      let value;
      try { value = test(); } catch (error) { return end({ error: String(error.message ?? error) }); }
      if (value) return end({ value });
      watch();
      // What moves is looked at again when it has moved.
      if (document.getAnimations().some((animation) => animation.playState === 'running')) {
        cancelAnimationFrame(frame);
        frame = requestAnimationFrame(see);
      }
    };
    const again = () => { see(); };
    for (const name of events) addEventListener(name, again, { capture: true, passive: true });
    timer = setTimeout(() => { see(); end({ late: true }); }, within);
    see();
  });

  // ---- what is done by events of the browser ----
  // While such a batch runs, whatever does not hit what it was meant for is stopped here, with all that follows it.
  let batch = null;
  const deep = (root = document) => {
    const active = root.activeElement;
    return active?.shadowRoot ? deep(active.shadowRoot) : active;
  };
  const halt = (op, why, by) => {
    op.outcome = { why, by };
    batch.halted = true;
    // Nothing that is typed from now on may reach anybody. What is still to come of this batch is stopped, too: it ends when
    // all of it has come.
    deep()?.blur?.();
  };
  const inPage = (op) => {
    let result;
    try { result = pageOps[op.kind](op); } catch (error) { result = { why: 'failed', by: String(error.message ?? error) }; }
    op.outcome = result;
    if (op.outcome.why) batch.halted = true;
  };
  // Everything before `index` that is done within the page itself is due.
  const due = (index) => {
    for (const op of batch.ops) {
      if (op.index >= index || batch.halted) break;
      if (op.page && !op.outcome) inPage(op);
    }
  };
  // The next step that such an event can be of: they come in the order in which they were sent.
  const advance = (fits) => {
    const op = batch.ops.find((other) => other.index > (batch.at?.index ?? -1) && !other.page && !other.outcome && fits(other));
    if (op) { due(op.index); batch.at = op; }
    return op;
  };
  // All that was sent has come: the buttons and keys that went down are up again, and texts are in their fields. A text that
  // has no field any more goes nowhere.
  const settle = (now) => {
    const texts = now.halted || now.ops.every((op) => !op.inserts || op.outcome || op.inserted);
    if (now.ups >= now.expectedUps && now.keyUps >= now.expectedKeyUps && texts) now.done();
  };
  const heard = (event) => {
    const now = batch;
    if (!now || !event.isTrusted) return;
    const stop = () => { event.preventDefault(); event.stopImmediatePropagation(); };
    if (event.type === 'mouseup') now.ups++;
    if (event.type === 'keyup') now.keyUps++;
    // After whatever follows it in the same breath, such as the click.
    if (['mouseup', 'keyup', 'input'].includes(event.type)) later(() => settle(now));
    if (now.halted) return stop();
    if (event.type === 'pointerdown' || (event.type === 'mousedown' && !now.pointer)) {
      now.pointer = event.type === 'pointerdown';
      const op = now.at && now.at.pressed < now.at.presses ? now.at : advance((other) => other.presses > 0);
      if (now.halted) return stop();
      if (!op) return;
      op.pressed++;
      if (!op.element.isConnected) { halt(op, 'detached'); return stop(); }
      if (!event.composedPath().includes(op.element) && !within(op.element, event.composedPath()[0])) {
        halt(op, 'covered', describe(event.composedPath()[0]));
        return stop();
      }
      return;
    }
    // The one that belongs to the pointer's.
    if (event.type === 'mousedown') { now.pointer = false; return; }
    if (event.type === 'keydown') {
      if (!now.at || now.at.downs >= now.at.keys) advance((other) => other.keys > 0 && !other.presses);
      if (now.halted) return stop();
      if (now.at) now.at.downs++;
    }
    const op = now.at;
    if (!op) return;
    if (event.type === 'click' && op.kind === 'fill') { selectAll(op.element); return; }
    if (event.type === 'keydown' || event.type === 'beforeinput') {
      const active = deep();
      if (op.element && !op.typed && active !== op.element && !op.element.contains(active)) {
        halt(op, 'not_focused', describe(active));
        return stop();
      }
      op.typed = true;
      return;
    }
    if (event.type === 'input' && op.inserts) op.inserted = true;
  };
  const channel = new MessageChannel();
  const laters = [];
  channel.port1.onmessage = () => laters.shift()?.();
  // After the page's own listeners, and before anything that waits for time.
  const later = (work) => { laters.push(work); channel.port2.postMessage(0); };
  for (const name of ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click', 'dblclick', 'auxclick', 'keydown', 'keypress', 'keyup', 'beforeinput', 'input']) {
    addEventListener(name, heard, true);
  }
  // Whether something is being dragged since this was asked for last: the browser tells so, too, but later.
  let drag = null;
  addEventListener('dragstart', (event) => { drag = event; }, true);
  const dragged = () => {
    const begun = drag;
    drag = null;
    return Boolean(begun?.isTrusted && !begun.defaultPrevented);
  };
  const selectAll = (element) => {
    if (typeof element.select === 'function') { element.select(); return; }
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const changed = (element) => {
    element.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    element.dispatchEvent(new Event('change', { bubbles: true }));
  };
  const setValue = (element, value) => {
    const own = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(element), 'value');
    if (own?.set) own.set.call(element, value); else element.value = value;
  };
  const pageOps = {
    select: (op) => {
      const element = op.element;
      if (element.tagName !== 'SELECT') return { why: 'not_a_select' };
      const wanted = op.values.map((value) => [...element.options].find((option) => option.value === value || words(option.label) === words(value)));
      if (wanted.some((option) => !option)) return { why: 'no_such_option' };
      if (!element.multiple && wanted.length !== 1) return { why: 'takes_one_option' };
      for (const option of element.options) option.selected = wanted.includes(option);
      element.focus({ preventScroll: true });
      changed(element);
      return { ok: true };
    },
    scroll: (op) => {
      const options = { behavior: 'instant' };
      if (op.element) {
        if (!place(op.element)?.whole) op.element.scrollIntoView({ block: 'center', inline: 'nearest', ...options });
      }
      else if (op.to) scrollTo({ top: op.to === 'bottom' ? document.documentElement.scrollHeight : op.to === 'top' ? 0 : op.to, ...options });
      else scrollBy({ top: op.dy ?? 0, ...options });
      return { ok: true };
    },
    // Declared as synthetic by whoever asked for it.
    fast_click: (op) => { op.element.focus?.({ preventScroll: true }); op.element.click(); return { ok: true }; },
    fast_fill: (op) => {
      op.element.focus?.({ preventScroll: true });
      if (op.element.isContentEditable) op.element.textContent = op.text; else setValue(op.element, op.text);
      changed(op.element);
      return { ok: true };
    },
    wait: (op) => (test(op) ? { ok: true } : { why: 'pending' }),
  };
  const test = (op) => {
    const element = op.selector ? find(op.selector) : null;
    switch (op.state) {
      case 'attached': return Boolean(element);
      case 'detached': return !element;
      case 'hidden': return !element || !visible(element);
      case 'text': return Boolean(element) && label(element).includes(op.text);
      default: return Boolean(element) && visible(element);
    }
  };
  const PICKED = new Set(['color', 'date', 'datetime-local', 'month', 'range', 'time', 'week']);
  const leads = (op) => {
    if (op.enters) return true;
    const link = op.element?.closest?.('a[href]');
    if (link) return !link.getAttribute('href').startsWith('#');
    const button = op.element?.closest?.('button, input');
    return Boolean(button?.form) && ['submit', 'image'].includes(button.type);
  };
  const look = (op, scroll) => {
    if (op.kind === 'wait' || (op.kind === 'scroll' && !op.selector)) return {};
    if (op.focused) return {};
    const element = find(op.selector);
    // What has a picker of its own is not typed into.
    if (op.kind === 'fill' && PICKED.has(element?.type)) Object.assign(op, { kind: 'fast_fill', page: true, presses: 0, keys: 0, inserts: false });
    const found = able(op, element, scroll);
    if (found.why) return found;
    op.element = element;
    if (op.kind === 'check' && element.checked === op.state) return { ...found, done: true };
    return found;
  };
  // Ends the batch before, if there is one, and begins the next: waits until its first step can be done, takes as many of
  // those that follow as can be done at once, and says where. What the batch before has come to is told, too.
  const step = async (ops, within) => {
    const before = batch ? await finish() : null;
    if (before?.some((outcome) => !outcome.ok) || !ops.length) return { before };
    let first = null;
    const found = await until(() => {
      const at = ops[0].kind === 'wait' ? (test(ops[0]) ? {} : { why: 'pending' }) : look(ops[0], true);
      first = at;
      return !at.why;
    }, within);
    if (found.error) return { before, first: { why: 'bad_selector', by: found.error } };
    if (found.late) return { before, first };
    const taken = [], places = [];
    const elements = new Set();
    for (const op of ops) {
      let at;
      try { at = taken.length ? look(op, false) : look(op, true); } catch (error) { at = { why: 'bad_selector', by: String(error.message) }; }
      // The same element twice is one step after the other.
      if (at.why || (op.element && elements.has(op.element) && !op.page)) break;
      if (op.element) elements.add(op.element);
      op.index = taken.length;
      if (at.done) op.outcome = { ok: true, already: true };
      taken.push(op);
      places.push(at.x === undefined || at.done ? null : [at.x, at.y]);
      // What moves everything else ends the batch, and so does what is waited for.
      if ((op.kind === 'scroll' && !(op.element && place(op.element)?.whole)) || op.kind === 'hover' || ((op.presses || op.keys) && leads(op))) break;
    }
    let resolve;
    const ended = new Promise((end) => { resolve = end; });
    const sent = taken.filter((op) => !op.page && !op.outcome);
    const sum = (name) => sent.reduce((all, op) => all + op[name], 0);
    for (const op of sent) Object.assign(op, { pressed: 0, downs: 0 });
    batch = { ops: taken, halted: false, at: null, pointer: false, ups: 0, keyUps: 0, expectedUps: sum('presses'), expectedKeyUps: sum('keys'), done: resolve, ended };
    // Only what is heard of ends by being heard.
    if (!sent.length) batch.done();
    return { before, places, leads: Boolean(taken.at(-1)?.presses || taken.at(-1)?.keys) && leads(taken.at(-1)) };
  };
  const finish = async () => {
    const now = batch;
    if (!now) return null;
    await now.ended;
    due(Infinity);
    if (batch === now) batch = null;
    const outcomes = [];
    for (const op of now.ops) {
      const all = !op.page && op.pressed >= op.presses && op.downs >= op.keys;
      let outcome = op.outcome ?? (now.halted || !all ? { why: 'not_heard' } : { ok: true });
      if (outcome.ok && op.kind === 'check' && op.element.checked !== op.state) outcome = { why: 'not_changed' };
      outcomes.push(outcome);
      if (!outcome.ok) break;
    }
    return outcomes;
  };
  // The browser says that all of it is done. Events may still be on their way to the page: only if they do not come within a
  // second have they gone elsewhere, such as into a frame. A text, and a pointer that only moves, are not on their way any more.
  const over = () => {
    const now = batch;
    if (!now) return;
    for (const op of now.ops) if (op.inserts) op.inserted = true;
    settle(now);
    setTimeout(() => now.done(), 1000);
  };
  const scrollUntilNoMore = async (limit, within) => {
    const began = performance.now();
    let times = 0;
    const height = () => document.scrollingElement.scrollHeight;
    const letters = () => document.body.textContent.length;
    const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    while (times < limit) {
      const before = height(), had = letters();
      const grown = () => height() > before || letters() > had;
      const left = () => within - (performance.now() - began);
      times++;
      scrollTo({ top: before, behavior: 'instant' });
      let found = await until(grown, Math.min(left(), 800));
      if (found.late) {
        // What waits to be scrolled into the window may be in it all the time: out of it, and in again.
        scrollTo({ top: Math.max(before - 2 * innerHeight, 0), behavior: 'instant' });
        await drawn();
        scrollTo({ top: before, behavior: 'instant' });
        found = await until(grown, Math.min(left(), 800));
      }
      if (found.late) return { times, more: left() <= 0 };
      // What has come is to be seen by the page before it is scrolled on.
      await drawn();
    }
    return { times, more: true };
  };
  const wait = async (op, within) => {
    const found = await until(() => test(op), within);
    return found.error ? { why: 'bad_selector', by: found.error } : found.late ? { why: 'timed_out' } : { ok: true };
  };
  // Where something is, for pictures of it and for drags.
  const box = async (selector, within) => {
    let at = null;
    const found = await until(() => { at = able({}, find(selector), true); return !at.why || at.why === 'covered'; }, within);
    if (found.error) return { why: 'bad_selector', by: found.error };
    if (found.late) return at;
    const area = find(selector).getBoundingClientRect();
    return { x: area.x, y: area.y, width: area.width, height: area.height, left: scrollX, top: scrollY };
  };
  const first = (selector) => find(selector);
  globalThis.hands = Object.freeze({ step, over, wait, box, first, dragged, scrollUntilNoMore });
})()
