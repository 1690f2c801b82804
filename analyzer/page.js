/*
 * The page: its state, and what is made of it. One object says what is looked at; a change of it goes through set(), which
 * writes the address (so that a link shows the same) and draws what depends on it again.
 */
const data = JSON.parse(document.getElementById('data').textContent);
const page = document.getElementById('page');
const DEFAULTS = { rec: 0, base: -1, metric: '', from: null, to: null, tid: null, route: null, request: null, tab: 'flame', group: 'none',
	reverse: false, up: false, widths: 'both', normal: 'none', query: '', path: '' };
const state = { ...DEFAULTS };
const recs = data.recordings; /* with a server: what it lists, of which some are loaded */
const joins = new Map();
const parts = {};

/* ---- what is looked at ---- */

const current = () => recs[state.rec];
const base = () => (state.base >= 0 && state.base < recs.length && state.base !== state.rec ? recs[state.base] : null);
const filterNow = () => ({ from: state.from, to: state.to, tid: state.tid, route: state.route, request: state.request });

function ready(rec) {
	if (rec && rec.nodes) {
		decode(rec);
		addRequestTime(rec);
	}
	return rec;
}

/* What a request's thread did and what it waited for, as one: where waiting was looked at during slow requests only, the sum
 * over a whole recording would say little, so it is offered for a request alone. */
function addRequestTime(rec) {
	const cpu = metricOf(rec, 'cpu'), off = metricOf(rec, 'off-cpu');
	if (!cpu || !off || metricOf(rec, 'wall') || !off.samples.count)
		return;
	const samples = { count: cpu.samples.count + off.samples.count };
	for (const key of ['time', 'thread', 'node', 'request', 'shared', 'weight']) {
		const factor = (m) => (key === 'weight' ? m.period_ns : 1);
		samples[key] = Float64Array.from([...cpu.samples[key].map((x) => x * factor(cpu)), ...off.samples[key].map((x) => x * factor(off))]);
	}
	rec.metrics.push({ name: 'cpu+off-cpu', unit: 'samples', text: 'CPU time and time spent waiting', period_ns: 1, lost: cpu.lost, partial: false, error: 'none',
		node: [], thread: [], value: [], samples, ofRequest: true });
}

/* Metrics that both recordings have; those of a request only when one is chosen. */
function metricsNow() {
	const other = base();
	return current().metrics.filter((m) => (!m.ofRequest || state.request !== null) && (!other || metricOf(other, m.name)));
}

function metricNow() {
	const list = metricsNow();
	return list.find((m) => m.name === state.metric) || list[0];
}

function viewNow() {
	const rec = current(), metric = metricNow(), other = base();
	if (!metric)
		return null;
	if (!other)
		return simpleView(rec, metric, filterNow());
	const key = other.name + '\u0000' + rec.name;
	if (!joins.has(key)) {
		joins.clear();
		joins.set(key, joinTrees(other, rec));
	}
	return diffView(other, rec, metric.name, filterNow(), state.normal, joins.get(key));
}

function flameView(view) {
	let shown = view;
	if (!view.diff && state.group !== 'none' && metricNow().period_ns)
		shown = groupedView(current(), metricNow(), filterNow(), state.group);
	return state.reverse ? reversedView(shown, flame.path, Math.max(300, parts.picture.clientWidth)) : shown;
}

/* ---- the address ---- */

const NUMBERS = ['rec', 'base', 'from', 'to', 'tid', 'route', 'request'], FLAGS = ['reverse', 'up'], FILES = ['rec', 'base'];
const wanted = {}; /* files that the address names, for page_live.js */

function writeAddress() {
	const words = [];
	for (const key in DEFAULTS) {
		const named = data.live && FILES.includes(key); /* a server's list changes: its files go by their names */
		const value = named ? (recs[state[key]] || { name: '' }).name : FLAGS.includes(key) ? Number(state[key]) : state[key];
		if (named ? value !== '' : state[key] !== DEFAULTS[key] && value !== '')
			words.push(key + '=' + encodeURIComponent(value));
	}
	const hash = words.length ? '#' + words.join('&') : '';
	if (hash === location.hash)
		return;
	try {
		history.replaceState(null, '', location.pathname + location.search + hash);
	} catch (e) {
		/* Some browsers refuse that for files; the page works without. */
	}
}

function readAddress() {
	Object.assign(state, DEFAULTS);
	if (data.diff && recs.length > 1 && !location.hash)
		Object.assign(state, { base: 0, rec: recs.length - 1, metric: data.metric, normal: data.normalize });
	for (const word of location.hash.slice(1).split('&')) {
		const [key, raw] = word.split('=');
		if (!(key in DEFAULTS) || raw === undefined)
			continue;
		let value = raw;
		try {
			value = decodeURIComponent(raw);
		} catch (e) {
			/* Taken as it stands. */
		}
		if (FLAGS.includes(key))
			state[key] = value === '1';
		else if (!NUMBERS.includes(key))
			state[key] = value;
		else if (data.live && FILES.includes(key))
			wanted[key] = value;
		else if (/^-?[0-9]+$/.test(value))
			state[key] = Number(value);
	}
	correct();
}

/* What the address asks for and this file does not have. */
function correct() {
	state.rec = Math.min(Math.max(0, state.rec), Math.max(0, recs.length - 1));
	if (state.base >= recs.length || state.base === state.rec)
		state.base = -1;
	if ((state.from === null) !== (state.to === null) || state.from >= state.to)
		state.from = state.to = null;
	const rec = current();
	if (!rec || !rec.tree)
		return;
	const q = rec.requests;
	if (state.tid !== null && !rec.threads.some((t) => t[0] === state.tid))
		state.tid = null;
	if (state.route !== null && !(q && q.routes[state.route]))
		state.route = null;
	if (state.request !== null && !(state.request >= 0 && state.request < rec.requestCount))
		state.request = null;
	if (!panels[state.tab])
		state.tab = 'flame';
}

const ROOTED = ['rec', 'base', 'group', 'reverse', 'path'];

/* Changes what is looked at. A new tree has no use for the old one's zoom. */
function set(changes) {
	const rooted = Object.keys(changes).some((k) => ROOTED.includes(k) && k !== 'path' && changes[k] !== state[k]);
	if ('rec' in changes && changes.rec !== state.rec)
		Object.assign(state, { from: null, to: null, tid: null, route: null, request: null });
	Object.assign(state, changes);
	if (rooted && !('path' in changes)) {
		state.path = '';
		flame.undo = [];
	}
	correct();
	writeAddress();
	if (liveLook && (!current().tree || (base() && !base().tree)))
		liveLook(); /* it is not here yet */
	else
		update();
}

/* ---- tooltip ---- */

const tip = el('div', { class: 'tip', role: 'tooltip', hidden: true });

function showTip(words, x, y) {
	tip.hidden = !words;
	if (!words)
		return;
	tip.replaceChildren(el('b', {}, words.name), words.where ? el('i', {}, words.where) : '',
		el('table', {}, el('tbody', {}, ...words.rows.map((r) => el('tr', {}, el('th', {}, r[0]), ...r.slice(1).map((t) => el('td', {}, t)))))));
	const box = tip.getBoundingClientRect();
	tip.style.left = Math.max(6, Math.min(x + 14, window.innerWidth - 6 - box.width)) + 'px';
	tip.style.top = (y + 18 + box.height > window.innerHeight - 6 ? Math.max(6, y - 12 - box.height) : y + 18) + 'px';
}

/* ---- pictures ---- */

const flame = new Flame({
	zoom: (path) => {
		state.path = path.join('.');
		writeAddress();
		if (state.reverse)
			flame.show(flameView(parts.view));
		else
			flame.draw();
	},
	tip: showTip,
	changed: () => panels.flame.tools(),
	turn: () => set({ up: !state.up }),
	clearSearch: () => set({ query: '' }),
});
const timeline = new Timeline({ range: (from, to) => set({ from, to }), tip: showTip });

/* ---- frame of the page ---- */

function header() {
	const rec = current();
	const options = recs.map((r, i) => [i, recordingName(r)]);
	const many = recs.length > 1;
	return [el('div', { class: 'name' }, el('h1', {}, rec.tree ? rec.comm : rec.name), rec.tree ? el('p', {}, `pid ${rec.pid} \u00b7 ${clockText(rec.start_wall_ms)} \u00b7 ${rec.name}`) : ''),
		el('div', { class: 'choices' },
			many ? choice('Recording', options, state.rec, (v) => set({ rec: Number(v) }), 'rec') : '',
			many ? choice('Compare with', [[-1, 'nothing'], ...options.filter(([i]) => i !== state.rec)], state.base, (v) => set({ base: Number(v) }), 'base') : '',
			el('button', { type: 'button', id: 'theme', title: 'Light or dark (d)', onclick: turnDark }, document.documentElement.dataset.dark === 'true' ? 'Light' : 'Dark'))];
}

/* Without what all names have in common: COMM.PID.SEQ.REASON.snap. */
function recordingName(r) {
	const parts = (name) => /^(.+\.\d+)\.(?:(\d{4,})\.(\w+)\.snap|(live))$/.exec(name), own = parts(r.name);
	const alike = own && recs.every((other) => (parts(other.name) || [])[1] === own[1]);
	return alike ? own[4] || `${own[2]} ${own[3]}` : r.name;
}

/* What was lost, first; then what else makes the figures less than all. */
function warnings() {
	const rec = current(), out = [], lost = rec.losses.reduce((a, l) => a + l[1], 0), wrong = rec.misuse;
	if (lost)
		out.push(['warn', `Lost while recording: ${rec.losses.map(([name, n]) => `${whole(n)}${NBSP}${name}`).join(', ')}. Figures are too small by what these stood for.`]);
	if (rec.metrics.some((m) => m.partial))
		out.push(['warn', 'Blocks of another allocator in the program are not in the figures of memory.']);
	if (wrong.mismatch + wrong.double_free + wrong.no_block)
		out.push(['bad', `Misuse of the heap: ${[[wrong.double_free, 'freed twice'], [wrong.mismatch, 'freed by the wrong function'], [wrong.no_block, 'freed what is no block']]
			.filter((x) => x[0]).map((x) => `${whole(x[0])}${NBSP}${x[1]}`).join(', ')}. probe-analyze info tells where.`]);
	const other = base();
	if (other && other.losses.length)
		out.push(['warn', `Lost in ${other.name}: ${other.losses.map(([name, n]) => `${whole(n)}${NBSP}${name}`).join(', ')}.`]);
	if (data.skipped)
		out.push(['warn', `${whole(data.skipped)} files in the directory are not shown: links, no files, not readable, or too many.`]);
	if (!out.length)
		out.push(['fine', 'Nothing was lost while recording.']);
	return out.map(([kind, text]) => el('p', { class: 'note ' + kind }, text));
}

const card = (title, value, detail, kind, go) => el(go ? 'button' : 'div', { class: 'card ' + (kind || ''), type: go ? 'button' : null, onclick: go },
	el('span', {}, title), el('b', {}, value), el('small', {}, detail || NBSP));

function totalOf(rec, name) {
	const m = metricOf(rec, name);
	return m ? sumOf(m.value) : 0;
}

function cards() {
	const rec = current(), out = [], cpu = metricOf(rec, 'cpu'), live = metricOf(rec, 'live'), sampled = rec.heap_mode === 'sampled';
	const error = (m) => (m ? errorText(m, sumOf(m.value), sumOf(m.value) * varianceOf(rec, m)) : '');
	out.push(card('Recorded', timeText(rec.duration_us * 1000), rec.because || `written because: ${rec.reason}`));
	if (rec.cpu_ns || cpu)
		out.push(card('CPU time', timeText(rec.cpu_ns), cpu ? `${whole(sumOf(cpu.value))} samples, ${error(cpu)}` : 'no samples'));
	if (live) {
		out.push(card('Heap at the end', bytesText(sumOf(live.value)), sampled ? `estimate, ${error(live)}` : `${whole(sumOf(live.count))} blocks`));
		out.push(card('Most heap', bytesText(rec.heap_peak_bytes), `at ${secondsText(rec.heap_peak_us, 1)}`));
		out.push(card('Allocated', bytesText(totalOf(rec, 'alloc')), `${whole(totalOf(rec, 'alloc-count'))} allocations` + (sampled ? ' (estimate)' : '')));
	}
	if (rec.requests)
		out.push(card('Requests', whole(rec.requests.count), `${whole(rec.requests.slow)} slower than ${timeText(rec.requests.latency_ns)}`, rec.requests.slow ? 'late' : '', () => set({ tab: 'requests' })));
	if (rec.leaks) {
		const bytes = rec.leaks.rows.reduce((a, r) => a + r[2], 0);
		out.push(card('Leaked', (rec.leaks.sampled ? '\u2265' + NBSP : '') + bytesText(bytes), `${whole(rec.leaks.rows.length)} stacks` + (rec.leaks.sampled && bytes ? `, \u00b1${NBSP}${bytesText(Z95 * rec.leaks.error_bytes)}` : ''),
			bytes ? 'bad' : '', () => set({ tab: 'leaks' })));
	}
	return out;
}

function filters() {
	const rec = current(), metric = metricNow(), q = rec.requests, chips = [];
	const chip = (text, gone) => chips.push(el('button', { type: 'button', class: 'chip', title: 'Take this away', onclick: () => set(gone) }, text, el('i', { 'aria-hidden': 'true' }, ' \u00d7')));
	if (state.from !== null)
		chip(`${secondsText(state.from)} to ${secondsText(state.to)}`, { from: null, to: null });
	if (state.tid !== null)
		chip(`thread ${state.tid}`, { tid: null });
	if (state.route !== null)
		chip(q.routes[state.route].join(' '), { route: null });
	if (state.request !== null)
		chip(`request ${q.list.method[state.request]} ${q.list.path[state.request]}, ${timeText(q.list.duration_us[state.request] * 1000)}`, { request: null });
	const threads = new Map(rec.threads.map((t) => [t[0], t[1]]));
	const seconds = (id, label, value, change) => el('label', { class: 'choice' }, el('span', {}, label), el('input', { id, type: 'number', step: '0.1', min: '0', 'aria-label': label + ' (seconds)',
		value: value === null ? '' : (value / 1e6).toString(), placeholder: 's', onchange: (e) => change(e.target.value === '' ? null : Math.round(Number(e.target.value) * 1e6)) }));
	return [choice('Metric', metricsNow().map((m) => [m.name, m.text]), metric.name, (v) => set({ metric: v }), 'metric'),
		metric.period_ns ? choice('Thread', [['', 'all'], ...[...threads].map(([tid, name]) => [tid, `${name} (${tid})`])], state.tid === null ? '' : state.tid, (v) => set({ tid: v === '' ? null : Number(v) }), 'tid') : '',
		metric.period_ns && q && q.routes.length ? choice('Route', [['', 'all'], ...q.routes.map((r, i) => [i, r.join(' ')])], state.route === null ? '' : state.route, (v) => set({ route: v === '' ? null : Number(v) }), 'route') : '',
		seconds('from', 'From', state.from, (v) => set({ from: v === null ? (state.to === null ? null : 0) : v, to: v === null && state.to === rec.duration_us ? null : state.to === null || state.to <= v ? rec.duration_us : state.to })),
		seconds('to', 'To', state.to, (v) => set(v === null ? { from: null, to: null } : { from: state.from === null || state.from >= v ? 0 : state.from, to: v })),
		el('div', { class: 'chips' }, ...chips)];
}

/* How much is looked at, and what the filter does not reach. */
function scope(view) {
	const metric = metricNow(), rec = current(), out = [];
	if (!metric)
		return 'Nothing was recorded that has stacks.';
	if (view.diff) {
		const change = changeOf(view, view.total[0][0], view.total[1][0]);
		out.push(`${metric.text}: ${amountText(view.metric, view.total[0][0])} in ${base().name}, ${amountText(view.metric, view.total[1][0])} here; `
			+ `${signOf(change.delta)}${amountText(view.metric, Math.abs(change.delta))}${change.noise ? ', within the sampling error' : ''}${view.words ? ` (${view.words})` : ''}.`);
	} else {
		const total = view.total[0][0];
		out.push(`${metric.text}: ${amountText(metric, total)}${metric.period_ns > 1 || metric.unit === 'bytes' ? ` (${exactText(metric, total)}${view.variance[0] ? ', ' + errorText(metric, total, total * view.variance[0]) : ''})` : ''}.`);
	}
	if (metric.lost)
		out.push(`${whole(metric.lost)} events of it were lost: the total is too small by them.`);
	if (metric.lower_bound)
		out.push('Only samples of blocks are known: at least so much is leaked.');
	if (!metric.period_ns && (state.from !== null || state.tid !== null || state.route !== null || state.request !== null))
		out.push('Memory by stack is known for the whole recording only: the range, thread, route and request do not apply to it.');
	else if (metric.samples && isTimed(filterNow()) && metric.samples.count)
		out.push(`Samples with a time begin at ${secondsText(metric.samples.time[0])}; what was before is known as a sum only.`);
	if (metric.period_ns && state.group === 'route' && state.tab === 'flame' && !view.diff)
		out.push('By route: of the samples whose time is known.');
	return out.join(' ');
}

/* ---- the whole ---- */

function build() {
	parts.header = el('header', {});
	parts.notes = el('div', { class: 'notes', id: 'notes' });
	parts.cards = el('div', { class: 'cards', id: 'cards' });
	parts.filters = el('div', { class: 'filters', id: 'filters' });
	parts.scope = el('p', { class: 'scope', id: 'scope', 'aria-live': 'polite' });
	parts.tabs = el('div', { class: 'tabs', role: 'tablist' });
	parts.panel = el('div', { class: 'panel', role: 'tabpanel' });
	parts.picture = el('div', { class: 'picture' }, flame.canvas);
	parts.rest = el('div', {}, parts.notes, parts.cards, el('div', { class: 'timeline' }, timeline.canvas), parts.filters, parts.tabs, parts.scope, parts.panel);
	page.replaceChildren(parts.header, parts.rest,
		el('footer', { id: 'help' }, 'Keys: / search \u00b7 n p next, previous match \u00b7 arrows and Enter in the picture \u00b7 Backspace undo \u00b7 Esc all \u00b7 i icicle or flame \u00b7 1\u20137 tabs \u00b7 d dark'), tip);
}

function tabs() {
	const names = Object.keys(panels).filter((k) => panels[k].there());
	if (!names.includes(state.tab))
		state.tab = names[0];
	return names.map((key, i) => el('button', { type: 'button', role: 'tab', id: 'tab-' + key, 'aria-selected': String(state.tab === key), tabindex: state.tab === key ? '0' : '-1',
		onclick: () => set({ tab: key }), onkeydown: (e) => {
			const step = e.key === 'ArrowRight' ? 1 : e.key === 'ArrowLeft' ? -1 : 0;
			if (!step)
				return;
			e.stopPropagation();
			set({ tab: names[(i + step + names.length) % names.length] });
			document.getElementById('tab-' + state.tab).focus();
		} }, panels[key].title()));
}

/* Fills an element again and gives the focus back to the control that had it, by its id. */
function refill(part, children) {
	const focused = document.activeElement, id = focused && part.contains(focused) ? focused.id : '';
	part.replaceChildren(...children.filter((c) => c !== ''));
	if (id && document.getElementById(id))
		document.getElementById(id).focus();
}

function update() {
	const rec = ready(current());
	ready(base());
	if (!rec || !rec.tree) { /* a server's, not here yet or not readable: another one can be chosen */
		if (rec)
			refill(parts.header, header());
		parts.rest.hidden = true;
		return;
	}
	parts.rest.hidden = false;
	showTip(null);
	const view = viewNow();
	parts.shown = `${rec.name}\n${(base() || rec).name}`;
	parts.view = view;
	refill(parts.header, header());
	refill(parts.notes, warnings());
	refill(parts.cards, cards());
	refill(parts.tabs, tabs());
	timeline.show(rec, recs);
	timeline.setRange(state.from, state.to);
	refill(parts.filters, view ? filters() : []);
	parts.scope.textContent = scope(view);
	const panel = panels[state.tab], element = panel.element();
	if (parts.panel.firstChild !== element)
		parts.panel.replaceChildren(element);
	panel.show(view);
	document.title = `${rec.comm} (pid ${rec.pid})`;
	page.dataset.ready = 'true';
}

/* ---- looks ---- */

function setDark(dark) {
	document.documentElement.dataset.dark = String(dark);
}

function turnDark() {
	const dark = document.documentElement.dataset.dark !== 'true';
	setDark(dark);
	try {
		localStorage.setItem('dark', String(dark));
	} catch (e) {
		/* Not kept, then. */
	}
	update();
}

function startLooks() {
	const system = window.matchMedia('(prefers-color-scheme: dark)');
	let kept = null;
	try {
		kept = localStorage.getItem('dark');
	} catch (e) {
		/* None. */
	}
	setDark(kept === null ? system.matches : kept === 'true');
	system.addEventListener('change', (e) => {
		setDark(e.matches);
		update();
	});
}

function focusSearch() {
	const input = parts.panel.querySelector('input[type=search]');
	if (input) {
		input.focus();
		input.select();
	}
}

function onKey(event) {
	const typing = ['INPUT', 'SELECT', 'TEXTAREA'].includes(event.target.tagName);
	if (event.key === 'Escape' && typing)
		event.target.blur();
	if (typing || event.ctrlKey || event.metaKey || event.altKey)
		return;
	const keys = { '/': focusSearch, d: turnDark, i: () => set({ up: !state.up }), n: () => flame.nextHit(1), p: () => flame.nextHit(-1), Backspace: () => flame.back(),
		u: () => flame.back(), Escape: () => flame.escape() };
	const names = Object.keys(panels).filter((k) => panels[k].there());
	const act = /^[1-9]$/.test(event.key) && names[event.key - 1] ? () => set({ tab: names[event.key - 1] }) : keys[event.key];
	if (act) {
		event.preventDefault();
		act();
	}
}

function start() {
	startLooks();
	build();
	readAddress();
	window.addEventListener('keydown', onKey);
	window.addEventListener('resize', () => {
		timeline.draw();
		flame.draw();
	});
	window.addEventListener('hashchange', () => {
		readAddress();
		update();
	});
	if (data.live)
		live();
	else
		update();
}
