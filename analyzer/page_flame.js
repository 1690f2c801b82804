/*
 * The flame graph of a view, on a canvas: any number of frames, of which those are drawn that are wide enough to be seen; a walk
 * leaves out whole subtrees that are not. Mouse: click zooms, moving tells. Keyboard as in the SVG picture.
 * Zoom is a path of functions from the root, so that it outlives a new range of time.
 */
const FRAME = 20, TEXT_PAD = 5, SMALLEST = 0.4, MOST_LEVELS = 400, COLOURS = 24, DIFF_STEPS = 10;

/* The palette of flamegraph.c: warm for time, green for memory; the same name has the same colour in every picture. */
function nameColour(f, time, dark) {
	if (!f)
		return dark ? '#8b8d92' : '#d3d0ca';
	if (f.group)
		return dark ? '#9aa7c7' : '#c9d3ec';
	if (f.special)
		return dark ? '#7d8088' : '#c3c5cb';
	let h = 2166136261;
	for (const byte of nameBytes.encode(f.name))
		h = Math.imul(h ^ byte, 16777619) >>> 0;
	h = (h ^ h >>> 15) >>> 0;
	if (f.nameless)
		return `hsl(${time ? 40 : 110},${dark ? 14 : 22}%,${(dark ? 60 : 76) + 2 * (h % 4)}%)`;
	const i = h % COLOURS, hue = (time ? 6 : 82) + (i * 7 % COLOURS) * (time ? 48 : 76) / COLOURS;
	return `hsl(${hue.toFixed(0)},${time ? (dark ? 68 : 86) : dark ? 36 : 48}%,${(dark ? 56 : 66) + i % 4 * 3}%)`;
}
const nameBytes = new TextEncoder();

function diffColour(change, largest, dark) {
	if (change.noise || !change.delta || !largest)
		return dark ? '#6d7077' : '#dddad4';
	const same = dark ? 80 : 95, step = Math.max(1, Math.round(Math.sqrt(Math.min(1, Math.abs(change.delta) / largest)) * DIFF_STEPS));
	return `hsl(${change.delta > 0 ? 6 : 212},84%,${same - step * (same - 60) / DIFF_STEPS}%)`;
}

class Flame {
	/* `on`: {zoom(path), tip(lines or null, x, y), changed()} */
	constructor(on) {
		this.on = on;
		this.canvas = el('canvas', { class: 'flame', tabindex: '0', role: 'application', id: 'flame',
			'aria-label': 'Flame graph. Arrows move, Enter zooms, Backspace undoes, Escape shows all.' });
		this.said = el('div', { class: 'unseen', 'aria-live': 'polite', id: 'said' });
		this.path = [];
		this.undo = [];
		this.selected = -1;
		this.icicle = true;
		this.widths = 'both';
		this.hits = null;
		this.rows = [];
		this.canvas.addEventListener('mousemove', (e) => this.hover(e));
		this.canvas.addEventListener('mouseleave', () => this.on.tip(null));
		this.canvas.addEventListener('click', (e) => this.click(e));
		this.canvas.addEventListener('keydown', (e) => this.key(e));
		this.canvas.addEventListener('focus', () => this.draw());
		this.canvas.addEventListener('blur', () => this.draw());
	}

	/* ---- what is shown ---- */

	show(view) {
		this.view = view;
		this.selected = -1;
		this.weigh();
		if (this.query)
			this.search(this.query);
		this.colours = new Map();
		this.draw();
	}

	/* Widths: of the one profile; of two, what both had (so that what is gone and what is new are seen), or one side's. */
	weigh() {
		const { view } = this, [a, b] = view.total;
		if (!view.diff) {
			this.total = a;
			return;
		}
		if (this.widths === 'both')
			this.total = a.map((x, i) => x * view.scale + b[i]);
		else
			this.total = this.widths === 'after' ? b : a;
		this.largest = 0;
		for (let i = 1; i < a.length; i++)
			this.largest = Math.max(this.largest, Math.abs(b[i] - a[i] * view.scale));
	}

	child(node, func) {
		const { tree } = this.view;
		for (let i = node + 1; i < tree.end[node]; i = tree.end[i])
			if (tree.func[i] === func && this.total[i])
				return i;
		return -1;
	}

	/* The node that the path leads to, or as far as it leads. */
	zoomed() {
		let at = 0;
		for (const f of this.path) {
			const next = this.child(at, f);
			if (next < 0)
				break;
			at = next;
		}
		return at;
	}

	pathOf(node) {
		const { tree } = this.view, path = [];
		for (; node > 0; node = tree.parent[node])
			path.unshift(tree.func[node]);
		return path;
	}

	nameOf(node) {
		return node === 0 ? 'all' : this.view.functions[this.view.tree.func[node]].name;
	}

	colourOf(node) {
		const { view } = this, f = view.tree.func[node];
		if (view.diff)
			return diffColour(changeOf(view, view.total[0][node], view.total[1][node]), this.largest, this.dark);
		if (!this.colours.has(f))
			this.colours.set(f, nameColour(view.functions[f], view.metric.period_ns > 0, this.dark));
		return this.colours.get(f);
	}

	/* ---- layout ---- */

	/* Rows of frames {node, x, w}: callers of the zoomed frame as wide as the picture, below them what is wide enough. */
	layOut(width) {
		const { tree } = this.view, zoom = this.zoomed(), scale = width / (this.total[zoom] || 1), base = tree.depth[zoom];
		const rows = [], cursor = [];
		for (let i = zoom; ; i = tree.parent[i]) {
			rows[tree.depth[i]] = [{ node: i, x: 0, w: width, above: i !== zoom }];
			if (i === 0)
				break;
		}
		this.hidden = this.deeper = 0;
		cursor[base + 1] = 0;
		for (let i = zoom + 1; i < tree.end[zoom];) {
			const d = tree.depth[i], w = this.total[i] * scale, x = cursor[d];
			cursor[d] += w;
			if (w < SMALLEST || d >= MOST_LEVELS) {
				if (d >= MOST_LEVELS)
					this.deeper++;
				else if (w > 0)
					this.hidden++;
				i = tree.end[i];
				continue;
			}
			(rows[d] = rows[d] || []).push({ node: i, x, w, above: false });
			cursor[d + 1] = x;
			i++;
		}
		this.rows = rows;
		this.zoomNode = zoom;
		return rows;
	}

	top(level) {
		return (this.icicle ? level : this.levels - 1 - level) * FRAME;
	}

	draw() {
		if (!this.view || !this.canvas.isConnected)
			return;
		const width = Math.max(200, this.canvas.parentNode.clientWidth), ratio = Math.min(2, window.devicePixelRatio || 1);
		this.dark = document.documentElement.dataset.dark === 'true';
		if (this.wasDark !== this.dark)
			this.colours = new Map();
		this.wasDark = this.dark;
		this.levels = Math.max(this.layOut(width).length, 4);
		this.width = width;
		this.canvas.width = width * ratio;
		this.canvas.height = this.levels * FRAME * ratio;
		this.canvas.style.height = this.levels * FRAME + 'px';
		const c = this.context = this.canvas.getContext('2d');
		c.scale(ratio, ratio);
		c.font = '12px ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace';
		this.charWidth = c.measureText('M').width;
		c.textBaseline = 'middle';
		for (const row of this.rows)
			for (const f of row || [])
				this.drawFrame(c, f);
		this.drawSelection(c);
		this.on.changed();
	}

	drawFrame(c, f) {
		const y = this.top(this.view.tree.depth[f.node]), hit = this.hits && f.node > 0 && this.hits[this.view.tree.func[f.node]];
		c.globalAlpha = f.above ? 0.55 : this.hits && !hit ? 0.35 : 1;
		c.fillStyle = hit ? cssColour('--mark') : this.colourOf(f.node);
		c.fillRect(f.x, y, f.w > 1.6 ? f.w - 0.6 : f.w, FRAME - 1);
		const room = Math.floor((f.w - 2 * TEXT_PAD) / this.charWidth);
		if (room < 3)
			return;
		c.globalAlpha = 1;
		c.fillStyle = hit ? '#ffffff' : this.hits && this.dark && !hit ? cssColour('--ink') : '#17181b';
		if (f.above && this.dark)
			c.fillStyle = cssColour('--ink');
		c.fillText(this.label(f.node, room), f.x + TEXT_PAD, y + FRAME / 2);
	}

	label(node, room) {
		let text = this.nameOf(node);
		if (text.length > room && node > 0)
			text = this.view.functions[this.view.tree.func[node]].brief;
		const points = text.length > room ? Array.from(text) : null;
		return points && points.length > room ? points.slice(0, room - 1).join('') + '\u2026' : text;
	}

	frameOf(node) {
		return (this.rows[this.view.tree.depth[node]] || []).find((f) => f.node === node);
	}

	drawSelection(c) {
		const f = this.selected >= 0 && this.frameOf(this.selected);
		if (!f)
			return;
		c.globalAlpha = 1;
		c.strokeStyle = cssColour('--ink');
		c.lineWidth = 2;
		c.strokeRect(f.x + 1, this.top(this.view.tree.depth[f.node]) + 1, Math.max(f.w - 2, 2), FRAME - 3);
	}

	/* ---- words ---- */

	/* [[label, amount, exact, share], ...] */
	figures(node) {
		const { view } = this, m = view.metric, total = view.total.map((t) => t[node]);
		const row = (name, k, v) => [name, amountText(m, v), exactText(m, v), percentText(v, view.total[k][0])];
		if (!view.diff) {
			const out = [row('total', 0, total[0]), row('self', 0, view.self[0][node])];
			if (view.variance[0])
				out[0][3] += ' ' + errorText(m, total[0], total[0] * view.variance[0]);
			if (node > 0 && view.tree.parent[node] > 0)
				out.push([view.reversed ? 'of its callee' : 'of its caller', percentText(total[0], view.total[0][view.tree.parent[node]]), '', '']);
			return out;
		}
		const change = changeOf(view, total[0], total[1]), base = total[0] * view.scale;
		return [row('before', 0, total[0]), row('after', 1, total[1]),
			['change', signOf(change.delta) + amountText(m, Math.abs(change.delta)), change.variance ? '\u00b1' + NBSP + amountText(m, Z95 * Math.sqrt(change.variance)) : '',
				!total[0] ? 'new' : !total[1] ? 'vanished' : signOf(change.delta) + percentText(Math.abs(change.delta), base)],
			...(change.noise ? [['', 'within the sampling error', '', '']] : [])];
	}

	describe(node) {
		const f = this.view.functions[this.view.tree.func[node]];
		const where = f ? [f.module, f.file ? f.file + (f.line ? ':' + f.line : '') : ''].filter(Boolean).join(' \u00b7 ') : '';
		return { name: this.nameOf(node), where, rows: this.figures(node) };
	}

	/* ---- mouse ---- */

	at(event) {
		if (!this.view)
			return -1;
		const box = this.canvas.getBoundingClientRect(), x = event.clientX - box.left;
		const line = Math.floor((event.clientY - box.top) / FRAME), row = this.rows[this.icicle ? line : this.levels - 1 - line] || [];
		let low = 0, high = row.length - 1;
		while (low < high) {
			const mid = (low + high + 1) >> 1;
			if (row[mid].x <= x)
				low = mid;
			else
				high = mid - 1;
		}
		return row[low] && x >= row[low].x && x <= row[low].x + row[low].w ? row[low].node : -1;
	}

	hover(event) {
		const node = this.at(event);
		this.canvas.style.cursor = node >= 0 ? 'pointer' : '';
		this.on.tip(node >= 0 ? this.describe(node) : null, event.clientX, event.clientY);
	}

	click(event) {
		const node = this.at(event);
		if (node < 0)
			return;
		this.selected = -1;
		this.zoom(this.pathOf(node));
	}

	/* ---- actions ---- */

	zoom(path, silent) {
		if (path.join() === this.path.join())
			return;
		if (!silent)
			this.undo.push(this.path);
		this.path = path;
		this.on.tip(null);
		this.on.zoom(path);
	}

	back() {
		if (this.undo.length)
			this.zoom(this.undo.pop(), true);
	}

	search(text) {
		this.query = text;
		this.hits = null;
		this.matched = '';
		if (text) {
			const expression = pattern(text), { tree } = this.view, names = this.view.functions.map((f) => expression.test(f.name));
			let sum = 0;
			this.hits = names;
			for (let i = 1; i < tree.count;) { /* a match below a match adds nothing to the share */
				if (!names[tree.func[i]] || !this.total[i]) {
					i++;
					continue;
				}
				sum += this.total[i];
				i = tree.end[i];
			}
			this.matched = 'matched ' + percentText(sum, this.total[0]);
		}
		this.draw();
	}

	nextHit(step) {
		if (!this.view || !this.hits)
			return;
		const { tree } = this.view;
		let i = this.selected < 0 ? (step > 0 ? 0 : tree.count) : this.selected;
		for (let n = 0; n < tree.count; n++) {
			i = (i + step + tree.count) % tree.count;
			if (i > 0 && this.hits[tree.func[i]] && this.total[i] > 0) {
				if (!this.frameOf(i))
					this.zoom(this.total[i] * this.width / (this.total[0] || 1) >= SMALLEST ? [] : this.pathOf(i));
				this.select(i);
				return;
			}
		}
	}

	select(node) {
		this.selected = node;
		this.draw();
		const f = this.frameOf(node), box = this.canvas.getBoundingClientRect();
		if (!f)
			return;
		const words = this.describe(node), y = box.top + this.top(this.view.tree.depth[node]);
		if (y < 0 || y + FRAME > window.innerHeight)
			window.scrollBy(0, y - window.innerHeight / 2);
		const moved = this.canvas.getBoundingClientRect();
		this.on.tip(words, moved.left + f.x + Math.min(f.w, 240) / 2, moved.top + this.top(this.view.tree.depth[node]) + FRAME / 2);
		this.said.textContent = [words.name, ...words.rows.map((r) => r.filter(Boolean).join(' '))].join(', ');
	}

	move(key) {
		const { tree } = this.view, from = this.selected;
		if (from < 0 || !this.frameOf(from))
			return this.select(this.zoomNode);
		if (key === 'ArrowLeft' || key === 'ArrowRight') {
			const row = this.rows[tree.depth[from]], next = row[row.findIndex((f) => f.node === from) + (key === 'ArrowRight' ? 1 : -1)];
			return next && this.select(next.node);
		}
		if ((key === 'ArrowUp') === this.icicle)
			return from > 0 && this.select(tree.parent[from]);
		let to = -1;
		for (const f of this.rows[tree.depth[from] + 1] || [])
			if (tree.parent[f.node] === from && (to < 0 || this.total[f.node] > this.total[to]))
				to = f.node;
		return to >= 0 && this.select(to);
	}

	escape() {
		this.on.tip(null);
		if (this.selected >= 0) {
			this.selected = -1;
			this.draw();
		} else if (this.path.length) {
			this.zoom([]);
		} else {
			this.on.clearSearch();
		}
	}

	key(event) {
		if (!this.view)
			return;
		const keys = { Enter: () => this.selected >= 0 && (this.selected === this.zoomNode ? this.back() : this.zoom(this.pathOf(this.selected))),
			Backspace: () => this.back(), u: () => this.back(), Escape: () => this.escape(), Home: () => this.select(0), n: () => this.nextHit(1),
			p: () => this.nextHit(-1), N: () => this.nextHit(-1), i: () => this.on.turn() };
		if (event.ctrlKey || event.metaKey || event.altKey)
			return;
		const act = event.key.startsWith('Arrow') ? () => this.move(event.key) : keys[event.key];
		if (!act)
			return;
		event.preventDefault();
		event.stopPropagation();
		act();
	}
}
