/* page_large.mjs PAGE: opens a large page, marks a range, zooms, turns it round and searches; prints how long each took, in ms. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { withPage } from './browser.mjs';

await withPage(async (page) => {
	const begun = Date.now(), took = [];
	await page.goto('file://' + resolve(process.argv[2]));
	await page.waitForSelector('main[data-ready]', { timeout: 60000 });
	took.push(`open ${Date.now() - begun}`);
	const timed = async (name, code) => took.push(`${name} ${Math.round(await page.evaluate(`(() => { const t = performance.now(); ${code}; return performance.now() - t; })()`))}`);
	await timed('range', 'set({from: 10e6, to: 30e6})');
	assert.equal(await page.evaluate('parts.view.total[0][0]'), await page.evaluate('current().metrics[0].samples.time.filter((t) => t >= 10e6 && t < 30e6).length'));
	await timed('whole', 'set({from: null, to: null})');
	assert.equal(await page.evaluate('parts.view.total[0][0]'), 1000000);
	await timed('zoom', 'flame.zoom(flame.pathOf(2))');
	await timed('callers', 'set({reverse: true, path: ""})');
	await timed('search', 'set({reverse: false, query: "function_1"})');
	await timed('functions', 'set({tab: "functions"})');
	assert.ok(await page.evaluate('flame.rows.length') > 10);
	console.log('ok ' + took.join(', ') + ' ms');
});
