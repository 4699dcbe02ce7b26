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
  // In a frame: the part of it that the page around it lets be seen, and how often it was scrolled for the step at hand.
  let view = null, round = 0, moved = false;
  // What was found to lie above while the step at hand was looked at.
  const above = new Set();
  const begin = (seen, turn) => { view = seen ?? null; round = turn ?? 0; moved = false; above.clear(); };
  const outer = (node) => node.assignedSlot ?? node.parentElement ?? node.getRootNode().host ?? null;
  // The room that is left by all that scrolls or cuts around an element.
  const room = (element) => {
    let left = -Infinity, top = -Infinity, right = Infinity, bottom = Infinity;
    const rolls = getComputedStyle(document.documentElement).overflow === 'visible' ? document.body : null;
    let position = getComputedStyle(element).position;
    for (let node = outer(element); node && position !== 'fixed'; node = outer(node)) {
      const style = getComputedStyle(node);
      // What is positioned is cut by what it is positioned in.
      if (position === 'absolute' && style.position === 'static' && style.transform === 'none') continue;
      position = style.position;
      // What these two say is said of the window.
      if (node === document.documentElement || node === rolls) continue;
      if (style.overflow === 'visible' || style.display === 'inline' || style.display === 'contents') continue;
      // It has no sizes of this kind.
      if (node instanceof SVGElement) continue;
      const box = node.getBoundingClientRect();
      // As it is shown, which may be larger or smaller than it is laid out.
      const wide = box.width / (node.offsetWidth || box.width) || 1, high = box.height / (node.offsetHeight || box.height) || 1;
      const x = box.left + node.clientLeft * wide, y = box.top + node.clientTop * high;
      left = Math.max(left, x); right = Math.min(right, x + node.clientWidth * wide);
      top = Math.max(top, y); bottom = Math.min(bottom, y + node.clientHeight * high);
    }
    return [left, top, right, bottom];
  };
  // The middle of what the window shows of an element, or with `cut` what all around it shows; and whether that is as much as
  // can be.
  const place = (element, cut) => {
    const boxes = [...element.getClientRects()].filter((box) => box.width > 0 && box.height > 0);
    const box = boxes[0] ?? element.getBoundingClientRect();
    const edges = view ?? [0, 0, innerWidth, innerHeight];
    const inner = cut ? room(element) : [-Infinity, -Infinity, Infinity, Infinity];
    const left = Math.max(box.left, edges[0], inner[0]), right = Math.min(box.right, edges[2], inner[2]);
    const top = Math.max(box.top, edges[1], inner[1]), bottom = Math.min(box.bottom, edges[3], inner[3]);
    if (right <= left || bottom <= top) return null;
    const wide = Math.min(box.width, edges[2] - edges[0], inner[2] - inner[0]), high = Math.min(box.height, edges[3] - edges[1], inner[3] - inner[1]);
    return { x: (left + right) / 2, y: (top + bottom) / 2, whole: right - left >= wide - 1 && bottom - top >= high - 1 };
  };
  const editable = (element) => element.isContentEditable || (('value' in element) && !element.readOnly && !['BUTTON', 'SELECT'].includes(element.tagName));
  // Where in what scrolls an element is brought, one after the other, while something lies above it.
  const ALIGNED = ['center', 'end', 'start', 'center'];
  // Why an element cannot be acted upon now: { why } or { x, y }.
  const able = (op, element, scroll) => {
    if (!element) return { why: 'not_found' };
    if (!visible(element)) return { why: 'not_visible' };
    if (!op.picture && (element.disabled || element.closest?.('fieldset[disabled]') || element.getAttribute('aria-disabled') === 'true')) return { why: 'disabled' };
    if (op.edits && !editable(element)) return { why: 'not_editable' };
    if (op.page) return { element };
    let at = place(element), top = null;
    const free = () => {
      if (!at || op.through) return Boolean(at);
      top = topmost(at.x, at.y);
      return Boolean(top) && within(element, top);
    };
    const found = () => ({ x: at.x, y: at.y, element });
    const why = () => (at ? { why: 'covered', by: top ? describe(top) : 'another frame' } : { why: 'out_of_view' });
    if (at?.whole && free()) return found();
    // Something else is there: it may be cut off by what it scrolls in.
    at = place(element, true);
    const seen = Boolean(at?.whole);
    if (seen && free()) return found();
    if (!scroll) return seen ? why() : { why: 'out_of_view' };
    const into = (block) => {
      element.scrollIntoView({ block, inline: 'center', behavior: 'instant' });
      at = place(element, true);
    };
    if (view) {
      // Where the frame is after that, only the page around it knows.
      if (round >= ALIGNED.length) return free() ? found() : why();
      into(ALIGNED[round]);
      moved = true;
      return { why: 'out_of_view' };
    }
    if (!seen) {
      into('center');
      if (free()) return found();
    }
    // What stays where it is while the rest is scrolled, such as a header, is evaded; but once only, since it may be a veil.
    const by = describe(top);
    if (at && top && !above.has(by) && above.size < 8) {
      above.add(by);
      for (const block of ALIGNED) {
        into(block);
        if (free()) return found();
      }
    }
    return why();
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
    op.ended = performance.now();
    batch.halted = true;
    // Nothing that is typed from now on may reach anybody. What is still to come of this batch is stopped, too: it ends when
    // all of it has come.
    deep()?.blur?.();
  };
  const inPage = (op) => {
    let result;
    try { result = pageOps[op.kind](op); } catch (error) { result = { why: 'failed', by: String(error.message ?? error) }; }
    op.outcome = result;
    op.ended = performance.now();
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
    if (op) {
      // Until then the page was at what the one before has brought about.
      if (batch.at) batch.at.ended = performance.now();
      due(op.index);
      batch.at = op;
    }
    return op;
  };
  // All that was sent has come: the buttons and keys that went down are up again, and texts are in their fields. A text that
  // has no field any more goes nowhere.
  const settle = (now) => {
    const texts = now.halted || now.ops.every((op) => !op.inserts || op.outcome || op.inserted || op.past);
    if (now.ups >= now.expectedUps && now.keyUps >= now.expectedKeyUps && texts) now.done();
  };
  const focused = (op) => {
    const active = deep();
    return active === op.element || op.element.contains(active);
  };
  // What the next press outside of a batch is to hit.
  let aimed = null;
  const hits = (event, element) => event.composedPath().includes(element) || within(element, event.composedPath()[0]);
  const heard = (event) => {
    const now = batch;
    if (!event.isTrusted) return;
    const stop = () => { event.preventDefault(); event.stopImmediatePropagation(); };
    if (!now) {
      if (!aimed) return;
      if (event.type === 'pointerdown') {
        aimed.heard = true;
        if (!hits(event, aimed.element)) aimed.by = describe(event.composedPath()[0]);
      }
      // With the click that may follow it.
      if (event.type === 'mouseup') { const over = aimed; later(() => { if (aimed === over) aimed = null; }); }
      if (aimed.by) stop();
      return;
    }
    if (event.type === 'mouseup') {
      now.ups++;
      // A field that has let go of the focus leaves the caret where it was before, and a text would go there.
      if (now.at?.inserts && !focused(now.at)) getSelection()?.removeAllRanges();
    }
    if (event.type === 'keyup') now.keyUps++;
    // Once all has come, and after whatever follows it in the same breath, such as the click.
    if (['mouseup', 'keyup', 'input'].includes(event.type)) {
      const ended = () => { if (now.at) now.at.ended = performance.now(); };
      ended();
      if (now.ups >= now.expectedUps && now.keyUps >= now.expectedKeyUps) later(() => { ended(); settle(now); });
    }
    if (now.halted) return stop();
    if (event.type === 'pointerdown' || (event.type === 'mousedown' && !now.pointer)) {
      now.pointer = event.type === 'pointerdown';
      const op = now.at && now.at.pressed < now.at.presses ? now.at : advance((other) => other.presses > 0);
      if (now.halted) return stop();
      if (!op) return;
      op.pressed++;
      op.ended = 0;
      if (!op.element.isConnected) { halt(op, 'detached'); return stop(); }
      if (!hits(event, op.element)) {
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
      if (now.at) { now.at.downs++; now.at.ended = 0; }
    }
    const op = now.at;
    if (!op) return;
    if (event.type === 'click' && op.kind === 'fill') { selectAll(op.element); return; }
    if (event.type === 'keydown' || event.type === 'beforeinput') {
      if (op.element && !op.typed && !focused(op)) {
        halt(op, 'not_focused', describe(deep()));
        return stop();
      }
      op.typed = true;
      return;
    }
    if (event.type === 'input' && op.inserts) {
      if (!hits(event, op.element)) { halt(op, 'not_focused', describe(event.composedPath()[0])); return; }
      op.inserted = true;
    }
  };
  // After the page's own listeners, and before anything that waits for time.
  const later = (work) => { scheduler.postTask(work, { priority: 'user-blocking' }); };
  for (const name of ['pointerdown', 'mousedown', 'pointerup', 'mouseup', 'click', 'dblclick', 'auxclick', 'contextmenu', 'keydown', 'keypress', 'keyup', 'beforeinput', 'input']) {
    addEventListener(name, heard, true);
  }
  // Whether something is being dragged since this was asked for last: the browser tells so, too, but later.
  let drag = null;
  addEventListener('dragstart', (event) => { drag = event; }, true);
  const dragged = () => {
    const begun = drag;
    drag = null;
    if (aimed && !aimed.heard) return { why: 'not_heard' };
    if (aimed?.by) return { why: 'covered', by: aimed.by };
    return { begun: Boolean(begun?.isTrusted && !begun.defaultPrevented) };
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
        if (!place(op.element, true)?.whole) op.element.scrollIntoView({ block: 'center', inline: 'nearest', ...options });
      }
      else if (op.to) scrollTo({ top: op.to === 'bottom' ? document.documentElement?.scrollHeight ?? 0 : op.to === 'top' ? 0 : op.to, ...options });
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
  // What was scrolled around a frame in another process comes to be a little later; what cannot be seen is not drawn.
  const calm = () => Promise.race([drawn(), new Promise((done) => setTimeout(done, 100))]);
  // Ends the batch before, if there is one, and begins the next: waits until its first step can be done, takes as many of
  // those that follow as can be done at once, and says where. What the batch before has come to is told, too.
  const step = async (ops, within, seen, turn) => {
    const before = batch ? await finish() : null;
    if (before?.some((outcome) => !outcome.ok) || !ops.length) return { before };
    begin(seen, turn);
    const asked = performance.now();
    let first = null;
    const found = await until(() => {
      const at = ops[0].kind === 'wait' ? (test(ops[0]) ? {} : { why: 'pending' }) : look(ops[0], true);
      first = at;
      return !at.why || moved;
    }, within);
    const waited = performance.now() - asked;
    if (found.error) return { before, first: { why: 'bad_selector', by: found.error, ms: waited } };
    if (moved) { await calm(); return { before, moved }; }
    if (found.late) return { before, first: { why: first.why, by: first.by, ms: waited } };
    const taken = [], places = [];
    const elements = new Set();
    for (const op of ops) {
      let at;
      try { at = look(op, !taken.length && (!view || round >= ALIGNED.length)); } catch (error) { at = { why: 'bad_selector', by: String(error.message) }; }
      // It was there a moment ago.
      if (at.why && !taken.length) return { before, first: { why: at.why, by: at.by, ms: performance.now() - asked } };
      // The same element twice is one step after the other.
      if (at.why || (op.element && elements.has(op.element) && !op.page)) break;
      if (op.element) elements.add(op.element);
      op.index = taken.length;
      if (at.done) op.outcome = { ok: true, already: true };
      taken.push(op);
      places.push(at.x === undefined || at.done ? null : [at.x, at.y]);
      // What moves everything else ends the batch, and so does what is waited for.
      if ((op.kind === 'scroll' && !(op.element && place(op.element, true)?.whole)) || op.kind === 'hover' || ((op.presses || op.keys) && leads(op))) break;
    }
    const sent = taken.filter((op) => !op.page && !op.outcome);
    const sum = (name) => sent.reduce((all, op) => all + op[name], 0);
    for (const op of sent) Object.assign(op, { pressed: 0, downs: 0 });
    const made = { ops: taken, halted: false, at: null, pointer: false, ups: 0, keyUps: 0, expectedUps: sum('presses'), expectedKeyUps: sum('keys'), asked };
    // It may be told more than once that it is done, also when it is over.
    made.ended = new Promise((end) => { made.done = () => { made.past ||= performance.now(); end(); }; });
    batch = made;
    // Only what is heard of ends by being heard.
    if (!sent.length) made.done();
    return { before, places, leads: Boolean(taken.at(-1)?.presses || taken.at(-1)?.keys) && leads(taken.at(-1)) };
  };
  const finish = async () => {
    const now = batch;
    if (!now) return null;
    await now.ended;
    due(Infinity);
    if (batch === now) batch = null;
    const outcomes = [];
    let since = now.asked;
    for (const op of now.ops) {
      // A text that no field has heard of is in none.
      const all = !op.page && op.pressed >= op.presses && op.downs >= op.keys;
      let outcome = op.outcome ?? (now.halted || !all ? { why: 'not_heard' } : { ok: true });
      if (outcome.ok && op.kind === 'check' && op.element.checked !== op.state) outcome = { why: 'not_changed' };
      if (outcome.ok && op.inserts && !op.typed && !op.inserted) outcome = { why: 'not_changed' };
      // From the end of the one before, or from when it was waited for.
      const until = Math.max(since, op.ended || now.past);
      outcomes.push({ ...outcome, ms: until - since });
      since = until;
      if (!outcome.ok) break;
    }
    return outcomes;
  };
  // The browser says that all of it is done. Events may still be on their way to the page: only if they do not come within a
  // second have they gone elsewhere, such as into a frame. A text, and a pointer that only moves, are not on their way any more.
  const over = () => {
    const now = batch;
    if (!now) return;
    for (const op of now.ops) op.past = true;
    settle(now);
    setTimeout(() => now.done(), 1000);
  };
  // What scrolls: the document, or where it does not, the largest part of it that does.
  const scroller = () => {
    const root = document.scrollingElement ?? document.documentElement;
    if (!root) return null;
    const style = (node) => (node ? getComputedStyle(node).overflowY : 'visible');
    const own = style(document.documentElement);
    const still = ['hidden', 'clip'].includes(own === 'visible' ? style(document.body) : own);
    if (!still && root.scrollHeight > root.clientHeight + 1) return root;
    // It speaks for the window then, and else for itself.
    const passed = own === 'visible' ? document.body : null;
    let largest = null, most = 0;
    for (const inner of roots(document)) {
      for (const element of inner.querySelectorAll('*')) {
        if (element === root || element === passed || element.scrollHeight <= element.clientHeight + 1) continue;
        if (!['auto', 'scroll', 'overlay'].includes(style(element)) || !visible(element)) continue;
        const box = element.getBoundingClientRect();
        const wide = Math.min(box.right, innerWidth) - Math.max(box.left, 0), high = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0);
        if (wide > 0 && high > 0 && wide * high > most) { most = wide * high; largest = element; }
      }
    }
    return largest ?? root;
  };
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const scrollUntilNoMore = async (limit, within) => {
    const began = performance.now();
    let times = 0;
    const letters = () => document.body?.textContent.length ?? 0;
    while (times < limit) {
      const rolls = scroller();
      // A document with nothing in it.
      if (!rolls) return { times, more: false };
      const before = rolls.scrollHeight, had = letters();
      const grown = () => rolls.scrollHeight > before || letters() > had;
      const left = () => within - (performance.now() - began);
      times++;
      rolls.scrollTo({ top: before, behavior: 'instant' });
      let found = await until(grown, Math.min(left(), 800));
      if (found.late) {
        // What waits to be scrolled into the window may be in it all the time: out of it, and in again.
        rolls.scrollTo({ top: Math.max(before - 2 * rolls.clientHeight, 0), behavior: 'instant' });
        await drawn();
        rolls.scrollTo({ top: before, behavior: 'instant' });
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
  // Where something is, for pictures of it: also where something lies above it.
  const box = async (selector, within, seen, turn) => {
    begin(seen, turn);
    let at = null;
    const found = await until(() => { at = able({ through: true, picture: true }, find(selector), true); return !at.why || moved; }, within);
    if (found.error) return { why: 'bad_selector', by: found.error };
    if (moved) { await calm(); return { moved }; }
    if (found.late) return { why: at.why, by: at.by };
    const area = at.element.getBoundingClientRect();
    return { x: area.x, y: area.y, width: area.width, height: area.height, left: scrollX, top: scrollY };
  };
  // Where something is to be pressed and, if that can be seen then, something else; the press is watched.
  const aim = async (selector, onto, within, seen, turn) => {
    begin(seen, turn);
    aimed = null;
    let from = null, to = null;
    const found = await until(() => {
      to = able({}, find(onto), false);
      // It may be brought into the window later.
      if (to.why && !['covered', 'out_of_view'].includes(to.why)) { from = to; return false; }
      from = able({}, find(selector), true);
      return !from.why || moved;
    }, within);
    if (found.error) return { why: 'bad_selector', by: found.error };
    if (moved) { await calm(); return { moved }; }
    if (found.late) return { why: from.why, by: from.by };
    const element = from.element;
    to = able({}, find(onto), false);
    if (to.why && !view) {
      find(onto)?.scrollIntoView({ block: 'nearest', inline: 'nearest', behavior: 'instant' });
      to = able({}, find(onto), false);
      from = able({}, element, true);
      if (from.why) return { why: from.why, by: from.by };
      to = able({}, find(onto), false);
    }
    drag = null;
    aimed = { element, heard: false, by: null };
    return { from: [from.x, from.y], to: to.why ? null : [to.x, to.y] };
  };
  // Where something is, for what is on its way there.
  const reach = async (selector, within, seen, turn) => {
    begin(seen, turn);
    let at = null;
    const found = await until(() => { at = able({}, find(selector), true); return !at.why || moved; }, within);
    if (found.error) return { why: 'bad_selector', by: found.error };
    if (moved) { await calm(); return { moved }; }
    return found.late ? { why: at.why, by: at.by } : { to: [at.x, at.y] };
  };
  // Where the inside of a frame is, and which part of it can be seen, in its own terms.
  const frame = (selector, seen) => {
    begin(seen);
    const element = find(selector);
    const look = () => {
      const box = element.getBoundingClientRect(), style = getComputedStyle(element);
      const x = box.left + element.clientLeft + parseFloat(style.paddingLeft), y = box.top + element.clientTop + parseFloat(style.paddingTop);
      const width = element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      const height = element.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
      const edges = view ?? [0, 0, innerWidth, innerHeight], inner = room(element);
      const part = [Math.max(edges[0], inner[0], x) - x, Math.max(edges[1], inner[1], y) - y, Math.min(edges[2], inner[2], x + width) - x, Math.min(edges[3], inner[3], y + height) - y];
      return { x, y, width, height, view: part };
    };
    const found = look();
    if (found.view[2] - found.view[0] >= 1 && found.view[3] - found.view[1] >= 1) return found;
    element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
    return { ...look(), moved: true };
  };
  const first = (selector) => find(selector);
  // What is compiled in a page of nothing has not to be compiled in the page that comes after it.
  if (top === self && location.href === 'about:blank' && document.body && !document.body.firstChild) {
    const kinds = [{ kind: 'click', presses: 1 }, { kind: 'type', presses: 1, keys: 1, edits: true }, { kind: 'scroll', page: true }, { kind: 'wait', page: true }];
    for (const op of kinds.map((kind) => ({ ...kind, selector: 'body' }))) {
      look(op, false);
      leads(op);
      test(op);
      place(document.body, true);
    }
    until(() => true, 0);
  }
  globalThis.hands = Object.freeze({ step, over, wait, box, aim, reach, frame, first, dragged, scrollUntilNoMore });
})()
