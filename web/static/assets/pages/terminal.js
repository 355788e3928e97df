import { html, useEffect, useRef, useState } from '../lib.js';
import { Head } from '../ui.js';
import { mayChange } from '../session.js';
import { Terminal as Xterm } from '../vendor/xterm.js';
import { FitAddon } from '../vendor/xterm-fit.js';

const IN = 0, OUT = 1, CONTROL = 3, END = 4, CHUNK = 32 << 10; // as app.Channel and app.MaxFrame
const colours = { background: '#101214', foreground: '#e7e8ea', cursor: '#a3adff', selectionBackground: '#3a4166' };

// lawful makes document.createElement do what the page's policy forbids another
// way, until the returned function is called: xterm makes style elements, whose
// text goes into a sheet of the document, and style attributes, which are set
// through the DOM.
function lawful() {
  const sheets = [];
  const make = (name, o) => {
    const el = Document.prototype.createElement.call(document, name === 'style' ? 'span' : name, o);
    if (name === 'span') el.setAttribute = setAttribute;
    if (name === 'style') asSheet(el, sheets);
    return el;
  };
  document.createElement = make;
  return () => {
    if (document.createElement === make) delete document.createElement;
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => !sheets.includes(s));
  };
}

function asSheet(el, sheets) {
  const sheet = new CSSStyleSheet();
  el.hidden = true;
  sheets.push(sheet);
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(el, 'textContent', { set: (text) => { sheet.replaceSync(text); } });
}

function setAttribute(name, value) {
  if (name === 'style') this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

function frame(channel, data) {
  const out = new Uint8Array(data.length + 1);
  out[0] = channel;
  out.set(data, 1);
  return out;
}

// session connects a terminal to a container and returns how to end that.
function session(path, el, ended) {
  const undo = lawful(), term = new Xterm({ theme: colours, fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'), fontSize: 13, cursorBlink: true, screenReaderMode: true, scrollback: 5000 });
  const fit = new FitAddon(), text = new TextEncoder(), read = new TextDecoder();
  term.loadAddon(fit);
  term.open(el);
  fit.fit();
  const ws = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/v1${path}`);
  ws.binaryType = 'arraybuffer';
  const control = (v) => { if (ws.readyState === WebSocket.OPEN) ws.send(frame(CONTROL, text.encode(JSON.stringify(v)))); };
  let over = false;
  const end = (word) => { if (!over) { over = true; ended(word); } };
  ws.onopen = () => { control({ kind: 'shell', tty: true, term: 'xterm-256color', size: { cols: term.cols, rows: term.rows } }); term.focus(); };
  ws.onmessage = (e) => {
    const b = new Uint8Array(e.data);
    if (b[0] === OUT && b.length > 1) term.write(b.slice(1));
    if (b[0] === END) { const { code, reason } = JSON.parse(read.decode(b.slice(1))); end(reason || `The shell ended with ${code}.`); }
  };
  ws.onclose = () => end('The connection was closed: is the instance still running, and may you do this?');
  term.onData((s) => { const b = text.encode(s); for (let i = 0; i < b.length && ws.readyState === WebSocket.OPEN; i += CHUNK) ws.send(frame(IN, b.slice(i, i + CHUNK))); });
  term.onResize(({ cols, rows }) => control({ resize: { cols, rows } }));
  const size = new ResizeObserver(() => fit.fit());
  size.observe(el);
  return () => {
    over = true;
    size.disconnect();
    ws.close();
    term.dispose();
    undo();
  };
}

export function Terminal({ name, index }) {
  const ref = useRef(), [over, setOver] = useState(''), [again, setAgain] = useState(0);
  useEffect(() => { if (mayChange()) { setOver(''); return session(`/apps/${encodeURIComponent(name)}/exec?index=${index}`, ref.current, setOver); } }, [name, index, again]);
  return html`<${Head} title=${`Terminal in ${name}/${index}`} crumb=${html`<a href=${'/apps/' + name}>${name}</a>`} sub=${html`The same on the command line: <code>ltc ssh ${name} -i ${index}</code>`} />
    ${!mayChange() ? html`<div class="note">You may look, but not open a terminal: ask an admin.</div>` : html`<link rel="stylesheet" href="/assets/vendor/xterm.css" />
    ${over && html`<div key="note" class="note row" role="status" style="margin-bottom: 12px"><span style="flex: 1">${over}</span><button onClick=${() => setAgain(again + 1)}>Open again</button></div>`}<div key="term" class="term" ref=${ref}></div>`}`;
}
