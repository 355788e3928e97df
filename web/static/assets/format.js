// Numbers, times and colours for people.

export function bytes(n) {
  if (!n) return '0 B';
  const unit = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1000 && i < unit.length - 1) { n /= 1024; i++; }
  return (n >= 100 || i === 0 ? Math.round(n) : n.toFixed(1)) + ' ' + unit[i];
}
export const mib = (n) => n ? bytes(n * 1048576) : 'no limit';
export const percent = (n) => (n >= 10 ? Math.round(n) : Math.round(n * 10) / 10) + ' %';
export const rate = (n) => (n >= 10 ? Math.round(n) : Math.round(n * 10) / 10) + '/s';
export const millis = (n) => n >= 1000 ? (n / 1000).toFixed(1) + ' s' : (n >= 10 ? Math.round(n) : Math.round(n * 10) / 10) + ' ms';
export const count = (n, one, many = one + 's') => `${n} ${n === 1 ? one : many}`;

export function since(t) {
  if (!t) return '';
  const s = Math.max(0, (Date.now() - new Date(t).getTime()) / 1000);
  if (s < 60) return Math.floor(s) + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min';
  if (s < 172800) return Math.floor(s / 3600) + ' h';
  return Math.floor(s / 86400) + ' days';
}

const two = (n) => String(n).padStart(2, '0');
export function clock(t) { const d = new Date(t); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`; }
export function moment(t) { const d = new Date(t); return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(d)}`; }
export const isSet = (t) => t && !t.startsWith('0001-');

// Each app has a colour of its own while there are not more apps than colours;
// it stays as long as the older apps do. Reds are left to what is broken.
const SLOTS = 20, hues = new Map(), taken = new Map();

export function giveColours(names) {
  for (const name of names) {
    if (hues.has(name)) continue;
    let x = 2166136261;
    for (let i = 0; i < name.length; i++) x = Math.imul(x ^ name.charCodeAt(i), 16777619);
    let slot = (x >>> 0) % SLOTS;
    for (let i = 0; i < SLOTS && taken.has(slot); i++) slot = (slot + 7) % SLOTS;
    taken.set(slot, name);
    hues.set(name, 35 + slot * 300 / SLOTS);
  }
}

export function takeColour(name) {
  hues.delete(name);
  for (const [slot, n] of taken) if (n === name) taken.delete(slot);
}
export const hue = (name) => hues.get(name) ?? 215;
export const colour = (name) => `hsl(${hue(name)} var(--dot-chroma) var(--dot-light))`;

// shell quotes what a shell would take apart.
export const shell = (s) => /^[\w@%+=:,./-]+$/.test(s) ? s : `'${s.replaceAll("'", `'\\''`)}'`;
