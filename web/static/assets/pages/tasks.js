import { html, useState } from '../lib.js';
import { call } from '../api.js';
import { AsList, Empty, Head, ask, go } from '../ui.js';
import { Log } from '../log.js';
import { mayChange } from '../session.js';
import { bytes, moment, since } from '../format.js';
import { useWatched } from '../watched.js';

export const taskPath = (name) => '/tasks/' + encodeURIComponent(name);

export function taskState(t) {
  if (t.state === 'COMPLETED') return t.cancelled ? ['', 'cancelled'] : t.failed ? ['bad', 'failed'] : ['ok', 'succeeded'];
  return t.state === 'RUNNING' ? ['ok', 'running'] : t.state === 'CLAIMED' ? ['warn', 'starting'] : ['', t.attempts?.length ? 'waits to try again' : 'waits'];
}

export function TaskState({ t }) {
  const [kind, word] = taskState(t);
  return html`<span class="tag ${kind}"><span class="dot" aria-hidden="true"></span>${word}</span>`;
}

const took = (t) => !t.started_at ? '–' : t.ended_at ? seconds(new Date(t.ended_at) - new Date(t.started_at)) : since(t.started_at);
const seconds = (ms) => ms < 60000 ? (ms / 1000).toFixed(1) + ' s' : Math.round(ms / 60000) + ' min';

const cancel = (t) => ask({ title: `Cancel ${t.name}`, action: 'Cancel the task', danger: true, command: `ltc cancel-task ${t.name}`, body: html`<p>What runs of it stops, and it is not tried again. Its log stays.</p>`, run: async () => { await call('POST', taskPath(t.name) + '/cancel'); return `${t.name} is cancelled.`; } });
const remove = (t) => ask({ title: `Delete ${t.name}`, action: 'Delete', danger: true, command: `ltc delete-task ${t.name}`, body: html`<p>What runs of it stops, and what became of it is forgotten.</p>`, run: async () => { await call('DELETE', taskPath(t.name)); go('/tasks'); return `${t.name} was deleted.`; } });

const words = (text) => text.trim().split(/\s+/).filter(Boolean);

const submit = () => ask({ title: 'Run a task', action: 'Run', form: { image: '', command: '', memory: 128 },
  command: (f) => `ltc run ${f.image || 'IMAGE'}${f.memory === 128 ? '' : ` -m ${f.memory}M`}${f.command ? ' -- ' + f.command : ''}`,
  body: (f, set) => html`<p>A container that runs once, to an end, and whose log and result are kept for a day.</p><label class="field">Image<input required autocapitalize="none" spellcheck=${false} value=${f.image} onInput=${(e) => set('image', e.target.value)} /></label>
    <label class="field">Command <span class="hint">empty: the image's own</span><input autocapitalize="none" spellcheck=${false} value=${f.command} onInput=${(e) => set('command', e.target.value)} /></label>
    <label class="field">Memory, MiB<input type="number" min="0" value=${f.memory} onInput=${(e) => set('memory', e.target.valueAsNumber || 0)} /></label>`,
  run: async (f) => { const t = await call('POST', '/tasks', { spec: { image: f.image.trim(), memory_mb: f.memory, ...(words(f.command).length ? { command: words(f.command) } : {}) } }); go('/tasks/' + t.name); return `${t.name} was submitted.`; } });

export function Tasks() {
  const [list, state] = useWatched('/tasks'), [text, setText] = useState('');
  const shown = (list ?? []).filter((t) => !text || (t.name + ' ' + t.spec.image + ' ' + taskState(t)[1]).toLowerCase().includes(text.toLowerCase()));
  return html`<${Head} title="Tasks" sub="Containers that run once, to an end.">${mayChange() && html`<button class="primary" onClick=${submit}>Run a task</button>`}<//>
    <${AsList} list=${list} state=${state} empty=${html`<${Empty} title="No tasks"><p>On the command line: <code>ltc run IMAGE -- COMMAND</code></p><//>`}>
    <input class="search" type="search" style="margin-bottom: 14px" aria-label="Search tasks" placeholder="Name, image or state" value=${text} onInput=${(e) => setText(e.target.value)} />
    <div class="card scroll" tabindex="0" role="region" aria-label="Tasks"><table><thead><tr><th>Task</th><th>State</th><th class="hide-s">Image</th><th class="hide-s">Cell</th><th class="hide-s">Took</th><th>Created</th></tr></thead><tbody>
      ${shown.slice(0, 500).map((t) => html`<tr key=${t.name}><td><a class="appname" href=${'/tasks/' + t.name}>${t.name}</a></td><td><${TaskState} t=${t} /></td><td class="hide-s"><code>${t.spec.image}</code></td><td class="hide-s">${t.attempts?.at(-1)?.cell ?? '–'}</td><td class="hide-s nowrap">${took(t)}</td><td class="muted nowrap">${since(t.created_at)} ago</td></tr>`)}</tbody></table></div><//>`;
}

export function Task({ name }) {
  const [t, state] = useWatched(taskPath(name));
  if (!t) return html`<${Head} title=${name} crumb=${html`<a href="/tasks">Tasks</a>`} /><p class="muted">${state === 'connecting' ? 'Loading…' : state}</p>`;
  const rows = [['Image', html`<code>${t.spec.image}</code>`], ['Command', t.spec.command && html`<code>${t.spec.command.join(' ')}</code>`], ['Exit code', t.exit_code], ['Result', t.result && html`<pre class="cmd">${t.result}</pre>`], ['Memory', bytes(t.spec.memory_mb * 1048576)], ['Schedule', t.schedule], ['Created', moment(t.created_at)], ['Took', took(t)]];
  return html`<${Head} title=${name} crumb=${html`<a href="/tasks">Tasks</a>`} sub=${html`<span class="row"><${TaskState} t=${t} />${t.reason && html`<span>${t.reason}</span>`}</span>`}>${mayChange() && html`${t.state !== 'COMPLETED' && html`<button onClick=${() => cancel(t)}>Cancel the task</button>`}<button class="danger" onClick=${() => remove(t)}>Delete</button>`}<//>
    <dl class="card kv">${rows.filter(([, v]) => v !== undefined && v !== '' && v !== false).map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>
    ${t.attempts?.length > 0 && html`<h2 class="section">Attempts</h2><div class="card scroll"><table><thead><tr><th>Cell</th><th>Began</th><th>Ended</th><th>Outcome</th></tr></thead><tbody>${t.attempts.map((a) => html`<tr key=${a.id}><td>${a.cell}</td><td>${a.started_at ? moment(a.started_at) : '–'}</td><td>${a.ended_at ? moment(a.ended_at) : '–'}</td><td class=${a.failed ? 'bad' : ''}>${a.reason ?? (a.ended_at ? 'ended well' : 'runs')}</td></tr>`)}</tbody></table></div>`}
    <h2 class="section">Log</h2><${Log} path=${'/apps/' + encodeURIComponent(name) + '/logs'} name=${name} />`;
}
