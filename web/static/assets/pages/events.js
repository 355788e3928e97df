import { html, useEffect, useRef, useState } from '../lib.js';
import { follow } from '../api.js';
import { Head } from '../ui.js';
import { clock, moment } from '../format.js';

const KEPT = 2000;
const bad = /crashed|dead|failed|refused|lost|revoked/, good = /running|done|back|ready|succeeded|joined/;

export function Events() {
  return html`<${Head} title="Events" sub="What happened, and who wanted it." /><${EventList} query="" search />`;
}

// EventList shows the newest events that query chooses, newest first, and goes on.
export function EventList({ query, search }) {
  const all = useRef([]), [, show] = useState(0), [state, setState] = useState('connecting'), [text, setText] = useState(''), [more, setMore] = useState(100);
  useEffect(() => {
    const ctl = new AbortController();
    let frame = 0, last = 0;
    all.current = [];
    follow(() => `/events?follow=true&${query}${last ? '&since=' + last : '&lines=500'}`, ctl.signal, (list) => {
      all.current.push(...list);
      last = list.at(-1).seq || last;
      if (all.current.length > KEPT) all.current.splice(0, all.current.length - KEPT);
      if (!frame) frame = requestAnimationFrame(() => { frame = 0; show((n) => n + 1); });
    }, setState);
    return () => { ctl.abort(); cancelAnimationFrame(frame); };
  }, [query]);
  const list = all.current.filter((e) => !text || JSON.stringify(e).toLowerCase().includes(text.toLowerCase())).reverse();
  return html`${search && html`<input class="search" type="search" style="margin-bottom: 14px" aria-label="Search events" placeholder="App, cell, kind or person" value=${text} onInput=${(e) => setText(e.target.value)} />`}
    ${state !== 'live' && state !== 'connecting' && html`<p class="muted">${state === 'lost' ? 'Connection lost, trying again.' : state}</p>`}
    ${list.length ? html`<ul class="card events">${list.slice(0, more).map((e) => html`<li key=${e.seq}><time datetime=${e.at} title=${moment(e.at)}>${clock(e.at)}</time><span><span class="tag ${bad.test(e.kind) ? 'bad' : good.test(e.kind) ? 'ok' : ''}">${e.kind}</span></span><span><${Subject} e=${e} /> ${e.message}${e.count > 1 ? ` (${e.count} times)` : ''}${e.actor ? html` <span class="muted">by ${e.actor}</span>` : ''}</span></li>`)}</ul>
      ${list.length > more && html`<p class="section"><button onClick=${() => setMore(more + 300)}>Show more</button></p>`}` : html`<p class="muted">${state === 'connecting' ? 'Loading…' : 'Nothing happened yet.'}</p>`}`;
}

const Subject = ({ e }) => e.app ? html`<a href=${'/apps/' + e.app}>${e.app}${e.index >= 0 ? '/' + e.index : ''}</a>` : e.cell ? html`<a href=${'/cells/' + encodeURIComponent(e.cell)}>${e.cell}</a>` : e.task ? html`<b>${e.task}</b>` : null;
