/*
 * The timeline: CPU, memory, requests and events of a recording on one axis; a drag across it chooses a range of time.
 * Keyboard: arrows move the range (or begin one), with Shift they make it longer or shorter, Escape takes it away.
 */
const MIN_STEP_US = 20000;
const TRACKS = { cpu: 56, memory: 56, requests: 64, events: 20 }, TRACK_GAP = 8, AXIS = 20, LABEL_PAD = 4;

class Timeline {
	/* `on`: {range(from, to) or (null, null), tip(lines, x, y)} */
	constructor(on) {
		this.on = on;
		this.canvas = el('canvas', { class: 'time', id: 'timeline', tabindex: '0', role: 'slider', 'aria-label': 'Range of time' });
		this.canvas.addEventListener('pointerdown', (e) => this.grab(e));
		this.canvas.addEventListener('pointermove', (e) => this.drag(e));
		this.canvas.addEventListener('pointerup', (e) => this.drop(e));
		this.canvas.addEventListener('pointerleave', () => this.on.tip(null));
		this.canvas.addEventListener('keydown', (e) => this.key(e));
		this.range = [null, null];
	}

	show(rec, others) {
		this.rec = rec;
		this.others = others;
		this.cpu = this.cpuSteps();
		this.memory = rec.series && rec.series.time_us.length > 1 ? rec.series : null;
		this.draw();
	}

	setRange(from, to) {
		this.range = [from, to];
		this.canvas.setAttribute('aria-valuetext', from === null ? 'the whole recording' : `${secondsText(from)} to ${secondsText(to)}`);
		this.canvas.setAttribute('aria-valuemin', 0);
		this.canvas.setAttribute('aria-valuemax', Math.round(this.rec.duration_us / 1000));
		this.canvas.setAttribute('aria-valuenow', from === null ? 0 : Math.round(from / 1000));
		this.draw();
	}

	/* ---- what there is ---- */

	/* [[from us, to us, CPUs used], ...]: what the kernel counted at each mark of the series, else the samples. */
	cpuSteps() {
		const { series, duration_us } = this.rec, out = [];
		if (series && series.time_us.length > 1) {
			for (let i = 1; i < series.time_us.length; i++) {
				const span = series.time_us[i] - series.time_us[i - 1];
				if (span >= MIN_STEP_US || (span > 0 && series.time_us.length < 20)) /* the last, taken for the file, may be a moment */
					out.push([series.time_us[i - 1], series.time_us[i], (series.cpu_ns[i] - series.cpu_ns[i - 1]) / 1000 / span]);
			}
			return out;
		}
		const metric = metricOf(this.rec, 'cpu') || metricOf(this.rec, 'wall');
		if (!metric || !metric.samples.count)
			return out;
		const bins = 120, span = Math.max(1, duration_us / bins), sums = new Float64Array(bins);
		for (let i = 0; i < metric.samples.count; i++)
			sums[Math.min(bins - 1, Math.floor(metric.samples.time[i] / span))] += metric.samples.weight[i] * metric.period_ns / 1000;
		for (let i = Math.floor(metric.samples.time[0] / span); i < bins; i++)
			out.push([i * span, (i + 1) * span, sums[i] / span]);
		return out;
	}

	/* Where samples with a time begin: before it only sums are known. */
	windowStart() {
		const times = this.rec.metrics.filter((m) => m.samples && m.samples.count).map((m) => m.samples.time[0]);
		return times.length ? Math.min(...times) : null;
	}

	/* {time, text, kind}: when profiles were written, what the program marked, the checks and the peak. */
	events() {
		const { rec } = this, out = rec.marks.map(([time, name]) => ({ time, text: 'mark: ' + name, kind: 'mark' }));
		for (const other of this.others)
			if (other.pid === rec.pid && Math.abs(other.start_ms - rec.start_ms) < 1)
				out.push({ time: Math.min(other.duration_us, rec.duration_us), text: `profile: ${other.reason}` + (other.because ? `, ${other.because}` : ''),
					kind: /^(latency|memory|growth|pressure)$/.test(other.reason) ? 'trigger' : 'profile', gone: other.duration_us > rec.duration_us });
		if (rec.leaks)
			out.push({ time: rec.leaks.time_us, text: 'check for leaks', kind: 'profile' });
		if (rec.heap_peak_us)
			out.push({ time: rec.heap_peak_us, text: 'most heap: ' + bytesText(rec.heap_peak_bytes), kind: 'peak' });
		return out.filter((e) => !e.gone).sort((a, b) => a.time - b.time);
	}

	tracks() {
		const list = [];
		if (this.cpu.length)
			list.push('cpu');
		if (this.memory)
			list.push('memory');
		if (this.rec.requestCount)
			list.push('requests');
		list.push('events');
		let y = 0;
		return list.map((name) => {
			const track = { name, y, h: TRACKS[name] };
			y += track.h + TRACK_GAP;
			return track;
		});
	}

	/* ---- drawing ---- */

	x(us) {
		return us / Math.max(1, this.rec.duration_us) * this.width;
	}

	us(x) {
		return Math.round(Math.min(1, Math.max(0, x / this.width)) * this.rec.duration_us);
	}

	draw() {
		if (!this.rec || !this.canvas.isConnected)
			return;
		const ratio = Math.min(2, window.devicePixelRatio || 1), tracks = this.tracks();
		this.width = Math.max(200, this.canvas.parentNode.clientWidth);
		this.height = tracks[tracks.length - 1].y + TRACKS.events + AXIS;
		this.canvas.width = this.width * ratio;
		this.canvas.height = this.height * ratio;
		this.canvas.style.height = this.height + 'px';
		const c = this.context = this.canvas.getContext('2d');
		c.scale(ratio, ratio);
		c.font = '11.5px system-ui, sans-serif';
		this.drawPast(c);
		for (const t of tracks)
			this['draw_' + t.name](c, t);
		this.drawAxis(c);
		this.drawRange(c);
	}

	drawPast(c) {
		const start = this.windowStart();
		if (start === null || this.x(start) < 6)
			return;
		c.fillStyle = cssColour('--past');
		c.fillRect(0, 0, this.x(start) - 1, this.height - AXIS);
	}

	words(c, x, y, text, colour, right) {
		c.textAlign = right ? 'right' : 'left';
		c.lineWidth = 3;
		c.strokeStyle = cssColour('--page');
		c.strokeText(text, x, y);
		c.fillStyle = cssColour(colour);
		c.fillText(text, x, y);
	}

	draw_cpu(c, t) {
		const most = maxOf(this.cpu.map((s) => s[2]), 0.1);
		c.fillStyle = cssColour('--cpu');
		for (const [from, to, cores] of this.cpu) {
			const h = (t.h - 14) * cores / most;
			c.fillRect(this.x(from), t.y + t.h - h, Math.max(0.6, this.x(to) - this.x(from) - 0.4), h);
		}
		this.baseline(c, t);
		this.words(c, LABEL_PAD, t.y + 11, `CPU, up to ${three(most)} processors`, '--muted');
	}

	baseline(c, t) {
		c.fillStyle = cssColour('--line');
		c.fillRect(0, t.y + t.h, this.width, 1);
	}

	draw_memory(c, t) {
		const s = this.memory, most = maxOf(s.heap_bytes, maxOf(s.rss_bytes, 1));
		const line = (values, colour, fill) => {
			c.beginPath();
			s.time_us.forEach((time, i) => c.lineTo(this.x(time), t.y + t.h - (t.h - 14) * values[i] / most));
			if (fill) {
				c.lineTo(this.x(s.time_us[s.time_us.length - 1]), t.y + t.h);
				c.lineTo(this.x(s.time_us[0]), t.y + t.h);
				c.globalAlpha = 0.35;
				c.fillStyle = cssColour(colour);
				c.fill();
				c.globalAlpha = 1;
				return;
			}
			c.strokeStyle = cssColour(colour);
			c.lineWidth = 1.5;
			c.stroke();
		};
		const hasHeap = s.heap_bytes.some((x) => x);
		if (hasHeap) {
			line(s.heap_bytes, '--heap', true);
			line(s.heap_bytes, '--heap', false);
		}
		line(s.rss_bytes, '--rss', false);
		this.baseline(c, t);
		this.words(c, LABEL_PAD, t.y + 11, `Resident ${bytesText(maxOf(s.rss_bytes, 0))}`, '--rss');
		if (hasHeap) {
			const after = c.measureText(`Resident ${bytesText(maxOf(s.rss_bytes, 0))}`).width + 16;
			this.words(c, LABEL_PAD + after, t.y + 11, `Heap ${bytesText(maxOf(s.heap_bytes, 0))}` + (this.rec.heap_mode === 'sampled' ? ' (estimate)' : ''), '--heap');
		}
	}

	/* How many were answered, by the series, behind the points. */
	drawRate(c, t) {
		const { series } = this.rec, steps = [];
		for (let i = 1; series && i < series.time_us.length; i++) {
			const span = series.time_us[i] - series.time_us[i - 1];
			if (span >= MIN_STEP_US)
				steps.push([series.time_us[i - 1], series.time_us[i], (series.requests[i] - series.requests[i - 1]) / span * 1e6]);
		}
		const most = maxOf(steps.map((s) => s[2]), 0);
		c.fillStyle = cssColour('--request');
		c.globalAlpha = 0.28;
		for (const [from, to, rate] of most ? steps : []) {
			const h = (t.h - 18) * rate / most;
			c.fillRect(this.x(from), t.y + t.h - h, Math.max(0.6, this.x(to) - this.x(from) - 0.4), h);
		}
		c.globalAlpha = 1;
		return most;
	}

	/* Each request a point: when it began, how long it took, on a scale of powers of ten. */
	draw_requests(c, t) {
		const q = this.rec.requests.list, n = this.rec.requestCount, most = maxOf(q.duration_us, 1000), least = 100;
		const slow = this.rec.requests.latency_ns / 1000, y = (us) => t.y + t.h - 3 - (t.h - 18) * Math.max(0, Math.log(Math.max(us, least) / least) / Math.log(most / least));
		const rate = this.drawRate(c, t);
		for (let i = 0; i < n; i++) {
			const bad = q.status[i] >= 500 || !q.answered[i], late = slow > 0 && q.duration_us[i] >= slow;
			c.fillStyle = cssColour(bad ? '--bad' : late ? '--late' : '--request');
			const size = bad || late ? 3.4 : 2;
			c.globalAlpha = bad || late ? 0.95 : 0.5;
			c.fillRect(this.x(q.start_us[i]) - size / 2, y(q.duration_us[i]) - size / 2, size, size);
		}
		c.globalAlpha = 1;
		this.baseline(c, t);
		const kept = `${whole(n)} known one by one, longest ${timeText(most * 1000)}`, narrow = this.width < 600;
		this.words(c, LABEL_PAD, t.y + 11, rate ? `Requests, up to ${whole(rate)}/s` + (narrow ? '' : `; ${kept}`) : `Requests: ${kept}`, '--muted');
		if (slow > 0 && slow < most)
			this.words(c, this.width - LABEL_PAD, y(slow) - 2, `slow: ${timeText(slow * 1000)}`, '--late', true);
	}

	draw_events(c, t) {
		for (const e of this.events()) {
			c.fillStyle = cssColour(e.kind === 'trigger' ? '--late' : e.kind === 'mark' ? '--mark' : e.kind === 'peak' ? '--heap' : '--muted');
			const x = Math.min(this.width - 3, Math.max(3, this.x(e.time)));
			c.beginPath();
			c.moveTo(x, t.y + 2);
			c.lineTo(x + 5, t.y + 10);
			c.lineTo(x, t.y + 18);
			c.lineTo(x - 5, t.y + 10);
			c.fill();
		}
		this.baseline(c, t);
	}

	drawAxis(c) {
		const span = this.rec.duration_us / 1e6, wanted = span / Math.max(2, this.width / 110);
		const power = 10 ** Math.floor(Math.log10(wanted || 1)), step = [1, 2, 5, 10].map((x) => x * power).find((x) => x >= wanted) || 1;
		for (let s = 0; s <= span; s += step) {
			const x = this.x(s * 1e6), text = `${+s.toFixed(6)}${NBSP}s`;
			c.fillStyle = cssColour('--line');
			c.fillRect(x, this.height - AXIS, 1, 5);
			c.fillStyle = cssColour('--muted');
			c.textAlign = 'left';
			if (x + c.measureText(text).width < this.width)
				c.fillText(text, x + 3, this.height - 5);
		}
	}

	drawRange(c) {
		const [from, to] = this.range;
		if (from === null)
			return;
		const a = this.x(from), b = this.x(to);
		c.fillStyle = cssColour('--veil');
		c.fillRect(0, 0, a, this.height - AXIS);
		c.fillRect(b, 0, this.width - b, this.height - AXIS);
		c.fillStyle = cssColour('--mark');
		c.fillRect(a - 1, 0, 2, this.height - AXIS);
		c.fillRect(b - 1, 0, 2, this.height - AXIS);
	}

	/* ---- mouse and keyboard ---- */

	offset(event) {
		return event.clientX - this.canvas.getBoundingClientRect().left;
	}

	grab(event) {
		if (event.button)
			return;
		this.from = this.offset(event);
		try {
			this.canvas.setPointerCapture(event.pointerId);
		} catch (e) {
			/* A pointer that is gone already. */
		}
		this.on.tip(null);
	}

	drag(event) {
		const x = this.offset(event);
		if (this.from === undefined)
			return this.tell(event, x);
		if (Math.abs(x - this.from) > 3)
			this.setRange(this.us(Math.min(x, this.from)), this.us(Math.max(x, this.from)));
		return undefined;
	}

	drop(event) {
		if (this.from === undefined)
			return;
		const x = this.offset(event), wide = Math.abs(x - this.from) > 3;
		const from = this.us(Math.min(x, this.from)), to = this.us(Math.max(x, this.from));
		this.from = undefined;
		this.choose(wide ? from : null, wide ? to : null);
	}

	choose(from, to) {
		if (from !== null && to <= from)
			to = from + 1;
		this.setRange(from, to);
		this.on.range(from, to);
	}

	tell(event, x) {
		const us = this.us(x), rows = [], cpu = this.cpu.find(([a, b]) => us >= a && us < b), near = 6 / this.width * this.rec.duration_us;
		if (cpu)
			rows.push(['CPU', three(cpu[2]) + NBSP + 'processors', '', '']);
		if (this.memory) {
			let i = this.memory.time_us.findIndex((t) => t >= us);
			i = i < 0 ? this.memory.time_us.length - 1 : i;
			rows.push(['resident', bytesText(this.memory.rss_bytes[i]), '', '']);
			if (this.rec.heap_mode !== 'off')
				rows.push(['heap', bytesText(this.memory.heap_bytes[i]), '', '']);
		}
		if (this.rec.requestCount) {
			const q = this.rec.requests.list;
			let running = 0;
			for (let i = 0; i < this.rec.requestCount; i++)
				running += q.start_us[i] <= us && us <= q.start_us[i] + q.duration_us[i];
			rows.push(['requests under way', whole(running), '', '']);
		}
		for (const e of this.events().filter((one) => Math.abs(one.time - us) <= near).slice(0, 4))
			rows.push([e.text, secondsText(e.time), '', '']);
		this.on.tip({ name: secondsText(us), where: '', rows }, event.clientX, event.clientY);
	}

	key(event) {
		const step = Math.max(1, Math.round(this.rec.duration_us / 100)), end = this.rec.duration_us;
		let [from, to] = this.range;
		if (event.key === 'Escape') {
			this.choose(null, null);
		} else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
			const by = event.key === 'ArrowLeft' ? -step : step;
			if (from === null)
				[from, to] = by > 0 ? [0, Math.max(1, Math.round(end / 10))] : [end - Math.round(end / 10), end];
			else if (event.shiftKey)
				to = Math.min(end, Math.max(from + 1, to + by));
			else
				[from, to] = by < 0 ? [Math.max(0, from + by), Math.max(0, from + by) + to - from] : [Math.min(end, to + by) - (to - from), Math.min(end, to + by)];
			this.choose(from, to);
		} else {
			return;
		}
		event.preventDefault();
	}
}
