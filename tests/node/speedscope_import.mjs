/* speedscope_import.mjs FILE...: each file is opened by speedscope's own page, imported by its own importer, and saved again
 * by it (Export); what it saved is summed up here. Prints {"FILE": [{name, unit, total, functions: {name: {self, total}}}]}.
 * speedscope saves "evented" profiles: every function's enter and leave on the axis of the profile's unit. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { withPage } from './browser.mjs';

const release = join(dirname(createRequire(import.meta.url).resolve('speedscope/package.json')), 'dist', 'release');

async function importAndSave(page, file, directory) {
	/* What speedscope's command line does: a script beside the page that hands the file over. */
	const script = join(directory, 'profile.js');
	const content = readFileSync(file).toString('base64');
	writeFileSync(script, `speedscope.loadFileFromBase64(${JSON.stringify(basename(file))}, ${JSON.stringify(content)})`);
	await page.goto('about:blank');
	await page.goto(`file://${join(release, 'index.html')}#localProfilePath=${script}`);
	const download = page.waitForEvent('download');
	await page.getByText('Export', { exact: false }).first().click();
	return JSON.parse(readFileSync(await (await download).path(), 'utf8'));
}

function sumUp(profile, frames) {
	const functions = {};
	const stack = [];
	let last = profile.startValue;
	const nameOf = (i) => frames[i].name;
	const entry = (name) => (functions[name] ??= { self: 0, total: 0 });
	for (const event of profile.events) {
		const passed = event.at - last;
		if (passed > 0 && stack.length) {
			entry(stack.at(-1)).self += passed;
			for (const name of new Set(stack))
				entry(name).total += passed;
		}
		last = event.at;
		if (event.type === 'O')
			stack.push(nameOf(event.frame));
		else
			stack.pop();
	}
	return { name: profile.name, unit: profile.unit, total: profile.endValue - profile.startValue, functions };
}

const directory = mkdtempSync(join(tmpdir(), 'speedscope-'));
try {
	const result = {};
	await withPage(async (page) => {
		for (const file of process.argv.slice(2)) {
			const saved = await importAndSave(page, file, directory);
			result[file] = saved.profiles.map((p) => sumUp(p, saved.shared.frames));
		}
	});
	console.log(JSON.stringify(result));
} finally {
	rmSync(directory, { recursive: true });
}
