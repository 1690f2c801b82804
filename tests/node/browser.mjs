/* One headless Chromium for a script: closed whatever happens, and never longer than the script's bound. */
import { chromium } from 'playwright-core';

const BOUND_MS = 90000;

export async function withPage(use, options = {}) {
	const timer = setTimeout(() => {
		console.error(`not done within ${BOUND_MS / 1000} s`);
		process.exit(1);
	}, BOUND_MS);
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', '--allow-file-access-from-files'],
	});
	try {
		const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
		const page = await context.newPage();
		page.setDefaultTimeout(20000);
		page.on('pageerror', (e) => {
			console.error('error in the page:', e.message);
			process.exitCode = 1;
		});
		return await use(page);
	} finally {
		clearTimeout(timer);
		await browser.close();
	}
}
