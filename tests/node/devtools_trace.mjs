/* devtools_trace.mjs FILE...: each trace is read by the Chrome DevTools that Chromium carries (devtools:// pages), by the engine
 * of its Performance panel and by the panel. Prints {"FILE": {threads, requests, marks, tracks, panel}}:
 *	threads   {TID: {name, total, functions: {name: {self, total}}}} in milliseconds, from the calls that the engine made of the
 *	          samples for the thread's track; total: the sum of own times
 *	requests  what it takes for timings: [{name, start, duration}], milliseconds; marks: [{name, start}]
 *	panel     the rows of "Bottom-up" after a click on the first thread's track, to 0.1 ms */
import { readFileSync } from 'node:fs';
import { withPage } from './browser.mjs';

const BUNDLE = 'devtools://devtools/bundled/';

async function read(page, text) {
	return page.evaluate(async ({ text: json, bundle }) => {
		const { TraceModel } = await import(bundle + 'models/trace/trace.js');
		const file = JSON.parse(json);
		const model = TraceModel.Model.createWithAllHandlers();
		await model.parse(file.traceEvents, { metadata: file.metadata });
		const { Renderer, UserTimings } = model.parsedTrace(0).data;
		const ms = (us) => us / 1000;
		const threads = {};
		for (const process of Renderer.processes.values()) {
			for (const [tid, thread] of process.threads) {
				const functions = {};
				let total = 0;
				const open = [...(thread.tree?.roots ?? [])].map((node) => [node, []]);
				while (open.length) {
					const [node, outer] = open.pop();
					const name = node.entry.callFrame?.functionName;
					if (name && !['(root)', '(idle)', '(program)', '(garbage collector)'].includes(name)) {
						const f = (functions[name] ??= { self: 0, total: 0 });
						f.self += ms(node.selfTime ?? node.entry.dur);
						f.total += outer.includes(name) ? 0 : ms(node.entry.dur);
						total += ms(node.selfTime ?? node.entry.dur);
					}
					for (const child of node.children)
						open.push([child, name ? [...outer, name] : outer]);
				}
				threads[tid] = { name: thread.name, total, functions };
			}
		}
		return {
			threads,
			requests: UserTimings.consoleTimings.concat(UserTimings.performanceMeasures)
				.map((e) => ({ name: e.name, start: ms(e.ts), duration: ms(e.dur) })),
			marks: UserTimings.performanceMarks.map((e) => ({ name: e.name, start: ms(e.ts) })),
		};
	}, { text, bundle: BUNDLE });
}

/* "939.4 ms93.0 %\n\t\n676.8 ms67.0 %\n\t\nname\nurl" */
function parseRow(text) {
	const times = [...text.matchAll(/([0-9][0-9,.]*)\u00a0?\s?ms/g)].map((m) => Number(m[1].replaceAll(',', '')));
	const words = text.split(/[\n\t]+/).filter((w) => w.trim());
	return times.length === 2 ? { name: words[2], self: times[0], total: times[1] } : null;
}

async function show(page, text) {
	await page.getByRole('tab', { name: 'Performance' }).first().click();
	await page.evaluate(async ({ text: json, bundle }) => {
		const { ViewManager } = await import(bundle + 'ui/legacy/legacy.js');
		await ViewManager.ViewManager.instance().showView('timeline'); /* the tab may still be loading its panel */
		const { TimelinePanel } = await import(bundle + 'panels/timeline/timeline.js');
		await TimelinePanel.TimelinePanel.instance().loadFromFile(new File([json], 'test.json', { type: 'application/json' }));
	}, { text, bundle: BUNDLE });
	/* A page of keyboard shortcuts opens the first time, on top of the tabs. */
	await page.addLocatorHandler(page.locator('devtools-shortcut-dialog'), (dialog) => dialog.evaluate((e) => e.remove()),
		{ noWaitAfter: true, times: 1 });
	await page.getByText('Bottom-up').first().click();
	/* Tracks are drawn on a canvas. Click down its left edge until one is taken, whose functions are then listed. */
	const canvas = page.locator('canvas.flame-chart-canvas, .flame-chart-main-pane canvas').first();
	await canvas.waitFor();
	const list = page.locator('.timeline-tree-view tr').filter({ hasText: ' ms' });
	await page.evaluate(async (bundle) => {
		const { TraceBounds } = await import(bundle + 'services/trace_bounds/trace_bounds.js');
		const bounds = TraceBounds.BoundsManager.instance();
		bounds.setTimelineVisibleWindow(bounds.state().micro.entireTraceBounds);
	}, BUNDLE);
	await page.waitForTimeout(1500);
	for (let y = 130; y < 260 && (await list.count()) === 0; y += 10) {
		await page.mouse.click(265, y);
		await page.waitForTimeout(400);
	}
	let texts = [], last;
	do {
		last = texts.join();
		await page.waitForTimeout(700);
		texts = await list.allInnerTexts();
	} while (texts.join() !== last);
	const panel = {};
	for (const r of texts.map(parseRow))
		if (r)
			panel[r.name] = { self: r.self, total: r.total };
	return panel;
}

const result = {};
await withPage(async (page) => {
	for (const file of process.argv.slice(2)) {
		const text = readFileSync(file, 'utf8');
		await page.goto(BUNDLE + 'js_app.html');
		result[file] = await read(page, text);
		result[file].panel = await show(page, text);
		if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT });
	}
}, { viewport: { width: 1300, height: 1400 } });
console.log(JSON.stringify(result));
