/* page_live.mjs URL SNAPSHOT NEW: the page of a server over a directory in which a program runs. SNAPSHOT is copied to NEW meanwhile. Prints
 * "ok N checks"; the first check that fails ends it with 1. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { withPage } from './browser.mjs';

const [url, snapshot, fresh] = process.argv.slice(2);
let checks = 0;
const holds = (condition, what) => {
	assert.ok(condition, what);
	checks++;
};

await withPage(async (page) => {
	await page.goto(url);
	await page.waitForSelector('main[data-ready]');
	holds(await page.evaluate(() => current().name.endsWith('.live') && current().comm === 'victim_spin'), 'opens with what runs');
	const before = await page.evaluate(() => [current().duration_us, flame.total[0]]);
	await page.evaluate(() => set({ tab: 'flame', path: flame.pathOf(1).join('.') }));
	await page.waitForFunction((was) => current().duration_us > was[0] + 1e6 && flame.total[0] > was[1], before, { timeout: 15000 });
	holds(await page.evaluate(() => flame.zoomNode === 1), 'it goes on by itself, and stays where it was zoomed');
	copyFileSync(snapshot, fresh);
	await page.waitForFunction(() => recs.some((r) => r.name === 'newest.snap'), null, { timeout: 10000 });
	holds(await page.evaluate(() => current().name.endsWith('.live')), 'a new file comes into the list, and what is looked at stays');
	const place = (name) => page.evaluate((n) => String(recs.findIndex((r) => r.name === n)), name);
	await page.selectOption('#rec', await place('after.snap'));
	await page.waitForFunction(() => parts.shown.startsWith('after.snap'));
	await page.selectOption('#base', await place('before.snap'));
	await page.waitForFunction(() => parts.view.diff);
	holds(await page.evaluate(() => parts.view.total.every((t) => t[0] > 0)), 'any two compared');
	const link = await page.evaluate(() => location.href);
	await page.goto('about:blank');
	await page.goto(link);
	await page.waitForSelector('main[data-ready]');
	await page.waitForFunction(() => parts.shown === 'after.snap\nbefore.snap', null, { timeout: 10000 });
	holds(true, 'a link shows the same two');
	await page.selectOption('#base', '-1');
	await page.selectOption('#rec', await place('junk.snap'));
	await page.waitForSelector('#live-status:not([hidden])');
	holds(/junk\.snap: /.test(await page.locator('#live-status').innerText()), 'what cannot be read is said');
	await page.selectOption('#rec', await place('newest.snap'));
	await page.waitForFunction(() => parts.shown.startsWith('newest.snap') && !parts.rest.hidden);
	holds(await page.locator('#live-status').isHidden(), 'and another can be chosen');
});
console.log(`ok ${checks} checks`);
