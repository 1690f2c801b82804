/* flamegraph_ui.mjs PLAIN.svg DIFF.svg HOSTILE.svg: the flame graph in a browser, driven by mouse and keyboard. The pictures
 * are made by test_views.py, which says what is in them. Prints "ok N checks"; the first check that fails ends it with 1. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { withPage } from './browser.mjs';

const [plain, diff, hostile] = process.argv.slice(2).map((p) => 'file://' + resolve(p));
let checks = 0;
function same(got, want, what) {
	assert.deepEqual(got, want, what);
	checks++;
}
function holds(condition, what) {
	assert.ok(condition, what);
	checks++;
}

/* Frames as drawn: {label, x, y, width, classes}, in order. */
const drawn = (page) => page.evaluate(() => [...document.querySelectorAll('g.f')].map((g) => {
	const r = g.querySelector('rect');
	const t = g.querySelector('text');
	return { label: t ? t.textContent : '', x: +r.getAttribute('x'), y: +r.getAttribute('y'), width: +r.getAttribute('width'),
		classes: g.getAttribute('class').split(' ') };
}));
const frame = async (page, label) => (await drawn(page)).find((f) => f.label === label);
const tip = (page) => page.evaluate(() => {
	const t = document.querySelector('.tip');
	return t.style.display === 'none' ? null : t.innerText;
});
const matched = (page) => page.locator('#matched').innerText();
async function at(page, label) {
	const f = await frame(page, label);
	assert.ok(f, `no frame ${label}`);
	const scroll = await page.evaluate(() => window.scrollY);
	return [f.x + Math.min(f.width / 2, 60), f.y - scroll + 9];
}
async function open(page, url) {
	await page.goto('about:blank');
	await page.goto(url);
	await page.waitForSelector('svg[data-ready]', { state: 'attached' });
}

/* main 100: parse 60 (read_file 40, parse 10), render 30, tiny 1 of 100000 below render */
async function mouse(page) {
	await open(page, plain);
	const before = await drawn(page);
	holds(before.length >= 6, 'frames are drawn');
	holds(!before.some((f) => f.label === 'tiny'), 'a sub-pixel frame is not drawn');
	const root = await frame(page, 'all'), main = await frame(page, 'main');
	holds(main.y < root.y, 'the root is at the bottom');
	await page.mouse.move(...await at(page, 'parse'));
	const text = await tip(page);
	holds(/^parse\n/.test(text), text);
	holds(/\/usr\/bin\/demo/.test(text) && /\/src\/parse\.c:41/.test(text), 'module and source: ' + text);
	holds(/10\.0\s?min/.test(text) && /60,000 samples/.test(text) && /60\.00\s%/.test(text), 'time, samples and share: ' + text);
	await page.mouse.click(...await at(page, 'render'));
	const zoomed = await drawn(page);
	const render = zoomed.find((f) => f.label === 'render');
	same(Math.round(render.width), Math.round(root.width), 'the zoomed frame is as wide as the picture');
	holds(zoomed.find((f) => f.label === 'main').classes.includes('above'), 'its callers are dimmed');
	holds(!zoomed.some((f) => f.label === 'parse'), 'its siblings are gone');
	holds(/zoom=/.test(page.url()), 'the address names the zoom');
	const shared = page.url();
	await page.getByRole('button', { name: 'Reset zoom' }).click();
	same(await drawn(page), before, 'reset shows the first picture again');
	holds(!/zoom=/.test(page.url()), 'and its address');
	await open(page, shared);
	same(Math.round((await frame(page, 'render')).width), Math.round(root.width), 'a link opens the zoomed picture');
}

async function keyboard(page) {
	await open(page, plain);
	const start = await drawn(page);
	await page.keyboard.press('ArrowUp');
	holds(/^all\n/.test(await tip(page)), 'the first arrow selects the root');
	await page.keyboard.press('ArrowUp');
	await page.keyboard.press('ArrowUp');
	holds(/^parse\n/.test(await tip(page)), 'up: the largest callee');
	await page.keyboard.press('ArrowRight');
	holds(/^render\n/.test(await tip(page)), 'right: the next sibling');
	await page.keyboard.press('ArrowLeft');
	await page.keyboard.press('ArrowDown');
	holds(/^main\n/.test(await tip(page)), 'down: the caller');
	await page.keyboard.press('ArrowUp');
	await page.keyboard.press('Enter');
	same(Math.round((await frame(page, 'parse')).width), Math.round(start[0].width), 'Enter zooms');
	await page.keyboard.press('ArrowUp');
	await page.keyboard.press('Enter');
	same(Math.round((await frame(page, 'read_file')).width), Math.round(start[0].width), 'and zooms further');
	await page.keyboard.press('Backspace');
	holds((await frame(page, 'parse')).width > (await frame(page, 'read_file')).width, 'Backspace goes one step back');
	await page.keyboard.press('Escape');
	same((await drawn(page)).length, start.length, 'Escape shows everything');
	await page.keyboard.press('i');
	holds((await frame(page, 'main')).y > (await frame(page, 'all')).y, 'i: root at the top');
	await page.keyboard.press('i');
	holds((await frame(page, 'main')).y < (await frame(page, 'all')).y, 'i again: root at the bottom');
}

async function search(page) {
	await open(page, plain);
	await page.keyboard.press('/');
	await page.keyboard.type('parse');
	/* parse calls itself: 60 of 100, not 70. */
	same((await matched(page)).replace(/\s/g, ' '), 'matched 60.00 %', 'nested matches count once');
	const hits = (await drawn(page)).filter((f) => f.classes.includes('hit'));
	same(hits.map((f) => f.label), ['parse', 'parse'], 'matches are marked');
	holds(/search=parse/.test(page.url()), 'the address names the search');
	await page.keyboard.press('Enter');
	holds(/^parse\n/.test(await tip(page)), 'Enter goes to the first match');
	const outer = await tip(page);
	await page.keyboard.press('n');
	holds(/^parse\n/.test(await tip(page)) && await tip(page) !== outer, 'n goes to the next');
	await page.keyboard.press('n');
	same(await tip(page), outer, 'and around');
	await page.keyboard.press('p');
	holds(await tip(page) !== outer, 'p goes back');
	for (const key of ['Control+f', 'F3']) {
		await page.keyboard.press('Escape');
		await page.keyboard.press(key);
		same(await page.evaluate(() => document.activeElement.id), 'search', key + ' goes to the search field');
		await page.keyboard.type('^re(nder|ad_)');
		same((await matched(page)).replace(/\s/g, ' '), 'matched 70.00 %', 'an expression');
		await page.keyboard.press('Escape');
		same(await matched(page), '', 'Escape in the field ends the search');
	}
	await page.keyboard.press('/');
	await page.keyboard.type('PARSE');
	same((await matched(page)).replace(/\s/g, ' '), 'matched 0.00 %', 'capital letters are taken as they are');
	await page.keyboard.press('Control+a');
	await page.keyboard.type('([');
	same((await matched(page)).replace(/\s/g, ' '), 'matched 0.00 %', 'no expression: the characters themselves');
	await page.keyboard.press('Control+a');
	await page.keyboard.type('tiny');
	await page.keyboard.press('Enter');
	holds(/^tiny\n/.test(await tip(page)), 'a match too narrow to draw is zoomed to');
	holds(await frame(page, 'tiny'), 'and drawn');
}

/* live bytes, before: old 3000, keep 1000; after: keep 4000, new 500 */
async function differential(page) {
	await open(page, diff);
	same(await frame(page, 'old'), undefined, 'what vanished has no width');
	const keep = await frame(page, 'keep');
	holds(keep.classes.some((c) => /^d[1-9]/.test(c)), 'what grew is red');
	await page.mouse.move(...await at(page, 'keep'));
	const text = (await tip(page)).replace(/[\s\u00a0]+/g, ' ');
	holds(/before 1000 B|before 1,000 B/.test(text), text);
	holds(/after 3\.91 KiB/.test(text) && /change \+2\.93 KiB/.test(text) && /\+300\.00 %/.test(text), text);
	holds(/Vanished: 2\.9 KiB/.test(await page.evaluate(() => document.querySelector('#head').textContent)), 'the note tells it');
	await page.keyboard.press('b');
	const old = await frame(page, 'old');
	holds(old && old.classes.some((c) => /^d-[1-9]/.test(c)), 'b: widths of before, what shrank is blue');
	same(await frame(page, 'new'), undefined, 'and what is new has none');
	await page.mouse.move(...await at(page, 'old'));
	holds(/shrank/.test(await page.evaluate(() => document.querySelector('.tip').innerHTML)), 'a loss is coloured as one');
}

/* Names that are markup, script, or not text at all. */
async function hostileNames(page) {
	let dialogs = 0;
	page.on('dialog', (d) => {
		dialogs++;
		return d.dismiss();
	});
	await open(page, hostile);
	const frames = await drawn(page);
	holds(frames.some((f) => f.label.startsWith('<script>')), 'a name that is markup is shown as text');
	for (const f of frames.filter((g) => g.width > 20)) {
		await page.mouse.move(f.x + 8, f.y + 9 - await page.evaluate(() => window.scrollY));
		holds(await tip(page), 'a tooltip for ' + f.label);
	}
	same(await page.evaluate(() => document.querySelectorAll('img, iframe, #frames script, .tip script, a').length), 0, 'nothing became an element');
	same(dialogs, 0, 'nothing ran');
}

/* The shapes in the file and those the script draws are the same picture. */
async function sameWithoutScript(page, still) {
	await page.goto('about:blank');
	await page.goto(plain);
	const moving = await drawn(page);
	/* A page that shows the picture as an image would not let us look inside: the script is cut out instead. */
	const text = readFileSync(new URL(plain), 'utf8').replace(/<script><!\[CDATA\[[^]*?\]\]><\/script>/, '');
	const copy = plain.replace(/\.svg$/, '.still.svg');
	writeFileSync(new URL(copy), text);
	await still.goto(copy);
	const fixed = await drawn(still);
	same(fixed.length, moving.length, 'as many frames with and without scripts');
	for (let i = 0; i < fixed.length; i++) {
		same(fixed[i].label, moving[i].label, 'label');
		same(fixed[i].classes, moving[i].classes, 'colour');
		for (const key of ['x', 'y', 'width'])
			holds(Math.abs(fixed[i][key] - moving[i][key]) < 0.6, `${fixed[i].label} ${key}: ${fixed[i][key]} ${moving[i][key]}`);
	}
}

await withPage(async (page) => {
	for (const part of [mouse, keyboard, search, differential, hostileNames])
		await part(page);
	const still = await page.context().newPage();
	await sameWithoutScript(page, still);
});
console.log(`ok ${checks} checks`);
