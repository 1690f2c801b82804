/* devtools_cpuprofile.mjs FILE...: each .cpuprofile is opened by the Chrome DevTools that Chromium carries (devtools:// pages).
 * Prints {"FILE": {total, functions, timeline, panel}}, each {name: {self, total}} in milliseconds:
 *	functions  CPUProfileDataModel's tree, from the hit counts;  total: the sum of own times
 *	timeline   the same model's forEachFrame, from the times of the samples
 *	panel      the rows that the Performance panel's "Bottom-up" shows after its loader read the file, to 0.1 ms */
import { readFileSync } from 'node:fs';
import { withPage } from './browser.mjs';

const BUNDLE = 'devtools://devtools/bundled/';

async function read(page, text) {
	await page.goto(BUNDLE + 'js_app.html');
	return page.evaluate(async ({ text: json, bundle }) => {
		const { CPUProfileDataModel } = await import(bundle + 'models/cpu_profile/cpu_profile.js');
		if (!/^{(\s)*"nodes":(\s)*\[/.test(json))
			throw new Error('the loader does not take this for a CPU profile');
		const model = new CPUProfileDataModel.CPUProfileDataModel(JSON.parse(json));
		const functions = {}, timeline = {};
		const add = (to, name, self, total) => {
			const f = (to[name] ??= { self: 0, total: 0 });
			f.self += self;
			f.total += total;
		};
		const isOwn = (name) => !['(root)', '(idle)', '(program)', '(garbage collector)'].includes(name);
		/* Inclusive sums count the outermost of nested calls of one function. */
		const isOutermost = (node) => {
			for (let n = node.parent; n; n = n.parent)
				if (n.functionName === node.functionName)
					return false;
			return true;
		};
		let total = 0;
		for (const node of model.nodes()) {
			if (!isOwn(node.functionName))
				continue;
			total += node.self;
			add(functions, node.functionName, node.self, isOutermost(node) ? node.total : 0);
		}
		model.forEachFrame(() => {}, (depth, node, index, start, duration, self) => {
			if (isOwn(node.functionName))
				add(timeline, node.functionName, self, isOutermost(node) ? duration : 0);
		});
		return { total, functions, timeline };
	}, { text, bundle: BUNDLE });
}

/* "939.4 ms93.0 %\n\t\n676.8 ms67.0 %\n\t\nname\nurl" */
function parseRow(text) {
	const times = [...text.matchAll(/([0-9][0-9,.]*)\u00a0?\s?ms/g)].map((m) => Number(m[1].replaceAll(',', '')));
	const words = text.split(/[\n\t]+/).filter((w) => w.trim());
	return times.length === 2 ? { name: words[2], self: times[0], total: times[1] } : null;
}

async function show(page, text) {
	await page.goto(BUNDLE + 'js_app.html');
	await page.getByRole('tab', { name: 'Performance' }).first().click();
	await page.evaluate(async ({ text: json, bundle }) => {
		const { ViewManager } = await import(bundle + 'ui/legacy/legacy.js');
		await ViewManager.ViewManager.instance().showView('timeline'); /* the tab may still be loading its panel */
		const { TimelinePanel } = await import(bundle + 'panels/timeline/timeline.js');
		await TimelinePanel.TimelinePanel.instance().loadFromFile(new File([json], 'test.cpuprofile', { type: 'application/json' }));
	}, { text, bundle: BUNDLE });
	/* A page of keyboard shortcuts opens the first time, on top of the tabs. */
	await page.addLocatorHandler(page.locator('devtools-shortcut-dialog'), (dialog) => dialog.evaluate((e) => e.remove()),
		{ noWaitAfter: true, times: 1 });
	await page.getByText('Bottom-up').first().click();
	const rows = page.locator('.timeline-tree-view tr');
	await rows.filter({ hasText: 'ms' }).first().waitFor();
	/* The panel opens zoomed to the busiest part; the rows are those of the part in view. Select everything, as dragging the
	 * handles of the overview does, and wait until the view, which moves there slowly, has arrived. */
	await page.evaluate(async (bundle) => {
		const { TraceBounds } = await import(bundle + 'services/trace_bounds/trace_bounds.js');
		const bounds = TraceBounds.BoundsManager.instance();
		bounds.setTimelineVisibleWindow(bounds.state().micro.entireTraceBounds);
	}, BUNDLE);
	let texts = [], last;
	do {
		last = texts.join();
		await page.waitForTimeout(700);
		texts = await rows.allInnerTexts();
	} while (texts.join() !== last);
	const panel = {};
	for (const row of texts) {
		const r = parseRow(row);
		if (r)
			panel[r.name] = { self: r.self, total: r.total };
	}
	return panel;
}

const result = {};
await withPage(async (page) => {
	for (const file of process.argv.slice(2)) {
		const text = readFileSync(file, 'utf8');
		result[file] = await read(page, text);
		result[file].panel = await show(page, text);
	}
}, { viewport: { width: 1300, height: 1400 } });
console.log(JSON.stringify(result));
