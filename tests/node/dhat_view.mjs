/* dhat_view.mjs VIEWER FILE...: each file is loaded into valgrind's own DHAT viewer (VIEWER is the path of its dh_view.html),
 * through its Load button. Prints {"FILE": {text, totals, points}}: what the page shows; the root's figures; every program
 * point as the viewer's tree has it, [{frames (innermost first), tb, tbk, mb, gb, gbk, eb, ebk}]. */
import { withPage } from './browser.mjs';

const [viewer, ...files] = process.argv.slice(2);
const result = {};
await withPage(async (page) => {
	for (const file of files) {
		await page.goto(`file://${viewer}`);
		await page.locator('input[type=file]').setInputFiles(file);
		await page.locator('.invocation, .error').first().waitFor();
		/* gRoot and gData are the viewer's; functions of a node's frames, and figures at the leaves. */
		result[file] = await page.evaluate(`(() => {
			const figures = (t) => ({ tb: t._totalBytes, tbk: t._totalBlocks, tl: t._totalLifetimes, mb: t._maxBytes ?? 0,
				gb: t._atTGmaxBytes, gbk: t._atTGmaxBlocks, eb: t._atTEndBytes, ebk: t._atTEndBlocks });
			const points = [];
			const open = [[gRoot, []]];
			while (open.length) {
				const [t, outer] = open.pop();
				const frames = [...outer, ...t._frames];
				if (t._kind === kLeaf)
					points.push({ frames: frames.filter((f) => f !== 0).map((f) => gData.ftbl[f]), ...figures(t) });
				for (const kid of t._kids ?? [])
					open.push([kid, frames]);
			}
			return { text: document.body.innerText, totals: figures(gRoot), points };
		})()`);
	}
});
console.log(JSON.stringify(result));
