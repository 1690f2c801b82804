/*
 * The page's arithmetic, without any of its looks: what a recording holds, and sums over a part of it.
 *
 * A tree is {count, parent, depth, end, func}: node 0 is the root; the others stand in the order of a walk, so that a node's
 * callees are those from it to its `end`, and one pass from the back adds up what they used. Values are arrays by node: `self`
 * is what ended there, `total` that and its callees'. A range of time changes the values only; the tree stays.
 */
function makeTree(depth, func) {
	const count = depth.length, parent = new Int32Array(count), end = new Int32Array(count), open = [];
	for (let i = 0; i < count; i++) {
		while (open.length && depth[open[open.length - 1]] >= depth[i])
			end[open.pop()] = i;
		parent[i] = open.length ? open[open.length - 1] : 0;
		open.push(i);
	}
	while (open.length)
		end[open.pop()] = count;
	return { count, parent, depth, end, func };
}

/* Columns become typed arrays; a column of one value stays a number in the file. */
function column(values, count) {
	return typeof values === 'number' ? new Float64Array(count).fill(values) : Float64Array.from(values);
}

/* Node numbers of the file are one less than the tree's: the root is not in the file. */
function decode(rec) {
	const n = rec.nodes.depth.length + 1, depth = new Int32Array(n), func = new Int32Array(n);
	for (let i = 1; i < n; i++) {
		depth[i] = rec.nodes.depth[i - 1];
		func[i] = rec.nodes.function[i - 1];
	}
	func[0] = -1;
	rec.tree = makeTree(depth, func);
	rec.functions = rec.functions.map((f, id) => ({ id, name: f[0], brief: f[1] || f[0], module: f[2], file: f[3], line: f[4],
		base: f[2].slice(f[2].lastIndexOf('/') + 1), special: /^\[.*\]$/.test(f[0]), nameless: /\+0x[0-9a-f]+$/.test(f[0]) }));
	for (const metric of rec.metrics) {
		metric.node = metric.node.map((x) => x + 1);
		const s = metric.samples;
		if (!s)
			continue;
		for (const key of ['thread', 'node', 'weight', 'request', 'shared'])
			s[key] = column(s[key], s.count);
		s.time = column(s.time_us, s.count);
		for (let i = 0, at = 0; i < s.count; i++) {
			s.time[i] = at += s.time[i];
			s.node[i] += 1;
		}
	}
	const q = rec.requests && rec.requests.list;
	rec.requestCount = q ? q.path.length : 0;
	delete rec.nodes;
	return rec;
}

/* Of a request: its route's number, -1 for no request, -2 for one that is in the file no longer or of no known route. */
function routeOf(rec, request) {
	if (request < 0)
		return -1;
	const route = request < rec.requestCount ? rec.requests.list.route[request] : -1;
	return route < 0 ? -2 : route;
}

const metricOf = (rec, name) => rec.metrics.find((m) => m.name === name);
const isTimed = (filter) => filter.from !== null || filter.route !== null || filter.request !== null;

/* True for a sample that the filter lets through. `filter`: {from, to: us or null, tid, route, request: null or a number}. */
function samplePasses(rec, s, i, filter) {
	if (filter.from !== null && (s.time[i] < filter.from || s.time[i] >= filter.to))
		return false;
	if (filter.tid !== null && rec.threads[s.thread[i]][0] !== filter.tid)
		return false;
	const request = s.request[i] - 1;
	if (filter.request !== null && request !== filter.request)
		return false;
	return filter.route === null || routeOf(rec, request) === filter.route;
}

/* What each (node, thread, request) holds, one by one: see(node, value, thread, request). Memory is not known by any part. */
function eachValue(rec, metric, filter, see) {
	const s = metric.samples;
	if (s && isTimed(filter)) {
		for (let i = 0; i < s.count; i++)
			if (samplePasses(rec, s, i, filter))
				see(s.node[i], s.weight[i], s.thread[i], s.request[i] - 1);
		return;
	}
	for (let i = 0; i < metric.node.length; i++)
		if (!metric.thread || filter.tid === null || rec.threads[metric.thread[i]][0] === filter.tid)
			see(metric.node[i], metric.value[i], metric.thread ? metric.thread[i] : -1, -1);
}

function selfValues(rec, metric, filter) {
	const self = new Float64Array(rec.tree.count);
	eachValue(rec, metric, filter, (node, value) => {
		self[node] += value;
	});
	return self;
}

function totalValues(tree, self) {
	const total = Float64Array.from(self);
	for (let i = tree.count - 1; i > 0; i--)
		total[tree.parent[i]] += total[i];
	return total;
}

/* [self, total] by function; one that calls itself counts once a stack. */
function functionSums(tree, self, total, functions) {
	const own = new Float64Array(functions), all = new Float64Array(functions);
	const active = new Int32Array(functions), open = [];
	for (let i = 1; i < tree.count; i++) {
		while (open.length && tree.end[open[open.length - 1]] <= i)
			active[tree.func[open.pop()]]--;
		if (!total[i]) {
			i = tree.end[i] - 1;
			continue;
		}
		const f = tree.func[i];
		own[f] += self[i];
		if (active[f]++ === 0)
			all[f] += total[i];
		open.push(i);
	}
	return [own, all];
}

/* ---- errors of estimates: docs/page-format.md says how they are found ---- */

/* Variance of one unit of the value; 0: exact. */
function varianceOf(rec, metric) {
	if (metric.error === 'poisson')
		return 1;
	if (metric.error !== 'sampled')
		return 0;
	if (metric.unit === 'bytes')
		return rec.heap_interval_bytes;
	const bytes = metricOf(rec, metric.name === 'live-count' ? 'live' : 'alloc');
	const sum = (m) => (m ? m.value.reduce((a, b) => a + b, 0) : 0);
	const count = metricOf(rec, metric.name === 'live-count' ? 'live-count' : 'alloc-count');
	return bytes && count && sum(bytes) ? Math.max(1, rec.heap_interval_bytes * sum(count) / sum(bytes)) : 1;
}

/* ---- views: what tables and pictures show ----
 * {tree, functions, self: [..], total: [..], metric, scale: [..], variance: [..], diff} - two sides where two are compared. */

function simpleView(rec, metric, filter) {
	const self = selfValues(rec, metric, filter);
	return { tree: rec.tree, functions: rec.functions, self: [self], total: [totalValues(rec.tree, self)], metric,
		variance: [varianceOf(rec, metric)], diff: false };
}

/* The group that a value belongs to: [number, name] by thread or by route. */
function groupsOf(rec, by) {
	if (by === 'thread') {
		const names = rec.threads.map((t) => (t[0] ? `${t[1]} (${t[0]})` : t[1]));
		return { of: (thread) => thread, names, none: 'no thread' };
	}
	const routes = rec.requests ? rec.requests.routes.map((r) => r.join(' ')) : [];
	return { of: (thread, request) => routeOf(rec, request), names: routes, none: '[no request]', forgotten: '[requests that are in the file no longer]' };
}

/* The same tree once a group, below a frame that names the group; by route of the samples whose time is known. */
function groupedView(rec, metric, filter, by) {
	const groups = groupsOf(rec, by), selves = new Map();
	const timed = by === 'route' && metric.samples && !isTimed(filter) ? { ...filter, from: 0, to: Infinity } : filter;
	eachValue(rec, metric, timed, (node, value, thread, request) => {
		const g = groups.of(thread, request);
		if (!selves.has(g))
			selves.set(g, new Float64Array(rec.tree.count));
		selves.get(g)[node] += value;
	});
	const functions = rec.functions.slice(), depth = [0], func = [-1], self = [0];
	const sums = [...selves].map(([g, values]) => [g, values, totalValues(rec.tree, values)]).sort((a, b) => b[2][0] - a[2][0]);
	for (const [g, values, total] of sums) {
		const name = g === -2 ? groups.forgotten : g < 0 ? groups.none : groups.names[g];
		functions.push({ id: functions.length, name, brief: name,
			module: '', file: '', base: '', special: true, group: true });
		depth.push(1);
		func.push(functions.length - 1);
		self.push(values[0]);
		for (let i = 1; i < rec.tree.count; i++) {
			if (!total[i]) {
				i = rec.tree.end[i] - 1;
				continue;
			}
			depth.push(rec.tree.depth[i] + 1);
			func.push(rec.tree.func[i]);
			self.push(values[i]);
		}
	}
	const tree = makeTree(Int32Array.from(depth), Int32Array.from(func)), own = Float64Array.from(self);
	return { tree, functions, self: [own], total: [totalValues(tree, own)], metric, variance: [varianceOf(rec, metric)], diff: false, grouped: by };
}

/* ---- two recordings as one tree ---- */

const pairKey = (f) => f.name + '\u0000' + f.base;

/* Nodes of both, in the order of a walk; `maps[k][node]` is where a side's node went. Functions are one by name and file name. */
function joinTrees(a, b) {
	const functions = a.functions.slice(), byKey = new Map(functions.map((f) => [pairKey(f), f.id]));
	const translate = b.functions.map((f) => {
		if (!byKey.has(pairKey(f))) {
			byKey.set(pairKey(f), functions.length);
			functions.push({ ...f, id: functions.length });
		}
		return byKey.get(pairKey(f));
	});
	const first = functions.map((f) => byKey.get(pairKey(f))); /* a side may hold a function of two directories */
	const children = [new Map()], func = [-1];
	const raw = [a, b].map((rec, side) => {
		const map = new Int32Array(rec.tree.count);
		for (let i = 1; i < rec.tree.count; i++) {
			const f = side ? translate[rec.tree.func[i]] : first[rec.tree.func[i]];
			const at = map[rec.tree.parent[i]];
			let to = children[at] && children[at].get(f);
			if (to === undefined) {
				to = func.length;
				func.push(f);
				(children[at] = children[at] || new Map()).set(f, to);
			}
			map[i] = to;
		}
		return map;
	});
	return orderJoined(functions, func, children, raw);
}

function orderJoined(functions, func, children, raw) {
	const count = func.length, place = new Int32Array(count), depth = new Int32Array(count), called = new Int32Array(count);
	const rank = new Int32Array(functions.length);
	functions.map((f) => f.id).sort((x, y) => (functions[x].name < functions[y].name ? -1 : functions[x].name > functions[y].name ? 1 : 0))
		.forEach((id, i) => {
			rank[id] = i;
		});
	const stack = [[0, 0]];
	for (let n = 0; stack.length; n++) {
		const [node, level] = stack.pop();
		place[node] = n;
		depth[n] = level;
		called[n] = func[node];
		if (children[node])
			for (const [, child] of [...children[node]].sort((x, y) => rank[y[0]] - rank[x[0]]))
				stack.push([child, level + 1]);
	}
	return { tree: makeTree(depth, called), functions, maps: raw.map((map) => map.map((x) => place[x])) };
}

/* What the first side is multiplied by, so that both say the same of the same: [factor, words]. */
function normalScale(a, b, how, totals, spans) {
	if (how === 'duration')
		return [spans[0] > 0 ? spans[1] / spans[0] : 1, 'per second recorded'];
	if (how === 'requests') {
		const n = [a, b].map((r) => (r.requests ? r.requests.count : 0));
		return n[0] && n[1] ? [n[1] / n[0], 'per request answered'] : [1, 'requests were not recorded in both: amounts as they are'];
	}
	if (how === 'share')
		return [totals[0] ? totals[1] / totals[0] : 1, 'by share of the whole'];
	return [1, ''];
}

/* before, after: recordings; the filter is of `after`, and of the tables of both where it means the same. */
function diffView(before, after, name, filter, how, joined) {
	const ms = [metricOf(before, name), metricOf(after, name)], none = { from: null, to: null, tid: null, route: null, request: null };
	const metric = { ...ms[1] }, unit = [1, 1];
	if (ms[0].period_ns !== ms[1].period_ns) { /* samples of different rates: compare the time that they stand for */
		unit[0] = ms[0].period_ns;
		unit[1] = ms[1].period_ns;
		metric.period_ns = 1;
	}
	const self = [before, after].map((rec, k) => {
		const own = selfValues(rec, ms[k], k ? filter : none), out = new Float64Array(joined.tree.count);
		for (let i = 0; i < own.length; i++)
			out[joined.maps[k][i]] += own[i] * unit[k];
		return out;
	});
	const total = self.map((s) => totalValues(joined.tree, s));
	const timed = ms[1].samples && filter.from !== null;
	const spans = [before.duration_us, timed ? filter.to - filter.from : after.duration_us];
	const [scale, words] = normalScale(before, after, how, [total[0][0], total[1][0]], spans);
	return { tree: joined.tree, functions: joined.functions, self, total, metric, diff: true, scale, words,
		variance: [varianceOf(before, ms[0]) * unit[0], varianceOf(after, ms[1]) * unit[1]] };
}

/* What a difference is: the change, its error, and whether that could be chance (less than its 95 % interval). */
function changeOf(view, before, after) {
	const delta = after - before * view.scale;
	const variance = before * view.scale * view.scale * view.variance[0] + after * view.variance[1];
	return { delta, variance, noise: delta !== 0 && variance > 0 && Math.abs(delta) <= Z95 * Math.sqrt(variance) };
}

/* ---- leaf first: who called what was hot ---- */

/* Groups the stacks by their leaf, their leaf's caller and so on. What is narrower than a pixel of `wide` is left out below
 * the zoomed frame (`path`: its functions from the leaf); `left` counts it. */
function reversedView(view, path, wide) {
	const { tree } = view, sides = view.self.length, stacks = [];
	const root = { func: -1, depth: 0, values: view.self.map(() => 0), items: [], own: view.self.map(() => 0) };
	for (let i = 1; i < tree.count; i++) {
		const v = view.self.map((s) => s[i]);
		if (v.some((x) => x))
			root.items.push([i, v]);
	}
	const out = { depth: [], func: [], self: view.self.map(() => []), left: 0 };
	const sum = (v) => v.reduce((a, b) => a + b, 0);
	const all = sum(root.items.map((x) => sum(x[1])));
	stacks.push([root, path.length ? 0 : -1, all / (wide * 2)]);
	while (stacks.length)
		expandReversed(tree, stacks.pop(), sides, path, wide, stacks, out);
	const t = makeTree(Int32Array.from(out.depth), Int32Array.from(out.func)), self = out.self.map((s) => Float64Array.from(s));
	return { ...view, tree: t, self, total: self.map((s) => totalValues(t, s)), left: out.left, reversed: true };
}

/* `onPath`: how many functions of the path lead here; -1: none do, or all and it goes on. */
function expandReversed(tree, [group, onPath, threshold], sides, path, wide, stacks, out) {
	const byFunction = new Map(), rest = new Array(sides).fill(0), sum = (v) => v.reduce((a, b) => a + b, 0);
	for (const [node, v] of group.items) {
		if (node === 0) {
			v.forEach((x, k) => (rest[k] += x));
			continue;
		}
		const f = tree.func[node];
		let to = byFunction.get(f);
		if (!to)
			byFunction.set(f, to = { func: f, depth: group.depth + 1, items: [], sum: 0 });
		to.items.push([tree.parent[node], v]);
		to.sum += sum(v);
	}
	const kept = [];
	for (const child of byFunction.values()) {
		const wanted = onPath >= 0 && path[onPath] === child.func;
		if (child.sum >= threshold || wanted) {
			const zoomed = wanted && onPath + 1 === path.length;
			kept.push([child, wanted && !zoomed ? onPath + 1 : -1, zoomed ? child.sum / (wide * 2) : threshold]);
		} else {
			out.left++;
			for (const [, v] of child.items)
				v.forEach((x, k) => (rest[k] += x));
		}
	}
	out.depth.push(group.depth);
	out.func.push(group.func);
	rest.forEach((x, k) => out.self[k].push(x));
	kept.sort((a, b) => a[0].sum - b[0].sum);
	stacks.push(...kept);
}
