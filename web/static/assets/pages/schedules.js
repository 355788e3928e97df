import { html } from '../lib.js';
import { call } from '../api.js';
import { AsList, Empty, Head, ask } from '../ui.js';
import { mayChange } from '../session.js';
import { moment, shell } from '../format.js';
import { useWatched } from '../watched.js';

const remove = (s) => ask({ title: `Remove the schedule ${s.name}`, action: 'Remove', danger: true, command: `ltc unschedule ${s.name}`, body: html`<p>It makes no tasks any more. Those it made stay.</p>`, run: async () => { await call('DELETE', '/schedules/' + encodeURIComponent(s.name)); return `${s.name} was removed.`; } });

const words = (text) => text.trim().split(/\s+/).filter(Boolean);

const add = () => ask({ title: 'Schedule a task', action: 'Schedule', form: { name: '', cron: '0 3 * * *', zone: Intl.DateTimeFormat().resolvedOptions().timeZone, image: '', command: '', concurrency: 'allow' },
  command: (f) => `ltc schedule ${f.name || 'NAME'} ${shell(f.cron)} ${f.image || 'IMAGE'} --time-zone ${f.zone}${f.concurrency === 'allow' ? '' : ' --concurrency ' + f.concurrency}${f.command ? ' -- ' + f.command : ''}`,
  body: (f, set) => html`<label class="field">Name<input required autocapitalize="none" value=${f.name} onInput=${(e) => set('name', e.target.value)} /></label>
    <label class="field">When <span class="hint">minute hour day month weekday, or @daily, @every 2h</span><input required class="mono" value=${f.cron} onInput=${(e) => set('cron', e.target.value)} /></label>
    <label class="field">Time zone<input value=${f.zone} onInput=${(e) => set('zone', e.target.value)} /></label>
    <label class="field">Image<input required autocapitalize="none" value=${f.image} onInput=${(e) => set('image', e.target.value)} /></label>
    <label class="field">Command <span class="hint">empty: the image's own</span><input autocapitalize="none" value=${f.command} onInput=${(e) => set('command', e.target.value)} /></label>
    <label class="field">If the one before still runs<select value=${f.concurrency} onChange=${(e) => set('concurrency', e.target.value)}><option value="allow">run one more</option><option value="forbid">don't run this time</option><option value="replace">cancel it, then run</option></select></label>`,
  run: async (f) => { await call('POST', '/schedules', { name: f.name.trim(), cron: f.cron, zone: f.zone, concurrency: f.concurrency, task: { spec: { image: f.image.trim(), ...(words(f.command).length ? { command: words(f.command) } : {}) } } }); return `${f.name} is scheduled.`; } });

export function Schedules() {
  const [list, state] = useWatched('/schedules');
  return html`<${Head} title="Schedules" sub="Tasks that run when it is time.">${mayChange() && html`<button class="primary" onClick=${add}>Schedule a task</button>`}<//>
    <${AsList} list=${list} state=${state} empty=${html`<${Empty} title="No schedules"><p>A schedule runs a task at times such as every night at three.</p><//>`}>
    <div class="card scroll" tabindex="0" role="region" aria-label="Schedules"><table><thead><tr><th>Schedule</th><th>When</th><th class="hide-s">Next</th><th class="hide-s">Image</th><th>Lately</th><th><span class="sr">Actions</span></th></tr></thead><tbody>
      ${(list ?? []).map((s) => html`<tr key=${s.name}><td><b>${s.name}</b></td><td><code>${s.cron}</code> <span class="muted small">${s.zone || 'UTC'}</span></td><td class="hide-s">${s.next_at ? moment(s.next_at) : 'never again'}</td><td class="hide-s"><code>${s.task.spec.image}</code></td>
        <td><span class="row">${(s.history ?? []).slice(-8).map((h) => html`<${Run} h=${h} />`)}${!s.history?.length && html`<span class="muted">not yet</span>`}</span></td><td class="right">${mayChange() && html`<button class="quiet danger" aria-label=${'Remove ' + s.name} onClick=${() => remove(s)}>Remove</button>`}</td></tr>`)}</tbody></table></div><//>`;
}

function Run({ h }) {
  const kind = h.failed ? 'bad' : h.state === 'COMPLETED' ? 'ok' : h.task ? 'warn' : 'muted', word = h.failed ? 'failed' : h.state === 'COMPLETED' ? 'succeeded' : h.task ? 'runs' : 'left out', text = `${moment(h.at)}: ${word}${h.note ? ', ' + h.note : ''}`;
  return h.task ? html`<a href=${'/tasks/' + h.task} title=${text} aria-label=${text} class=${kind}><span class="dot"></span></a>` : html`<span title=${text} class=${kind}><span class="dot" role="img" aria-label=${text}></span></span>`;
}
