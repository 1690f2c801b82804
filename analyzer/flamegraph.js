/*
 * The picture's script: draws the frames again from the data at any zoom, and answers mouse and keyboard.
 * Everything taken from the data reaches the page as text nodes or numbers, never as markup: names are untrusted.
 * State is one object; render() makes the page from it. Node 0 is the root; parents stand before children and siblings in
 * order, so one loop lays the tree out, and the nodes of one level are sorted by x.
 */
(function () {
'use strict';
const SVG = 'http://www.w3.org/2000/svg', HTML = 'http://www.w3.org/1999/xhtml';
/* flamegraph.c has the same geometry. */
const SIDE_PAD = 12, FRAME = 19, TEXT_PAD = 4, FOOT = 34, SMALLEST = 0.5;

const root = (document.currentScript && document.currentScript.ownerSVGElement) || document.documentElement;
const find = (selector) => root.querySelector(selector);
const data = JSON.parse(find('#data').textContent);
const count = data.parent.length;
const head = find('#head'), foot = find('#foot');
const top0 = Number(foot.dataset.top);
const fixedWidth = data.fluid ? 0 : Number(root.getAttribute('width'));

const state = {
	zoom: 0, undo: [], selected: -1, side: data.side, inverted: data.inverted,
	query: '', hits: null, help: false,
};
let frames = find('#frames');
let total, x, depth, covered, drawn = [], geometry = null, levelsShown = 0, charWidth = 6.64;

/* ---- numbers and names ---- */

const whole = (n) => Math.round(n).toLocaleString('en-US');
const short3 = (n) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));
function scaled(n, units, step) {
	let u = 0;
	while (n >= step && u + 1 < units.length) {
		n /= step;
		u++;
	}
	return (u === 0 ? whole(n) : short3(n)) + '\u00a0' + units[u];
}
const bytes = (n) => scaled(n, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 1024);
const time = (ns) => (ns < 60e9 ? scaled(ns, ['ns', '\u00b5s', 'ms', 's'], 1000) : short3(ns / 60e9) + '\u00a0min');
/* [main, exact]: what a person reads first, and the number behind it. */
function amount(v) {
	if (data.period_ns === 1)
		return [time(v), ''];
	if (data.period_ns)
		return [time(v * data.period_ns), whole(v) + (v === 1 ? ' sample' : ' samples')];
	if (data.unit === 'bytes')
		return [bytes(v), whole(v) + ' bytes'];
	return [whole(v), data.unit];
}
const percent = (v, of) => (of > 0 ? (100 * v / of).toFixed(2) + '\u00a0%' : '-');
const functionOf = (i) => (i === 0 ? null : data.functions[data.function[i] - 1]);
const nameOf = (i) => (i === 0 ? 'all' : functionOf(i)[0]);

/* ---- layout ---- */

function layOut() {
	const cursor = new Float64Array(count);
	total = data['total' + state.side];
	x = new Float64Array(count);
	depth = depth || new Uint32Array(count);
	for (let i = 1; i < count; i++) {
		const p = data.parent[i];
		x[i] = cursor[p];
		cursor[i] = cursor[p];
		cursor[p] += total[i];
		depth[i] = depth[p] + 1;
	}
}

function isInside(i, z) {
	return depth[i] >= depth[z] && x[i] >= x[z] && x[i] + total[i] <= x[z] + total[z];
}

function isAncestor(i, z) {
	return depth[i] < depth[z] && x[i] <= x[z] && x[z] + total[z] <= x[i] + total[i] && ancestorAt(z, depth[i]) === i;
}

function ancestorAt(i, level) {
	while (depth[i] > level)
		i = data.parent[i];
	return i;
}

function measure() {
	const z = state.zoom;
	if (!fixedWidth)
		root.setAttribute('width', '100%');
	const width = fixedWidth || Math.max(320, Math.floor(root.getBoundingClientRect().width));
	geometry = { width, scale: (width - 2 * SIDE_PAD) / (total[z] || 1), levels: 1 };
	drawn = [];
	for (let i = 0; i < count; i++) {
		let w;
		if (isInside(i, z) && (i === z || ancestorAt(i, depth[z]) === z))
			w = total[i] * geometry.scale;
		else if (isAncestor(i, z))
			w = width - 2 * SIDE_PAD;
		else
			continue;
		if (w < SMALLEST && i !== 0)
			continue;
		drawn.push(i);
		geometry.levels = Math.max(geometry.levels, depth[i] + 1);
	}
	/* Never fewer levels than before: zooming must not move what the eye rests on. */
	levelsShown = Math.max(levelsShown, geometry.levels);
}

function place(i) {
	const level = state.inverted ? depth[i] : levelsShown - 1 - depth[i];
	const above = depth[i] < depth[state.zoom];
	return {
		x: SIDE_PAD + (above ? 0 : (x[i] - x[state.zoom]) * geometry.scale),
		y: top0 + level * FRAME,
		w: above ? geometry.width - 2 * SIDE_PAD : total[i] * geometry.scale,
	};
}

/* ---- drawing ---- */

function make(name, attributes, parent, namespace) {
	const e = document.createElementNS(namespace || SVG, name);
	for (const key in attributes)
		e.setAttribute(key, attributes[key]);
	if (parent)
		parent.appendChild(e);
	return e;
}

function label(i, w) {
	const room = Math.floor((w - 2 * TEXT_PAD) / charWidth);
	if (room < 3)
		return '';
	let text = nameOf(i);
	if (text.length > room && i > 0 && functionOf(i)[1])
		text = functionOf(i)[1];
	const points = Array.from(text);
	return points.length > room ? points.slice(0, room - 1).join('') + '\u2026' : text;
}

function drawFrame(i, parent) {
	const at = place(i), hit = state.hits && state.hits[i];
	const g = make('g', { class: 'f ' + data.colour[i] }, parent);
	g.frame = i;
	if (depth[i] < depth[state.zoom])
		g.classList.add('above');
	if (hit)
		g.classList.add('hit');
	else if (state.hits)
		g.classList.add('faded');
	make('rect', { x: at.x.toFixed(2), y: at.y, width: (at.w > 1.5 ? at.w - 0.5 : at.w).toFixed(2), height: FRAME - 1 }, g);
	const text = label(i, at.w);
	if (text)
		make('text', { x: (at.x + TEXT_PAD).toFixed(2), y: at.y + 13 }, g).textContent = text;
}

function render() {
	measure();
	const fresh = make('g', { id: 'frames', tabindex: 0, role: 'application', 'aria-label': 'flame graph' });
	for (const i of drawn)
		drawFrame(i, fresh);
	const focused = document.activeElement === frames;
	frames.replaceWith(fresh);
	frames = fresh;
	if (focused)
		frames.focus({ preventScroll: true });
	const height = top0 + levelsShown * FRAME + FOOT;
	root.removeAttribute('viewBox');
	root.setAttribute('height', Math.max(height, window.innerHeight)); /* tooltips need the room */
	if (fixedWidth)
		root.setAttribute('width', fixedWidth);
	drawFoot(height);
	drawSelection();
	updateTools();
	pin();
	link();
}

function drawFoot(height) {
	foot.replaceChildren();
	const hidden = data.parent.reduce((n, _, i) => n + (total[i] > 0), 0) - drawn.length;
	let text = 'Click: zoom \u00b7 Esc: reset \u00b7 Backspace: undo \u00b7 /: search \u00b7 n p: next, previous match \u00b7 arrows, Enter: move, zoom \u00b7 i: icicle';
	if (data.diff)
		text += ' \u00b7 b: before or after';
	if (hidden > 0)
		text = whole(hidden) + (state.zoom ? ' frames outside this view or' : ' frames') + ' too narrow to draw here \u00b7 ' + text;
	make('text', { class: 'hint', x: SIDE_PAD, y: height - 12 }, foot).textContent = text;
}

function drawSelection() {
	const old = find('#selection');
	if (old)
		old.remove();
	if (state.selected < 0 || !drawn.includes(state.selected))
		return;
	const at = place(state.selected);
	const box = make('rect', { id: 'selection', x: at.x, y: at.y, width: Math.max(at.w, 2), height: FRAME - 1 });
	root.insertBefore(box, head);
	tools.said.textContent = tipLines(state.selected).join(', ');
}

/* ---- toolbar ---- */

const toolbar = make('foreignObject', { x: 0, y: 10, width: 10, height: 32 }, head);
const tools = {};
function button(key, text, title, act) {
	const b = make('button', { type: 'button', title }, tools.bar, HTML);
	b.textContent = text;
	b.addEventListener('click', act);
	tools[key] = b;
}
function makeTools() {
	tools.bar = make('div', { class: 'tools' }, toolbar, HTML);
	tools.matched = make('output', { id: 'matched' }, tools.bar, HTML);
	tools.input = make('input', { type: 'search', id: 'search', placeholder: 'Search (regexp)', 'aria-label': 'Search', spellcheck: 'false' }, tools.bar, HTML);
	button('reset', 'Reset zoom', 'Show everything again (Esc)', () => zoomTo(0));
	button('turn', '', 'Root at the top or at the bottom (i)', turnOver);
	if (data.diff)
		button('side', '', 'Widths of the first or of the second profile (b)', otherSide);
	tools.said = make('div', { class: 'unseen', 'aria-live': 'polite' }, tools.bar, HTML);
	tools.input.addEventListener('input', () => search(tools.input.value));
}

function updateTools() {
	tools.reset.disabled = state.zoom === 0;
	if (tools.side)
		tools.side.textContent = state.side ? 'Widths: after' : 'Widths: before';
	toolbar.setAttribute('width', geometry.width - 2 * SIDE_PAD);
	toolbar.setAttribute('x', SIDE_PAD);
	tools.turn.textContent = state.inverted ? 'Flame' : 'Icicle';
	fitTitles();
}

/* The title gives way to the toolbar, the other lines to the edge of the page. */
function fitTitles() {
	const toolsLeft = tools.matched.getBoundingClientRect().left - root.getBoundingClientRect().left;
	for (const text of head.querySelectorAll('text')) {
		text.full = text.full || text.textContent;
		text.textContent = text.full;
		const room = (text.classList.contains('title') ? toolsLeft - 12 : geometry.width - SIDE_PAD) - SIDE_PAD;
		const need = text.getComputedTextLength();
		if (need > room && room > 0)
			text.textContent = text.full.slice(0, Math.max(1, Math.floor(text.full.length * room / need) - 1)) + '\u2026';
	}
}

/* Head and tools stay in sight while the picture scrolls. */
function pin() {
	head.setAttribute('transform', 'translate(0,' + Math.max(0, window.scrollY) + ')');
}

/* ---- tooltip ---- */

const tipObject = make('foreignObject', { width: 570, height: 10, style: 'pointer-events:none' }, root);
const tip = make('div', { class: 'tip', role: 'tooltip' }, tipObject, HTML);
tip.style.display = 'none';

function tipRows(i) {
	const rows = [], k = state.side, all = total[0];
	const row = (name, v, of) => rows.push([name, ...amount(v), of === undefined ? '' : percent(v, of)]);
	if (data.diff) {
		const before = data.total0[i], after = data.total1[i], change = after - before * data.before_scale;
		row('before', before, data.total0[0]);
		row('after', after, data.total1[0]);
		const [main, exact] = amount(Math.abs(change)), sign = change > 0 ? '+' : change < 0 ? '\u2212' : '';
		rows.push(['change', sign + main, exact && sign + exact, before > 0 ? sign + percent(Math.abs(change), before * data.before_scale) : 'new',
			change > 0 ? 'grew' : change < 0 ? 'shrank' : '']);
		return rows;
	}
	row('total', total[i], all);
	row('self', data['self' + k][i], all);
	if (i > 0 && data.parent[i] > 0)
		rows.push(['of its caller', percent(total[i], total[data.parent[i]]), '', '']);
	if (!data.period_ns && data.unit === 'bytes')
		rows.push(['blocks', whole(data['count' + k][i]), '', '']);
	return rows;
}

function whereOf(i) {
	const f = functionOf(i);
	if (!f)
		return '';
	const source = f[3] ? f[3] + (f[4] ? ':' + f[4] : '') : '';
	return [f[2], source, f[5] ? 'inlined' : ''].filter(Boolean).join(' \u00b7 ');
}

function tipLines(i) {
	return [nameOf(i), whereOf(i), ...tipRows(i).map((r) => r.slice(0, 4).filter(Boolean).join(' '))].filter(Boolean);
}

function showTip(i, clientX, clientY) {
	tip.replaceChildren();
	make('b', {}, tip, HTML).textContent = nameOf(i);
	const where = whereOf(i);
	if (where)
		make('i', {}, tip, HTML).textContent = where;
	const table = make('table', {}, tip, HTML);
	for (const r of tipRows(i)) {
		const tr = make('tr', r[4] ? { class: r[4] } : {}, table, HTML);
		make('th', {}, tr, HTML).textContent = r[0];
		for (let c = 1; c < 4; c++)
			make('td', {}, tr, HTML).textContent = r[c];
	}
	tip.style.display = '';
	tip.dataset.frame = i;
	const box = tip.getBoundingClientRect(), page = root.getBoundingClientRect();
	let left = clientX + 14, topY = clientY + 16;
	if (left + box.width > window.innerWidth - 6)
		left = Math.max(6, window.innerWidth - 6 - box.width);
	if (topY + box.height > window.innerHeight - 6)
		topY = Math.max(6, clientY - 12 - box.height);
	tipObject.setAttribute('x', left - page.left);
	tipObject.setAttribute('y', topY - page.top);
}

function hideTip() {
	tip.style.display = 'none';
	delete tip.dataset.frame;
}

/* ---- actions ---- */

function zoomTo(i) {
	if (i === state.zoom)
		return;
	state.undo.push(state.zoom);
	state.zoom = i;
	hideTip();
	render();
}

function undoZoom() {
	if (!state.undo.length)
		return;
	state.zoom = state.undo.pop();
	render();
}

function turnOver() {
	state.inverted = !state.inverted;
	hideTip();
	render();
	scrollToRoot();
}

function scrollToRoot() {
	window.scrollTo(0, state.inverted ? 0 : root.getBoundingClientRect().height);
}

function otherSide() {
	if (!data.diff)
		return;
	state.side = 1 - state.side;
	layOut();
	if (!total[state.zoom])
		state.zoom = 0;
	if (state.hits)
		findHits();
	hideTip();
	render();
}

function pattern(text) {
	/* Capital letters make it sensitive to case. What is no expression is searched as it stands. */
	const flags = /[A-Z]/.test(text) ? 'u' : 'ui';
	try {
		return new RegExp(text, flags);
	} catch (e) {
		return new RegExp(text.replace(/[\\^$.*+?()[\]{}|\/]/g, '\\$&'), flags);
	}
}

/* A match below a match adds nothing to the share: only the outermost counts. */
function findHits() {
	const expression = pattern(state.query);
	const byFunction = data.functions.map((f) => expression.test(f[0]));
	let sum = 0;
	state.hits = new Uint8Array(count);
	covered = new Uint8Array(count);
	for (let i = 1; i < count; i++) {
		state.hits[i] = byFunction[data.function[i] - 1] ? 1 : 0;
		covered[i] = covered[data.parent[i]] || state.hits[i];
		if (state.hits[i] && !covered[data.parent[i]])
			sum += total[i];
	}
	tools.matched.textContent = 'matched ' + percent(sum, total[0]);
	tools.matched.title = amount(sum).filter(Boolean).join(', ');
}

function search(text) {
	state.query = text;
	if (tools.input.value !== text)
		tools.input.value = text;
	if (text) {
		findHits();
	} else {
		state.hits = null;
		tools.matched.textContent = '';
	}
	render();
}

/* The next match in drawing order after the selected frame, or (step -1) before it; around the ends. */
function nextHit(step) {
	if (!state.hits)
		return;
	let i = state.selected < 0 ? (step > 0 ? 0 : count) : state.selected;
	for (let n = 0; n < count; n++) {
		i = (i + step + count) % count;
		if (state.hits[i] && total[i] > 0) {
			reveal(i);
			select(i);
			return;
		}
	}
}

/* Zooms as far out as needed for the frame to be in the view, and as far in as needed for it to have a width. */
function reveal(i) {
	if (drawn.includes(i))
		return;
	state.undo.push(state.zoom);
	state.zoom = total[i] * (geometry.width - 2 * SIDE_PAD) / total[0] >= SMALLEST ? 0 : i;
	render();
}

function select(i) {
	state.selected = i;
	drawSelection();
	const at = place(i), above = top0, below = window.innerHeight - 8;
	if (at.y - window.scrollY < above)
		window.scrollTo(0, at.y - above);
	else if (at.y + FRAME - window.scrollY > below)
		window.scrollTo(0, at.y + FRAME - below);
	const page = root.getBoundingClientRect();
	showTip(i, page.left + at.x + Math.min(at.w, 240) / 2, page.top + at.y + FRAME / 2);
}

function move(key) {
	let to = -1;
	const from = state.selected;
	if (from < 0 || !drawn.includes(from)) {
		to = state.zoom;
	} else if (key === 'ArrowLeft' || key === 'ArrowRight') {
		const next = drawn[drawn.indexOf(from) + (key === 'ArrowRight' ? 1 : -1)];
		if (next !== undefined && depth[next] === depth[from])
			to = next;
	} else if ((key === 'ArrowDown') !== state.inverted) {
		to = from > 0 ? data.parent[from] : -1;
	} else {
		for (const i of drawn)
			if (i > 0 && data.parent[i] === from && (to < 0 || total[i] > total[to]))
				to = i;
	}
	if (to >= 0)
		select(to);
}

function escape() {
	if (state.selected >= 0) {
		state.selected = -1;
		hideTip();
	}
	if (state.zoom) {
		zoomTo(0);
	} else {
		if (state.query)
			search('');
		render();
	}
}

/* ---- links: #zoom=12&search=malloc ---- */

function link() {
	const parts = [];
	if (state.zoom)
		parts.push('zoom=' + state.zoom);
	if (state.query)
		parts.push('search=' + encodeURIComponent(state.query));
	const hash = parts.length ? '#' + parts.join('&') : '';
	if (hash === location.hash)
		return;
	try {
		history.replaceState(null, '', location.pathname + location.search + hash);
	} catch (e) {
		/* Some browsers refuse that for files; the picture works without. */
	}
}

function follow() {
	for (const part of location.hash.slice(1).split('&')) {
		const [key, value] = part.split('=');
		if (key === 'zoom' && /^[0-9]+$/.test(value) && Number(value) < count && total[Number(value)] > 0)
			state.zoom = Number(value);
		if (key === 'search' && value) {
			try {
				state.query = decodeURIComponent(value);
			} catch (e) {
				state.query = value;
			}
		}
	}
}

/* ---- events ---- */

const keys = {
	'/': focusSearch,
	'i': turnOver,
	'b': otherSide,
	'n': () => nextHit(1),
	'p': () => nextHit(-1),
	'N': () => nextHit(-1),
	'u': undoZoom,
	'Backspace': undoZoom,
	'Home': () => select(0),
	'Escape': escape,
	'Enter': () => state.selected >= 0 && (state.selected === state.zoom ? undoZoom() : zoomTo(state.selected)),
};

function focusSearch() {
	tools.input.focus();
	tools.input.select();
}

function onKey(event) {
	const typing = event.target === tools.input;
	const command = event.ctrlKey || event.metaKey;
	let act = null;
	if ((command && event.key === 'f') || event.key === 'F3')
		act = focusSearch;
	else if (command || event.altKey)
		return;
	else if (typing && event.key === 'Escape')
		act = () => { search(''); tools.input.blur(); };
	else if (typing && event.key === 'Enter')
		act = () => { tools.input.blur(); nextHit(event.shiftKey ? -1 : 1); };
	else if (typing || (event.key === 'Enter' && event.target.localName === 'button'))
		return;
	else if (event.key.startsWith('Arrow'))
		act = () => move(event.key);
	else
		act = keys[event.key];
	if (act) {
		event.preventDefault();
		act();
	}
}

function frameAt(event) {
	const g = event.target.closest && event.target.closest('g.f');
	return g && g.frame !== undefined ? g.frame : -1;
}

function start() {
	const probe = make('text', { x: -9999, y: 0 }, make('g', { class: 'f' }, root));
	probe.textContent = 'M'.repeat(20);
	charWidth = probe.getComputedTextLength() / 20 || charWidth;
	probe.parentNode.remove();
	makeTools();
	layOut();
	follow();
	if (state.query) {
		tools.input.value = state.query;
		findHits();
	}
	render();
	scrollToRoot();
	window.addEventListener('keydown', onKey);
	window.addEventListener('scroll', () => { hideTip(); pin(); });
	window.addEventListener('resize', render);
	root.addEventListener('click', (e) => {
		const i = frameAt(e);
		if (i >= 0) {
			state.selected = -1;
			zoomTo(i);
		}
	});
	root.addEventListener('mousemove', (e) => {
		const i = frameAt(e);
		if (i >= 0)
			showTip(i, e.clientX, e.clientY);
		else
			hideTip();
	});
	root.addEventListener('mouseleave', hideTip);
	root.setAttribute('data-ready', 'true');
}

start();
})();
