// Writes a document down as it is seen: what lies in open shadow roots stands where it is shown, and frames that have been marked
// leave a mark in their place. What is longer than `limit` letters is refused here, before it is sent; halves of letters are mended.
((limit) => {
  const whole = (text) => {
    if (text.length > limit) throw new Error('too long');
    return text.toWellFormed();
  };
  const special = [...document.querySelectorAll('*')].some((element) => element.shadowRoot) || document.querySelector('iframe, frame');
  const doctype = document.doctype ? '<!DOCTYPE html>' : '';
  // A document may be empty: nothing has come of it, or a script has taken everything away.
  if (!document.documentElement) return doctype;
  if (!special) return whole(doctype + document.documentElement.outerHTML);
  const copy = (node) => {
    if (node.nodeType !== 1) return node.cloneNode(false);
    if (node.tagName === 'SLOT' && node.getRootNode() !== document) {
      const fragment = document.createDocumentFragment();
      const shown = node.assignedNodes();
      for (const child of shown.length ? shown : node.childNodes) fragment.append(copy(child));
      return fragment;
    }
    if ((node.tagName === 'IFRAME' || node.tagName === 'FRAME') && node.hasAttribute('data-eventmesh-frame')) {
      const mark = document.createElement('div');
      mark.setAttribute('data-eventmesh-frame', node.getAttribute('data-eventmesh-frame'));
      return mark;
    }
    const made = node.cloneNode(false);
    for (const child of (node.shadowRoot ?? node).childNodes) made.append(copy(child));
    if (node.tagName === 'TEMPLATE') made.innerHTML = node.innerHTML;
    return made;
  };
  return whole(doctype + copy(document.documentElement).outerHTML);
})
