/*
 * With a server behind the page: what its directory lists, what of it is loaded, and what has changed since.
 */
const LIVE_EVERY_MS = 2000;

async function fetchJson(path) {
	const answer = await fetch(path, { cache: 'no-store' });
	if (!answer.ok)
		throw new Error(await answer.text());
	return answer.json();
}

/* The list is the server's order (oldest first); what was loaded stays, under its name. */
function mergeList(list) {
	const known = new Map(recs.map((r) => [r.name, r])), chosen = recs[state.rec], compared = recs[state.base];
	const next = list.map((item) => Object.assign(known.get(item.name) || { name: item.name }, { live: item.live, version: item.version }));
	recs.splice(0, recs.length, ...next);
	const place = (key, rec, otherwise) => {
		const name = wanted[key] || (rec && rec.name), at = name ? next.findIndex((r) => r.name === name) : -1;
		if (at >= 0)
			delete wanted[key];
		return at >= 0 ? at : otherwise;
	};
	state.rec = place('rec', chosen, next.length - 1); /* the newest, unless one was chosen */
	state.base = place('base', compared, -1);
}

/* Function numbers are of one answer: the zoom is kept by names. */
function keepPath(before, after) {
	if (!before.functions || !state.path || base())
		return;
	const byKey = new Map(after.functions.map((f) => [pairKey(f), f.id]));
	const path = state.path.split('.').map((n) => before.functions[n] && byKey.get(pairKey(before.functions[n])));
	state.path = path.includes(undefined) ? '' : path.join('.');
}

async function load(rec) {
	if (!rec || rec.loaded === rec.version)
		return false;
	const version = rec.version, fresh = decode(await fetchJson('recording?name=' + encodeURIComponent(rec.name)));
	if (rec === current())
		keepPath(rec, fresh);
	addRequestTime(fresh);
	for (const key of Object.keys(rec))
		if (!['name', 'live', 'version'].includes(key))
			delete rec[key];
	Object.assign(rec, fresh, { live: rec.live, version: rec.version, loaded: version });
	joins.clear();
	return true;
}

async function look() {
	const before = recs.map((r) => r.name + r.version).join();
	const answer = await fetchJson('list');
	mergeList(answer.files);
	data.skipped = answer.skipped;
	if (!recs.length)
		throw new Error('There is no profile in the directory yet.');
	if (!current().tree)
		update(); /* its name, while it comes */
	const changed = [await load(current()), await load(base())].includes(true);
	if (changed || parts.shown !== `${current().name}\n${(base() || current()).name}` || before !== recs.map((r) => r.name + r.version).join()) {
		correct();
		update();
	}
}

function live() {
	const status = el('p', { class: 'note warn', id: 'live-status', hidden: true });
	let busy = false, asked = false;
	page.prepend(status);
	const again = async () => {
		asked = true; /* something else was chosen while an answer is on its way: once more */
		if (busy)
			return;
		busy = true;
		while (asked) {
			asked = false;
			try {
				await look();
				status.hidden = true;
			} catch (e) {
				status.textContent = e instanceof TypeError ? 'The server does not answer.' : e.message;
				status.hidden = false;
			}
		}
		busy = false;
	};
	/* Another recording is loaded before it is shown. */
	liveLook = again;
	again();
	setInterval(() => document.hidden || again(), LIVE_EVERY_MS);
}
let liveLook = null;
start();
