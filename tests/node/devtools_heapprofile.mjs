/* devtools_heapprofile.mjs FILE...: each .heapprofile is loaded into the Memory panel of the Chrome DevTools that Chromium
 * carries. Prints {"FILE": {total, functions, panel}}:
 *	functions  the tree that the panel made of the file and shows: {name: {self, total}} in bytes; total: their own bytes
 *	panel      the rows that the panel shows, "Heavy (Bottom Up)", as far as they fit: {name: {self, total}} */
import { readFileSync } from 'node:fs';
import { withPage } from './browser.mjs';

const BUNDLE = 'devtools://devtools/bundled/';

/* Opens the panel, loads the file as its Load button does, and sums up the tree of the profile that is then in its list. */
async function load(page, text) {
	await page.getByRole('tab', { name: 'Memory' }).first().click();
	return page.evaluate(async ({ json, bundle }) => {
		const { ViewManager } = await import(bundle + 'ui/legacy/legacy.js');
		await ViewManager.ViewManager.instance().showView('heap-profiler');
		const { HeapProfilerPanel } = await import(bundle + 'panels/profiler/profiler.js');
		const panel = HeapProfilerPanel.HeapProfilerPanel.instance();
		const before = new Set(panel.profileTypes.flatMap((t) => t.getProfiles()));
		await panel.loadFromFile(new File([json], 'test.heapprofile', { type: 'application/json' }));
		const [header, ...more] = panel.profileTypes.flatMap((t) => t.getProfiles()).filter((p) => !before.has(p));
		if (!header || more.length)
			throw new Error('the panel has not loaded one profile');
		panel.showProfile(header);
		const model = panel.viewForProfile(header).profileInternal;
		const functions = {};
		let total = 0;
		/* Inclusive sums count the outermost of nested calls of one function. */
		const isOutermost = (node) => {
			for (let n = node.parent; n; n = n.parent)
				if (n.functionName === node.functionName)
					return false;
			return true;
		};
		const open = [...model.root.children];
		while (open.length) {
			const node = open.pop();
			const f = (functions[node.functionName] ??= { self: 0, total: 0 });
			f.self += node.self;
			f.total += isOutermost(node) ? node.total : 0;
			total += node.self;
			open.push(...node.children);
		}
		return { total, functions };
	}, { json: text, bundle: BUNDLE });
}

const UNITS = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 };

/* "291 kB9.78 %\n\t\n4.2 MB140.65 %\n\tname\nurl": own, inclusive, name. */
function parseRow(text) {
	const sizes = [...text.matchAll(/([0-9][0-9,.]*)\s([kMG]?B)[0-9]/g)].map((m) => Number(m[1].replaceAll(',', '')) * UNITS[m[2]]);
	const words = text.split(/[\n\t]+/).filter((w) => w.trim());
	return sizes.length === 2 ? { name: words[2], self: sizes[0], total: sizes[1] } : null;
}

async function rows(page) {
	const shown = page.locator('devtools-data-grid tr, .data-grid tr').filter({ hasText: '%' });
	await shown.first().waitFor();
	const panel = {};
	for (const row of (await shown.allInnerTexts()).map(parseRow))
		if (row)
			panel[row.name] = { self: row.self, total: row.total };
	return panel;
}

const result = {};
await withPage(async (page) => {
	for (const file of process.argv.slice(2)) {
		await page.goto(BUNDLE + 'js_app.html');
		result[file] = await load(page, readFileSync(file, 'utf8'));
		result[file].panel = await rows(page);
	}
}, { viewport: { width: 1300, height: 1400 } });
console.log(JSON.stringify(result));
