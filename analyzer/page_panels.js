/*
 * The panels under the timeline: what each shows of the view, and when it is there. A panel is {title(), there(), element(),
 * show(view)}; elements are made once, so that what was typed and scrolled stays.
 */
const functionButton = (f, text) => el('button', { type: 'button', class: 'link', title: 'Find it in the flame graph', onclick: () => set({ tab: 'flame', query: '^' + f.name.replace(/[\\^$.*+?()[\]{}|\/]/g, '\\$&') + '$', path: '' }) }, text || f.name);
const moduleOf = (f) => f.base + (f.file ? ` \u00b7 ${f.file.slice(f.file.lastIndexOf('/') + 1)}${f.line ? ':' + f.line : ''}` : '');
const withError = (metric, value, variance) => (value ? [amountText(metric, value), variance ? el('small', {}, ' ' + errorText(metric, value, value * variance)) : ''] : '\u2013');
const once = (make) => {
	let made = null;
	return () => (made = made || make());
};

/* ---- flame graph ---- */

const flamePanel = {
	title: () => 'Flame graph',
	there: () => true,
	element: once(() => {
		const p = flamePanel;
		const button = (id, act, title) => el('button', { type: 'button', id, title, onclick: act });
		p.search = el('input', { type: 'search', id: 'search', placeholder: 'Search (regexp)', 'aria-label': 'Search the flame graph', spellcheck: 'false', oninput: (e) => set({ query: e.target.value }),
			onkeydown: (e) => {
				if (e.key === 'Enter') {
					flame.nextHit(e.shiftKey ? -1 : 1);
					flame.canvas.focus({ preventScroll: true });
				} else if (e.key === 'Escape') {
					set({ query: '' });
				}
			} });
		p.matched = el('output', { id: 'matched' });
		p.reset = button('reset', () => flame.zoom([]), 'Show everything again (Esc)');
		p.reset.textContent = 'Reset zoom';
		p.undo = button('undo', () => flame.back(), 'The zoom before (Backspace)');
		p.undo.textContent = 'Undo';
		p.turn = button('turn', () => set({ up: !state.up }), 'Root at the top or at the bottom (i)');
		p.reverse = button('reverse', () => set({ reverse: !state.reverse }), 'Stacks leaf first: what each hot function was called by');
		p.group = el('span');
		p.note = el('p', { class: 'scope', id: 'left' });
		return el('section', {}, el('div', { class: 'tools' }, p.search, p.matched, p.group, p.reverse, p.turn, p.undo, p.reset), parts.picture, p.note, flame.said);
	}),
	show(view) {
		const timed = view && !view.diff && view.metric.period_ns, p = flamePanel;
		if (!view)
			return;
		if (p.search.value !== state.query)
			p.search.value = state.query;
		const focused = document.activeElement && document.activeElement.id;
		p.group.replaceChildren(...(view.diff
			? [choice('Widths', [['both', 'before and after'], ['after', 'after'], ['before', 'before']], state.widths, (v) => set({ widths: v }), 'widths'),
				choice('Compare', [['none', 'amounts'], ['duration', 'per second'], ['requests', 'per request'], ['share', 'shares']], state.normal, (v) => set({ normal: v }), 'normal')]
			: timed ? [choice('Group by', [['none', 'nothing'], ['thread', 'thread'], ['route', 'route']].filter((o) => o[0] !== 'route' || current().requests), state.group, (v) => set({ group: v }), 'group')] : []));
		if (['widths', 'normal', 'group'].includes(focused))
			document.getElementById(focused).focus();
		p.reverse.textContent = state.reverse ? 'Callees' : 'Callers';
		p.reverse.setAttribute('aria-pressed', String(state.reverse));
		p.turn.textContent = state.up ? 'Icicle' : 'Flame';
		flame.icicle = !state.up;
		flame.widths = state.widths;
		flame.query = state.query;
		flame.path = state.path ? state.path.split('.').map(Number) : [];
		flame.hits = null;
		flame.matched = '';
		flame.show(flameView(view));
	},
	tools() {
		const p = flamePanel, words = [];
		p.matched.textContent = flame.matched || '';
		p.reset.disabled = !flame.path.length;
		p.undo.disabled = !flame.undo.length;
		if (!flame.total[0])
			words.push('Nothing of it falls into what is looked at.');
		if (flame.hidden)
			words.push(`${whole(flame.hidden)} frames too narrow to draw here; zoom in to see them.`);
		if (flame.view.left)
			words.push(`${whole(flame.view.left)} callers narrower than half a pixel are counted with the frame below them.`);
		if (flame.deeper)
			words.push(`${whole(flame.deeper)} frames below level ${MOST_LEVELS} are not drawn.`);
		if (flame.view.diff)
			words.push('Red grew, blue shrank, grey is the same or within the sampling error (95 %).');
		p.note.textContent = words.join(' ');
	},
};

/* ---- functions ---- */

function functionRows(view) {
	const [own0, all0] = functionSums(view.tree, view.self[0], view.total[0], view.functions.length), rows = [];
	const [own1, all1] = view.diff ? functionSums(view.tree, view.self[1], view.total[1], view.functions.length) : [null, null];
	for (let i = 0; i < view.functions.length; i++)
		if (all0[i] || (view.diff && all1[i]))
			rows.push(view.diff ? { f: view.functions[i], own: [own0[i], own1[i]], all: [all0[i], all1[i]], change: changeOf(view, all0[i], all1[i]), self: changeOf(view, own0[i], own1[i]) }
				: { f: view.functions[i], own: own0[i], all: all0[i] });
	return rows;
}

const nameColumn = { key: 'name', title: 'Function', show: (r) => functionButton(r.f), sort: (r) => r.f.name, css: 'fn' };
const placeColumn = { key: 'module', title: 'Module', hint: 'Module and source file', show: (r) => el('span', { title: [r.f.module, r.f.file].filter(Boolean).join(' ') }, moduleOf(r.f)), sort: (r) => moduleOf(r.f), css: 'place' };
const viewMetric = () => parts.view.metric;

function plainFunctions() {
	const share = (key) => (r) => percentText(r[key], parts.view.total[0][0]);
	return new Table({ id: 'functions', title: 'functions', sort: 'own', find: (r) => r.f.name + '\n' + r.f.module, columns: [
		{ key: 'own', title: 'Self', number: true, hint: 'In the function itself', show: (r) => withError(viewMetric(), r.own, parts.view.variance[0]), sort: (r) => r.own },
		{ key: 'ownShare', title: '%', number: true, show: share('own'), sort: (r) => r.own, css: 'share' },
		{ key: 'all', title: 'Total', number: true, hint: 'In it and all it called', show: (r) => withError(viewMetric(), r.all, parts.view.variance[0]), sort: (r) => r.all },
		{ key: 'allShare', title: '%', number: true, show: share('all'), sort: (r) => r.all, css: 'share' }, nameColumn, placeColumn] });
}

function changeCell(r, key) {
	const c = r[key], words = signOf(c.delta) + amountText(viewMetric(), Math.abs(c.delta));
	return el('span', { class: c.noise ? 'same' : c.delta > 0 ? 'grew' : c.delta < 0 ? 'shrank' : 'same', title: c.noise ? 'within the sampling error' : '' },
		c.delta ? words : '\u2013', c.variance ? el('small', {}, ` \u00b1${NBSP}${amountText(viewMetric(), Z95 * Math.sqrt(c.variance))}`) : '');
}

function diffFunctions() {
	const side = (k) => ({ key: 'side' + k, title: k ? 'After' : 'Before', number: true, show: (r) => (r.all[k] ? amountText(viewMetric(), r.all[k]) : '\u2013'), sort: (r) => r.all[k] });
	return new Table({ id: 'changes', title: 'functions', sort: 'change', find: (r) => r.f.name + '\n' + r.f.module, css: (r) => (r.change.noise ? 'noise' : ''), columns: [
		{ key: 'change', title: 'Change', number: true, hint: 'Of it and all it called', show: (r) => changeCell(r, 'change'), sort: (r) => r.change.delta },
		{ key: 'self', title: 'Self', number: true, hint: 'Of the function itself', show: (r) => changeCell(r, 'self'), sort: (r) => r.self.delta }, side(0), side(1),
		{ key: 'state', title: '', show: (r) => (!r.all[0] ? 'new' : !r.all[1] ? 'vanished' : ''), sort: (r) => (!r.all[0] ? 2 : !r.all[1] ? 1 : 0) }, nameColumn, placeColumn] });
}

const functionPanel = {
	title: () => 'Functions',
	there: () => true,
	tables: [once(plainFunctions), once(diffFunctions)],
	element: () => functionPanel.tables[base() ? 1 : 0]().element,
	show(view) {
		functionPanel.tables[view && view.diff ? 1 : 0]().show(view ? functionRows(view) : []);
	},
};

/* ---- threads, routes ---- */

function sumsBy(keyOf, filter) {
	const sums = new Map();
	eachValue(current(), metricNow(), filter, (node, value, thread, request) => {
		const key = keyOf(thread, request);
		sums.set(key, (sums.get(key) || 0) + value);
	});
	return sums;
}

const threadPanel = {
	title: () => 'Threads',
	there: () => !base() && current().metrics.some((m) => m.period_ns && !m.ofRequest),
	table: once(() => new Table({ id: 'threads', title: 'threads', sort: 'value', find: (r) => `${r.name}\n${r.tid}`, columns: [
		{ key: 'value', title: 'Time', number: true, show: (r) => withError(metricNow(), r.value, 1), sort: (r) => r.value },
		{ key: 'share', title: '%', number: true, show: (r) => percentText(r.value, r.all), sort: (r) => r.value, css: 'share' },
		{ key: 'tid', title: 'Thread', number: true, show: (r) => (r.tid ? String(r.tid) : '\u2013'), sort: (r) => r.tid },
		{ key: 'name', title: 'Name', show: (r) => el('button', { type: 'button', class: 'link', title: 'Look at this thread alone', onclick: () => set({ tid: r.tid, tab: 'flame' }) }, r.name || '(no name)'), sort: (r) => r.name, css: 'fn' },
		{ key: 'lived', title: 'Lived', show: (r) => `${secondsText(r.from, 1)} to ${r.to ? secondsText(r.to, 1) : 'the end'}`, sort: (r) => r.from }] })),
	element: () => threadPanel.table().element,
	show() {
		const rec = current(), timed = metricNow().period_ns > 0;
		const sums = timed ? sumsBy((thread) => (thread < 0 ? 0 : rec.threads[thread][0]), { ...filterNow(), tid: null }) : new Map();
		const all = sumOf([...sums.values()]), rows = new Map();
		for (const [tid, name, from, to] of rec.threads)
			if (sums.get(tid) && !rows.has(tid))
				rows.set(tid, { tid, name, from, to, value: sums.get(tid), all });
		threadPanel.table().options.empty = timed ? undefined : 'This metric is not recorded by thread here; choose one of time.';
		threadPanel.table().show([...rows.values()]);
	},
};

function routeRows() {
	const rec = current(), q = rec.requests, rows = q.routes.map((r, i) => ({ i, name: r.join(' '), count: 0, kept: 0, durations: [], failed: 0 }));
	for (const [route, status, count] of q.figures) {
		rows[route].count += count;
		rows[route].failed += status >= 500 ? count : 0;
	}
	for (const [route, , , p50, p99, max] of q.figures) {
		rows[route].max = Math.max(rows[route].max || 0, max);
		rows[route].figures = (rows[route].figures || 0) + 1;
		rows[route].p50 = p50;
		rows[route].p99 = p99;
	}
	const metric = metricNow(), sums = metric.period_ns ? sumsBy((thread, request) => routeOf(rec, request), { ...filterNow(), from: state.from === null ? 0 : state.from, to: state.to === null ? Infinity : state.to }) : new Map();
	for (const i of requestIndices())
		if (q.list.route[i] >= 0)
			rows[q.list.route[i]].kept++;
	for (const row of rows)
		row.value = sums.get(row.i) || 0;
	return rows.filter((r) => r.count || r.kept);
}

const several = (r, ns) => (r.figures > 1 ? '\u2013' : timeText(ns));
const routePanel = {
	title: () => 'Routes',
	there: () => !base() && Boolean(current().requests) && Boolean(metricNow()),
	table: once(() => new Table({ id: 'routes', title: 'routes', sort: 'value', find: (r) => r.name, columns: [
		{ key: 'name', title: 'Route', show: (r) => el('button', { type: 'button', class: 'link', title: 'Look at this route alone', onclick: () => set({ route: r.i, request: null, tab: 'flame' }) }, r.name), sort: (r) => r.name, css: 'fn' },
		{ key: 'value', title: 'Time', number: true, hint: 'Of the chosen metric, in samples that fell into its requests', show: (r) => withError(metricNow(), r.value, 1), sort: (r) => r.value },
		{ key: 'count', title: 'Answered', number: true, hint: 'In the whole recording', show: (r) => whole(r.count), sort: (r) => r.count },
		{ key: 'failed', title: '5xx', number: true, show: (r) => (r.failed ? whole(r.failed) : '\u2013'), sort: (r) => r.failed },
		{ key: 'p50', title: 'Median', number: true, hint: 'Within 1.6 %; of the whole recording; unknown across several statuses', show: (r) => several(r, r.p50), sort: (r) => r.p50 },
		{ key: 'p99', title: 'p99', number: true, show: (r) => several(r, r.p99), sort: (r) => r.p99 },
		{ key: 'max', title: 'Longest', number: true, show: (r) => timeText(r.max || 0), sort: (r) => r.max },
		{ key: 'kept', title: 'Kept here', number: true, hint: 'Requests that are known one by one, in the range', show: (r) => whole(r.kept), sort: (r) => r.kept }] })),
	element: () => routePanel.table().element,
	show: () => routePanel.table().show(routeRows()),
};

/* ---- requests ---- */

/* Those that were under way in the range, of the thread and route that are looked at. */
function requestIndices() {
	const rec = current(), q = rec.requests.list, out = [];
	for (let i = 0; i < rec.requestCount; i++)
		if ((state.from === null || (q.start_us[i] < state.to && q.start_us[i] + q.duration_us[i] >= state.from))
			&& (state.route === null || q.route[i] === state.route) && (state.tid === null || rec.threads[q.thread[i]][0] === state.tid))
			out.push(i);
	return out;
}

function samplesOfRequests() {
	const counts = new Float64Array(current().requestCount);
	for (const name of ['cpu', 'off-cpu']) {
		const m = metricOf(current(), name);
		for (let i = 0; m && i < m.samples.count; i++)
			if (m.samples.request[i] && m.samples.request[i] <= counts.length)
				counts[m.samples.request[i] - 1] += m.samples.weight[i];
	}
	return counts;
}

function lookAtRequest(i) {
	const rec = current();
	set({ request: i, route: null, from: null, to: null, tid: null, tab: 'flame', path: '', metric: rec.metrics.some((m) => m.ofRequest) ? 'cpu+off-cpu' : metricOf(rec, 'wall') ? 'wall' : 'cpu' });
}

const requestPanel = {
	title: () => 'Requests',
	there: () => !base() && Boolean(current().requestCount),
	table: once(() => new Table({ id: 'requests', title: 'requests', sort: 'duration', find: (r) => `${r.method} ${r.path}\n${r.status}`, css: (r) => (r.late ? 'late' : ''), columns: [
		{ key: 'duration', title: 'Took', number: true, show: (r) => timeText(r.duration * 1000) + (r.answered ? '' : ' so far'), sort: (r) => r.duration },
		{ key: 'path', title: 'Request', show: (r) => el('button', { type: 'button', class: 'link', title: 'Its flame graph', onclick: () => lookAtRequest(r.i) }, `${r.method} ${r.path}`), sort: (r) => r.path, css: 'fn' },
		{ key: 'status', title: 'Status', number: true, show: (r) => (r.answered ? String(r.status || '\u2013') : 'under way'), sort: (r) => r.status },
		{ key: 'samples', title: 'Samples', number: true, hint: 'Of CPU and of waiting, that fell into it', show: (r) => whole(r.samples), sort: (r) => r.samples },
		{ key: 'first', title: 'First byte', number: true, show: (r) => (r.first >= 0 ? timeText(r.first * 1000) : '\u2013'), sort: (r) => r.first },
		{ key: 'start', title: 'Began', number: true, show: (r) => secondsText(r.start, 3), sort: (r) => r.start },
		{ key: 'size', title: 'Sent', number: true, show: (r) => bytesText(r.size), sort: (r) => r.size },
		{ key: 'thread', title: 'Thread', number: true, show: (r) => String(r.tid), sort: (r) => r.tid }] })),
	element: () => requestPanel.table().element,
	show() {
		const rec = current(), q = rec.requests.list, samples = samplesOfRequests();
		requestPanel.table().show(requestIndices().map((i) => ({ i, method: q.method[i], path: q.path[i], status: q.status[i], duration: q.duration_us[i], first: q.first_us[i], start: q.start_us[i],
			size: q.bytes_out[i], answered: q.answered[i], tid: rec.threads[q.thread[i]][0], samples: samples[i], late: rec.requests.latency_ns > 0 && q.duration_us[i] * 1000 >= rec.requests.latency_ns })));
	},
};

/* ---- leaks ---- */

function stackOf(rec, node) {
	const list = [];
	for (; node > 0; node = rec.tree.parent[node])
		list.push(rec.functions[rec.tree.func[node]]);
	return list;
}

/* The innermost function that is the program's own business: not an allocator, not a library of the system. */
function headlineOf(stack) {
	return stack.find((f) => !/^(malloc|calloc|realloc|free|strdup|operator new|posix_memalign|aligned_alloc|__libc_|\[)/.test(f.name) && !/^(libc|libstdc\+\+|ld-linux|libperfprobe)[.-]/.test(f.base)) || stack[0];
}

const leakPanel = {
	title: () => 'Leaks',
	there: () => !base() && Boolean(current().leaks),
	stack: el('div', { class: 'stack', id: 'leak-stack' }),
	table: once(() => new Table({ id: 'leaks', title: 'leaks', sort: 'bytes', find: (r) => r.stack.map((f) => f.name).join('\n'), empty: 'Nothing that is leaked.', columns: [
		{ key: 'bytes', title: 'Leaked', number: true, show: (r) => [bytesText(r.bytes), r.error ? el('small', {}, ` \u00b1${NBSP}${bytesText(Z95 * r.error)}`) : ''], sort: (r) => r.bytes },
		{ key: 'blocks', title: 'Blocks', number: true, show: (r) => whole(r.blocks), sort: (r) => r.blocks },
		{ key: 'name', title: 'Allocated in', show: (r) => el('button', { type: 'button', class: 'link', title: 'The whole stack', onclick: () => leakPanel.showStack(r) }, headlineOf(r.stack).name), sort: (r) => headlineOf(r.stack).name, css: 'fn' },
		{ key: 'kind', title: 'Kind', hint: 'Direct: nothing points to it. Indirect: another leaked block does', show: (r) => (r.indirect ? 'indirect' : 'direct'), sort: (r) => r.indirect },
		{ key: 'confirmed', title: 'Confirmed', number: true, hint: 'Unreachable in both checks', show: (r) => bytesText(r.confirmed), sort: (r) => r.confirmed },
		{ key: 'oldest', title: 'Oldest', number: true, hint: 'Allocated at', show: (r) => (r.first < 0 ? '\u2013' : secondsText(r.first, 1)), sort: (r) => r.first },
		{ key: 'newest', title: 'Newest', number: true, show: (r) => (r.last < 0 ? '\u2013' : secondsText(r.last, 1)), sort: (r) => r.last }] })),
	element: once(() => el('section', {}, leakPanel.note = el('p', { class: 'scope' }), leakPanel.table().element, leakPanel.stack)),
	showStack(r) {
		leakPanel.stack.replaceChildren(el('h2', {}, `${bytesText(r.bytes)} in ${whole(r.blocks)} blocks, allocated by`), el('ol', {}, ...r.stack.map((f) => el('li', {}, functionButton(f), el('small', {}, ' ' + moduleOf(f))))));
		leakPanel.stack.scrollIntoView({ block: 'nearest' });
	},
	show() {
		const rec = current(), { leaks } = rec;
		const rows = leaks.rows.map((r) => ({ node: r[0] + 1, indirect: r[1], bytes: r[2], blocks: r[3], confirmed: r[4], error: r[5], first: r[6], last: r[7], stack: stackOf(rec, r[0] + 1) }))
			.filter((r) => state.from === null || r.first < 0 || (r.first < state.to && r.last >= state.from));
		leakPanel.note.textContent = `${leaks.checks === 2 ? 'Two checks' : 'One check'} at ${secondsText(leaks.time_us, 1)}; the program stood still for ${timeText(leaks.pause_ns)}.`
			+ (leaks.sampled ? ' Only samples of blocks are known: these are lower bounds.' : '') + (leaks.suppressed ? ` ${whole(leaks.suppressed)} stacks are suppressed.` : '')
			+ (leaks.note ? ' ' + leaks.note : '') + (state.from !== null ? ' Shown: those with blocks allocated in the range.' : '');
		leakPanel.stack.replaceChildren();
		leakPanel.table().show(rows);
	},
};

/* ---- database, the recording itself ---- */

const databasePanel = {
	title: () => 'Database',
	there: () => !base() && current().database.length > 0,
	table: once(() => new Table({ id: 'database', title: 'database calls', sort: 'sum', find: (r) => r.slice(0, 3).join(' '), columns: [
		{ key: 'sum', title: 'Time', number: true, show: (r) => timeText(r[8]), sort: (r) => r[8] }, { key: 'calls', title: 'Calls', number: true, show: (r) => whole(r[3]), sort: (r) => r[3] },
		{ key: 'errors', title: 'Failed', number: true, show: (r) => (r[4] ? whole(r[4]) : '\u2013'), sort: (r) => r[4] }, { key: 'p50', title: 'Median', number: true, show: (r) => timeText(r[5]), sort: (r) => r[5] },
		{ key: 'p99', title: 'p99', number: true, show: (r) => timeText(r[6]), sort: (r) => r[6] }, { key: 'max', title: 'Longest', number: true, show: (r) => timeText(r[7]), sort: (r) => r[7] },
		{ key: 'what', title: 'Operation', show: (r) => `${r[1]} ${r[2]}`, sort: (r) => r[1] + r[2], css: 'fn' }, { key: 'system', title: 'System', show: (r) => r[0], sort: (r) => r[0] }] })),
	element: () => databasePanel.table().element,
	show: () => databasePanel.table().show(current().database),
};

const aboutPanel = {
	title: () => 'Recording',
	there: () => true,
	element: once(() => el('section', { class: 'about', id: 'about' })),
	show() {
		const rec = current(), rows = [['Command', rec.cmdline], ['Written because', rec.because || rec.reason], ['Began', clockText(rec.start_wall_ms)], ['Machine', `${rec.machine}, ${rec.cpus} processors, Linux ${rec.kernel}`],
			['CPU samples', `${rec.hz} a second of CPU time, by ${rec.engine_cpu || 'nothing'}${rec.engine_cpu_why ? ' (' + rec.engine_cpu_why + ')' : ''}`], ['Stacks', `by ${rec.engine_unwind}`],
			['Heap', rec.heap_mode === 'full' ? 'every block' : rec.heap_mode === 'sampled' ? `a sample each ${bytesText(rec.heap_interval_bytes)}, figures are estimates` : 'not recorded'], ['Recorder', rec.recorder]];
		aboutPanel.element().replaceChildren(el('table', { class: 'facts' }, el('tbody', {}, ...rows.map(([k, v]) => el('tr', {}, el('th', { scope: 'row' }, k), el('td', {}, v))),
			...rec.losses.map(([name, n]) => el('tr', {}, el('th', { scope: 'row' }, 'Lost: ' + name), el('td', {}, whole(n)))),
			...rec.nameless.map(([path, why]) => el('tr', {}, el('th', { scope: 'row' }, 'No names'), el('td', {}, path, why ? el('small', {}, ' ' + why) : ''))))));
	},
};

const panels = { flame: flamePanel, functions: functionPanel, threads: threadPanel, routes: routePanel, requests: requestPanel, leaks: leakPanel, database: databasePanel, about: aboutPanel };
