// What can be done with an app, with a word first about what will happen.
import { html } from './lib.js';
import { app, call } from './api.js';
import { ask, go } from './ui.js';
import { count } from './format.js';

const named = (spec) => spec?.volumes?.some((v) => !v.source.includes('://'));
const inFlight = (n) => Math.max(1, Math.floor(n / 4));
const steps = (n, spec) => named(spec) ? html`As it has volumes, each old container stops before its new one starts, ${inFlight(n) === 1 ? 'one at a time' : `${inFlight(n)} at a time`}.` : html`New containers come up before the old ones go, ${inFlight(n) === 1 ? 'one at a time' : `${inFlight(n)} at a time`}. No request fails.`;

export function scale(spec) {
  ask({
    title: `Scale ${spec.name}`, action: 'Scale', form: { n: spec.instances },
    command: (f) => `ltc scale ${spec.name} ${f.n}`,
    body: (f, set) => html`<label class="field">Instances<input type="number" min="0" max="1000" required value=${f.n} onInput=${(e) => set('n', e.target.valueAsNumber)} /></label>
      <p role="status">${said(spec, f.n)}</p>`,
    run: async (f) => { await call('PUT', app(spec.name) + '/instances', { instances: f.n }); return `${spec.name} gets ${count(f.n, 'instance')}.`; },
  });
}

function said(spec, n) {
  const d = n - spec.instances;
  if (!Number.isInteger(n) || n < 0) return 'How many instances shall run?';
  if (spec.held) return `${spec.name} waits until the feature ${spec.held} is enabled again: nothing starts now, and ${count(n, 'instance')} then.`;
  if (spec.stopped) return `${spec.name} is stopped: nothing starts now, and ${count(n, 'instance')} when it is started again.`;
  if (d > 0) return `${count(d, 'new instance')} will start, each with ${spec.memory_mb} MiB.`;
  if (d < 0) return `${count(-d, 'instance')} will stop when ${-d === 1 ? 'its' : 'their'} open requests have ended. ${n === 0 ? 'The app will not answer then.' : ''}`;
  return 'Nothing changes.';
}

export function restart(spec) {
  ask({ title: `Restart ${spec.name}`, action: 'Restart', command: `ltc restart ${spec.name}`,
    body: html`<p>All ${count(spec.instances, 'instance')} get new containers. ${steps(spec.instances, spec)}</p>`,
    run: async () => { await call('POST', app(spec.name) + '/restart', {}); return `${spec.name} restarts.`; } });
}

export function replace(i) {
  ask({ title: `Replace ${i.app}/${i.index}`, action: 'Replace', danger: true, command: `ltc restart ${i.app}/${i.index}`,
    body: html`<p>A new container starts in place of instance ${i.index} on ${i.cell || 'no cell'}. When it is healthy, the old one stops; what is only in its memory or on its disk is lost.</p>`,
    run: async () => { await call('POST', app(i.app) + '/restart', { index: i.index }); return `${i.app}/${i.index} is replaced.`; } });
}

export function update(spec) {
  ask({ title: `Update the image of ${spec.name}`, action: 'Update', form: { image: spec.image, strategy: 'rolling' },
    command: (f) => `ltc update ${spec.name} --image ${f.image}${f.strategy === 'rolling' ? '' : ' --strategy ' + f.strategy}`,
    body: (f, set) => html`<label class="field">Image<input required value=${f.image} autocapitalize="none" spellcheck=${false} onInput=${(e) => set('image', e.target.value)} /></label>
      <label class="field">How<select value=${f.strategy} onChange=${(e) => set('strategy', e.target.value)}><option value="rolling">Rolling: new before old</option><option value="recreate">Recreate: old before new</option><option value="canary">Canary: one, then it waits for you</option></select></label>
      <p>${f.strategy === 'recreate' ? 'All instances stop before the first new one starts: the app does not answer meanwhile.' : f.strategy === 'canary' ? 'One instance gets the new image; the others follow when you promote it.' : steps(spec.instances, spec)} If the new one does not come up, the one before comes back by itself.</p>`,
    run: async (f) => {
      const { app: now } = await call('GET', app(spec.name));
      await call('PUT', app(spec.name), { app: { ...now, image: f.image.trim() }, strategy: f.strategy });
      return `${spec.name} changes to ${f.image.trim()}.`;
    } });
}

export function stop(spec) {
  ask({ title: `Stop ${spec.name}`, action: 'Stop', danger: true, command: `ltc stop ${spec.name}`,
    body: html`<p>All ${count(spec.instances, 'instance')} stop and ${spec.name} does not answer any more. Its settings and revisions stay; <b>Start</b> brings it back.</p>`,
    run: async () => { await call('POST', app(spec.name) + '/stop'); return `${spec.name} stops.`; } });
}

export async function start(spec) { await call('POST', app(spec.name) + '/start'); }

export function remove(spec) {
  ask({ title: `Remove ${spec.name}`, action: 'Remove for ever', danger: true, form: { name: '', volumes: false }, command: (f) => `ltc remove ${spec.name}${f.volumes ? ' --volumes' : ''}`,
    body: (f, set) => html`<p>All ${count(spec.instances, 'instance')} stop; the app's settings, its environment and all revisions are deleted. This can't be undone.${named(spec) && !f.volumes && ' Its volumes stay, and an app of the same name gets them again.'}</p>
      ${named(spec) && html`<label class="field inline"><input type="checkbox" checked=${f.volumes} onChange=${(e) => set('volumes', e.target.checked)} />Also delete its volumes, with all that is in them</label>`}
      <label class="field">Type <b>${spec.name}</b> to go on<input required pattern=${spec.name} autocapitalize="none" autocomplete="off" value=${f.name} onInput=${(e) => set('name', e.target.value)} /></label>`,
    run: async (f) => {
      if (f.name !== spec.name) throw new Error(`Type ${spec.name} to go on.`);
      await call('DELETE', app(spec.name) + (f.volumes ? '?volumes=true' : ''));
      go('/apps');
      return `${spec.name} was removed.`;
    } });
}

export function rollback(spec, revision) {
  ask({ title: `Go back to revision ${revision}`, action: 'Roll back', command: `ltc rollback ${spec.name} ${revision}`,
    body: html`<p>${spec.name} runs again as it was in revision ${revision}. ${steps(spec.instances, spec)} The number of instances and the routes stay as they are.</p>`,
    run: async () => { await call('POST', app(spec.name) + '/rollback', { revision }); return `${spec.name} goes back to revision ${revision}.`; } });
}

export function drain(cell, instances) {
  ask({ title: `Drain ${cell}`, action: 'Drain', danger: true, command: `ltc cell drain ${cell}`,
    body: html`<p>${count(instances, 'instance')} move to other cells, a few at a time and each new one before the old one goes; ${cell} gets nothing new until you undrain it. Instances that have a volume here stay: it can't move by itself.</p>`,
    run: async () => { await call('PUT', '/cells/' + encodeURIComponent(cell) + '/drain', {}); return `${cell} is drained.`; } });
}
export const undrain = (cell) => call('DELETE', '/cells/' + encodeURIComponent(cell) + '/drain');
