// A log that grows: the newest lines of which only those are drawn that can be seen.
import { html, useEffect, useRef, useState } from './lib.js';
import { follow } from './api.js';
import { clock } from './format.js';

const KEPT = 20000, HEIGHT = 20;

export function Log({ path, name }) {
  const all = useRef([]), box = useRef(), [, show] = useState(0), [state, setState] = useState('connecting'), [text, setText] = useState(''), [source, setSource] = useState(''), [index, setIndex] = useState(''), [paused, setPaused] = useState(false), hold = useRef({ paused: false, frozen: null, bottom: true });
  hold.current.paused = paused;
  useEffect(() => {
    const ctl = new AbortController();
    let frame = 0, seen = new Map();
    const take = (lines) => {
      for (const l of lines) {
        if (l.seq && seen.get(l.guid) >= l.seq) continue; // again after a break
        seen.set(l.guid, l.seq);
        all.current.push(l);
      }
      if (all.current.length > KEPT) all.current.splice(0, all.current.length - KEPT);
      if (!frame) frame = requestAnimationFrame(() => { frame = 0; show((n) => n + 1); });
    };
    let first = true;
    follow(() => { const n = first ? 1000 : 200; first = false; return `${path}?follow=true&lines=${n}`; }, ctl.signal, take, setState);
    return () => { ctl.abort(); cancelAnimationFrame(frame); };
  }, [path]);
  const matches = (l) => (!source || l.source === source) && (index === '' || l.index === +index) && (!text || l.text.toLowerCase().includes(text.toLowerCase()));
  if (!paused) hold.current.frozen = null; else hold.current.frozen ??= [...all.current];
  const lines = (hold.current.frozen ?? all.current).filter(matches);
  const sources = [...new Set(all.current.map((l) => l.source))].sort(), indexes = [...new Set(all.current.map((l) => l.index))].sort((a, b) => a - b);
  useEffect(() => { if (hold.current.bottom && !paused) box.current.scrollTop = box.current.scrollHeight; });
  const scrolled = () => { const b = box.current; hold.current.bottom = b.scrollTop + b.clientHeight >= b.scrollHeight - 30; show((n) => n + 1); };
  const download = () => {
    const a = document.createElement('a');
    a.href = URL.createObjectURL(new Blob([lines.map((l) => `${l.at} [${l.source}|${l.index}] ${l.text}\n`).join('')], { type: 'text/plain' }));
    a.download = name + '.log';
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 1000);
  };
  const b = box.current, from = b ? Math.max(0, Math.floor(b.scrollTop / HEIGHT) - 20) : 0, to = b ? Math.ceil((b.scrollTop + b.clientHeight) / HEIGHT) + 20 : 60;
  return html`<div class="logbar"><input class="search" type="search" aria-label="Only lines with" placeholder="Only lines with…" value=${text} onInput=${(e) => setText(e.target.value)} />
    <select aria-label="Source" value=${source} onChange=${(e) => setSource(e.target.value)}><option value="">All sources</option>${sources.map((s) => html`<option value=${s}>${s}</option>`)}</select>
    <select aria-label="Instance" value=${index} onChange=${(e) => setIndex(e.target.value)}><option value="">All instances</option>${indexes.map((i) => html`<option value=${i}>Instance ${i}</option>`)}</select>
    <button aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button><button onClick=${download}>Download</button>
    <span class="muted small" role="status">${lines.length} lines${paused ? ', paused' : state === 'live' ? '' : state === 'connecting' ? ', connecting' : state === 'lost' ? ', connection lost' : ', ' + state}</span></div>
    <div class="log card" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-label=${'Log of ' + name} aria-live="off"><div style=${{ height: lines.length * HEIGHT + 'px' }}></div>
    ${lines.slice(from, to).map((l, i) => html`<div class="line ${l.stream}" key=${l.guid + l.seq} style=${{ top: (from + i) * HEIGHT + 'px' }}><span class="t">${clock(l.at)} <span class="s">${l.source}/${l.index}</span> </span>${l.text}</div>`)}</div>`;
}
