/* page_ui.mjs ONE BOTH HOSTILE WANT DIRECTORY EMPTY: the page in a browser, driven by mouse and keyboard. Pages and what they should show are
 * made by test_page.py. Screenshots go to DIRECTORY. Prints "ok N checks"; the first check that fails ends it with 1. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { withPage } from './browser.mjs';

const [one, both, hostile] = process.argv.slice(2, 5).map((p) => 'file://' + resolve(p));
const want = JSON.parse(readFileSync(process.argv[5])), pictures = process.argv[6], empty = 'file://' + resolve(process.argv[7]);
let checks = 0;
function same(got, wanted, what) {
	assert.deepEqual(got, wanted, what);
	checks++;
}
function holds(condition, what) {
	assert.ok(condition, what);
	checks++;
}

async function open(page, url) {
	await page.goto('about:blank');
	await page.goto(url);
	await page.waitForSelector('main[data-ready]');
}
/* {total, functions: {name: [self, inclusive]}} of what is shown. */
const shown = (page) => page.evaluate(() => {
	const rows = functionRows(parts.view), functions = {};
	for (const r of rows)
		functions[r.f.name] = [r.own, r.all];
	return { total: parts.view.total[0][0], functions };
});
const cells = (page, table, column) => page.$$eval(`#${table} tbody tr`, (rows, c) => rows.map((r) => r.children[c] && r.children[c].innerText.replace(/\u00a0/g, ' ')), column);
const tip = (page) => page.evaluate(() => (document.querySelector('.tip').hidden ? null : document.querySelector('.tip').innerText));
/* The middle of a frame of that name, on the screen. */
const frameAt = (page, name) => page.evaluate((wanted) => {
	for (const row of flame.rows)
		for (const f of row || [])
			if (flame.nameOf(f.node) === wanted) {
				const box = flame.canvas.getBoundingClientRect();
				return [box.left + f.x + Math.min(f.w / 2, 80), box.top + flame.top(flame.view.tree.depth[f.node]) + 9];
			}
	return null;
}, name);

async function sumsAreReports(page) {
	await open(page, one);
	for (const [name, part] of Object.entries(want)) {
		await page.evaluate((state) => {
			const route = state.route === undefined ? null : current().requests.routes.findIndex((r) => r.join(' ') === state.route);
			set({ ...DEFAULTS, ...state, route });
		}, part.state);
		const got = await shown(page);
		same(got.total, part.total, `total of ${name}`);
		same(got.functions, part.functions, `functions of ${name}`);
	}
}

async function mouse(page) {
	await open(page, one);
	const box = await page.locator('#timeline').boundingBox(), whole = await shown(page);
	const x = (s) => box.x + box.width * s / 60;
	await page.mouse.move(x(25), box.y + 20);
	holds(/processors/.test(await tip(page)), 'the timeline tells what it shows');
	await page.mouse.down();
	await page.mouse.move(x(28), box.y + 20);
	await page.mouse.move(x(31.5), box.y + 20);
	await page.mouse.up();
	const [from, to] = await page.evaluate(() => [state.from, state.to]);
	holds(Math.abs(from - 25e6) < 1e5 && Math.abs(to - 31.5e6) < 1e5, `a drag marks a range: ${from} to ${to}`);
	const part = await shown(page);
	holds(part.total > 0 && part.total < whole.total, 'and what is shown follows');
	await page.click('#tab-requests');
	const all = 20, kept = (await cells(page, 'requests', 0)).length;
	holds(kept > 3 && kept < all, `requests follow: ${kept}`);
	await page.click('#tab-leaks');
	same(await cells(page, 'leaks', 0), ['700 B'], 'and so do leaks');
	await page.click('.chip');
	same(await page.evaluate(() => state.from), null, 'a chip takes the range away');
	same((await cells(page, 'leaks', 0)).length, 2, 'and all leaks are there again');
	await page.click('#leaks tbody button');
	holds((await page.locator('#leak-stack li').count()) > 1, 'a leak shows its stack');
	await page.click('#tab-flame');
	const name = await page.evaluate(() => flame.nameOf(flame.rows[2].reduce((a, b) => (b.w > a.w ? b : a)).node));
	const at = await frameAt(page, name);
	await page.mouse.move(...at);
	holds((await tip(page)).startsWith(name) && /samples/.test(await tip(page)) && /%/.test(await tip(page)), 'a frame tells');
	await page.mouse.click(...at);
	holds(/path=/.test(await page.evaluate(() => location.hash)), 'a click zooms, and the address says so');
	const url = await page.evaluate(() => location.href), level = await page.evaluate(() => flame.view.tree.depth[flame.zoomNode]);
	await open(page, url);
	same(await page.evaluate(() => flame.view.tree.depth[flame.zoomNode]), level, 'a link opens the zoomed picture');
	await page.click('#reset');
	await page.click('#undo').catch(() => {});
	holds(await page.evaluate(() => flame.zoomNode > 0), 'reset, and undo of it');
}

async function keyboard(page) {
	await open(page, one);
	await page.focus('#timeline');
	await page.keyboard.press('ArrowRight');
	await page.keyboard.press('ArrowRight');
	await page.keyboard.press('Shift+ArrowRight');
	const range = await page.evaluate(() => [state.from, state.to]);
	same(range, [600000, 7200000], 'arrows make and move a range');
	same(await page.evaluate(() => document.activeElement.id), 'timeline', 'and the focus stays');
	await page.keyboard.press('Escape');
	same(await page.evaluate(() => state.from), null, 'Escape takes it away');
	await page.fill('#from', '25');
	await page.keyboard.press('Enter');
	same(await page.evaluate(() => state.from), 25e6, 'a range can be typed');
	await page.fill('#from', '');
	await page.keyboard.press('Enter');
	same(await page.evaluate(() => state.from), null, 'and be taken away');
	await page.focus('#flame');
	await page.keyboard.press('ArrowDown');
	await page.keyboard.press('ArrowDown');
	await page.keyboard.press('ArrowDown');
	await page.keyboard.press('Enter');
	same(await page.evaluate(() => flame.view.tree.depth[flame.zoomNode]), 2, 'arrows go down, Enter zooms');
	holds(/samples/.test(await page.locator('#said').innerText()), 'the frame is announced');
	await page.keyboard.press('Backspace');
	same(await page.evaluate(() => flame.zoomNode), 0, 'Backspace undoes');
	await page.keyboard.press('/');
	await page.keyboard.type('demo.0x4');
	holds(/^matched\s/.test(await page.locator('#matched').innerText()), 'search says what it matched');
	await page.keyboard.press('Enter');
	holds(await page.evaluate(() => flame.selected > 0 && document.activeElement.id === 'flame'), 'Enter goes to the first match');
	await page.keyboard.press('2');
	same(await page.evaluate(() => state.tab), 'functions', 'digits choose a tab');
	await page.focus('#tab-functions');
	await page.keyboard.press('ArrowRight');
	same(await page.evaluate(() => [state.tab, document.activeElement.id]), ['threads', 'tab-threads'], 'arrows move between tabs');
}

async function tables(page) {
	await open(page, one + '#tab=functions');
	const numbers = async () => page.evaluate(() => [...document.querySelectorAll('#functions tbody tr')].map((r) => parseFloat(r.children[1].innerText)));
	const down = await numbers();
	holds(down.length === 30 && down.every((n, i) => !i || n <= down[i - 1]), 'largest first');
	await page.locator('#functions thead button').first().focus();
	await page.keyboard.press('Enter');
	const up = await numbers();
	holds(up.every((n, i) => !i || n >= up[i - 1]), 'a second time: smallest first');
	same(await page.locator('#functions th').first().getAttribute('aria-sort'), 'ascending', 'and it is said');
	const name = (await cells(page, 'functions', 4))[0];
	await page.fill('#functions-search', name.replace(/\+/g, '\\+') + '$');
	same(await cells(page, 'functions', 4), [name], 'search finds the one');
	await page.click('#functions tbody button');
	same(await page.evaluate(() => state.tab), 'flame', 'its name leads to the flame graph');
	await open(page, one + '#tab=requests');
	holds(/^1\.0[0-9]\s/.test((await cells(page, 'requests', 0))[0]), 'the slowest request first');
	await page.click('#requests tbody tr:nth-child(2) button');
	const own = await page.evaluate(() => [parts.view.total[0][0], current().metrics[0].samples.request.filter((r) => r === state.request + 1).length]);
	holds(own[0] > 0 && own[0] === own[1], `a request has a flame graph of its own: ${own}`);
	await open(page, one + '#tab=routes');
	same((await cells(page, 'routes', 0)).sort(), ['GET /users/*', 'POST /cart'], 'routes');
	await open(page, one + '#group=route');
	same(await page.evaluate(() => flame.rows[1].map((f) => flame.nameOf(f.node)).sort()), ['GET /users/*', 'POST /cart', '[no request]'], 'by route');
	await open(page, one + '#reverse=1');
	holds(await page.evaluate(() => Math.abs(flame.total[0] - parts.view.total[0][0]) < 1), 'leaf first: the same total');
}

async function differences(page) {
	await open(page, both);
	same(await page.evaluate(() => [state.rec, state.base]), [1, 0], 'opens compared');
	const sides = await page.evaluate(() => parts.view.total.map((t) => t[0]));
	holds(Math.abs(sides[0] - 1500e7) < 1 && Math.abs(sides[1] - 1500 * 5e6) < 1, `as time, since the rates differ: ${sides}`);
	await page.selectOption('#normal', 'share');
	holds(/by share/.test(await page.locator('#scope').innerText()), 'compared by share');
	await page.click('#tab-functions');
	holds((await page.locator('#changes tr.noise').count()) > 0, 'differences within the error are grey');
	const words = (await cells(page, 'changes', 4)).join();
	const lost = await page.evaluate(() => functionRows(parts.view).filter((r) => !r.all[1]).length);
	same((words.match(/vanished/g) || []).length, lost, 'vanished ones are named');
	await page.click('#tab-flame');
	same(await page.evaluate(() => flame.rows.flat().filter((f) => parts.view.total[0][f.node] + parts.view.total[1][f.node] <= 0).length), 0, 'gone and new frames have a place');
}

/* Nothing of a name becomes markup; 400 px need no scrolling sideways. */
async function hard(page) {
	let alerts = 0;
	page.on('dialog', (d) => {
		alerts++;
		d.dismiss();
	});
	await open(page, hostile);
	for (const tab of await page.$$eval('[role=tab]', (all) => all.map((t) => t.id))) {
		await page.click('#' + tab);
		same(await page.locator('main img, main script').count(), 0, 'no element out of a name: ' + tab);
	}
	same(alerts, 0, 'nothing was run');
	await open(page, empty);
	for (const tab of await page.$$eval('[role=tab]', (all) => all.map((t) => t.id))) {
		await page.click('#' + tab);
		for (const key of ['n', 'p', 'i', 'Backspace', 'Escape', 'd'])
			await page.keyboard.press(key);
	}
	await page.evaluate(() => localStorage.clear());
	await page.locator('#timeline').hover();
	holds(/Nothing was recorded/.test(await page.locator('#scope').innerText()), 'a recording of nothing is one, too');
	await open(page, hostile);
	holds((await page.locator('h1').innerText()).includes('</script><img src=x onerror=alert(1)>"\'&'), 'names are shown as they are');
	for (const scheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme: scheme });
		for (const [width, height] of [[400, 800], [1280, 800]]) {
			await page.setViewportSize({ width, height });
			for (const url of scheme === 'light' && width === 400 ? [one, hostile, both] : []) {
				await open(page, url);
				for (const tab of await page.$$eval('[role=tab]', (all) => all.map((t) => t.id))) {
					await page.click('#' + tab);
					holds(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${tab} fits into ${width} px`);
				}
			}
			await open(page, one);
			await page.screenshot({ path: `${pictures}/${scheme}-${width}.png` });
			same(await page.evaluate(() => document.documentElement.dataset.dark), String(scheme === 'dark'), 'it follows the system');
		}
	}
}

await withPage(async (page) => {
	const asked = [];
	page.on('request', (r) => r.url().startsWith('file:') || r.url() === 'about:blank' || r.url().startsWith('data:') || asked.push(r.url()));
	for (const part of [sumsAreReports, mouse, keyboard, tables, differences, hard])
		await part(page);
	same(asked, [], 'nothing is asked of a network');
});
console.log(`ok ${checks} checks`);
