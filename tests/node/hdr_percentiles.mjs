/* hdr_percentiles.mjs FILE.ndjson: HdrHistogram records every response time of a run (ns), and prints its own percentile listing in ms as
 * JSON: [[value, percentile, count up to it]]. */
import { readFileSync } from 'node:fs';
import { build } from 'hdr-histogram-js';

const histogram = build({ bitBucketSize: 64, autoResize: true, lowestDiscernibleValue: 1, highestTrackableValue: 3.6e12, numberOfSignificantValueDigits: 4 });
for (const line of readFileSync(process.argv[2], 'utf8').split('\n')) {
	if (!line) continue;
	const { type, metric, data } = JSON.parse(line);
	if (type === 'Point' && metric === 'http_req_response_time') histogram.recordValue(Math.round(data.value * 1e6));
}
const rows = histogram.outputPercentileDistribution(5, 1e6).split('\n').slice(2).filter((line) => /^\s*\d/.test(line));
console.log(JSON.stringify(rows.map((line) => line.trim().split(/\s+/).slice(0, 3).map(Number))));
