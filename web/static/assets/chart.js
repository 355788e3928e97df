// Charts of time series.
import { html, useEffect, useRef, useState } from './lib.js';
import uPlot from './vendor/uPlot.js';

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Chart shows series of numbers over times. Times are seconds, as uPlot has them.
export function Chart({ title, now, times, series, format, max }) {
  const ref = useRef(), plot = useRef(), [theme, setTheme] = useState(0);
  useEffect(() => { const f = () => setTheme((n) => n + 1), q = matchMedia('(prefers-color-scheme: dark)'); addEventListener('themechange', f); q.addEventListener('change', f); return () => { removeEventListener('themechange', f); q.removeEventListener('change', f); }; }, []);
  useEffect(() => {
    const el = ref.current, axis = { stroke: css('--muted'), grid: { stroke: css('--line'), width: 1 }, ticks: { show: false }, font: '11px ' + css('--sans') };
    plot.current = new uPlot({
      width: el.clientWidth || 260, height: 120, legend: { show: false }, padding: [6, 14, 0, 0],
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { range: (_, lo, hi) => [Math.min(lo ?? hi, hi - 900), hi] }, y: { range: (_, lo, hi) => [0, Math.max(hi * 1.15, max ?? 0, 0.001)] } },
      axes: [{ ...axis, size: 22, space: 60, incrs: [60, 120, 300, 600, 900, 1800], values: (u, ts) => ts.map((t) => { const d = new Date(t * 1000); return `${d.getHours()}:${String(d.getMinutes()).padStart(2, '0')}`; }) }, { ...axis, size: 62, space: 34, values: (u, vs) => vs.map((v) => format(v)) }],
      series: [{}, ...series.map((s) => ({ label: s.name, stroke: css(s.colour ?? '--accent'), width: 1.6, fill: s.fill ? css('--accent-soft') : undefined, points: { show: false } }))],
      hooks: { setCursor: [(u) => { const i = u.cursor.idx; el.title = i == null || !u.data[0].length ? '' : new Date(u.data[0][i] * 1000).toLocaleTimeString() + series.map((s, k) => `\n${s.name}: ${format(u.data[k + 1][i] ?? 0)}`).join(''); }] },
    }, [times, ...series.map((s) => s.values)], el);
    const size = new ResizeObserver(() => plot.current?.setSize({ width: el.clientWidth, height: 120 }));
    size.observe(el);
    return () => { size.disconnect(); plot.current.destroy(); plot.current = null; };
  }, [theme]);
  useEffect(() => { plot.current?.setData([times, ...series.map((s) => s.values)]); });
  return html`<section class="card chart"><header><h3>${title}</h3><b>${now}</b></header><div class="plot" ref=${ref} role="img" aria-label=${`${title} over the last hour, now ${now}`}></div></section>`;
}

// Spark is a line without axes, of the newest points of the live state.
export function Spark({ values, width = 100, height = 26, label }) {
  const ref = useRef();
  useEffect(() => {
    const c = ref.current, k = devicePixelRatio || 1, g = c.getContext('2d');
    c.width = width * k; c.height = height * k;
    g.scale(k, k);
    g.clearRect(0, 0, width, height);
    if (values.length < 2) return;
    const top = Math.max(...values, 0.001), x = (i) => 1 + (width - 2) * (60 - values.length + i) / 59, y = (v) => height - 2 - (height - 5) * v / top;
    g.beginPath();
    values.forEach((v, i) => i ? g.lineTo(x(i), y(v)) : g.moveTo(x(i), y(v)));
    g.strokeStyle = css('--accent'); g.lineWidth = 1.4; g.lineJoin = 'round';
    g.stroke();
  });
  return html`<canvas class="spark" ref=${ref} style=${{ width: width + 'px', height: height + 'px' }} role="img" aria-label=${label}></canvas>`;
}
