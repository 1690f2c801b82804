/*
 * Numbers as people read them, and elements of the page. Text reaches the page as text nodes only: names are untrusted.
 * Every amount is written with its unit; an estimate with the half width of its 95 % interval.
 */
const NBSP = '\u00a0', Z95 = 1.96;
const whole = (n) => Math.round(n).toLocaleString('en-US');
const three = (n) => (n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2));

function scaled(n, units, step) {
	let u = 0;
	while (n >= step * 0.9995 && u + 1 < units.length) {
		n /= step;
		u++;
	}
	return (u === 0 && units[0] !== 'ns' ? whole(n) : three(n)) + NBSP + units[u];
}
const bytesText = (n) => scaled(n, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'], 1024);
function timeText(ns) {
	if (ns === 0)
		return '0' + NBSP + 's';
	return ns < 120e9 ? scaled(ns, ['ns', '\u00b5s', 'ms', 's'], 1000) : ns < 7200e9 ? three(ns / 60e9) + NBSP + 'min' : three(ns / 3600e9) + NBSP + 'h';
}
const percentText = (v, of) => (of > 0 ? (100 * v / of).toFixed(v && v < of / 1000 ? 2 : 1) + NBSP + '%' : '\u2013');
const signOf = (n) => (n > 0 ? '+' : n < 0 ? '\u2212' : '');

/* `metric` is {unit, period_ns}: period_ns 1 for values that are nanoseconds already. */
function amountText(metric, value) {
	const sign = value < 0 ? '\u2212' : '';
	const v = Math.abs(value);
	if (metric.period_ns)
		return sign + timeText(v * metric.period_ns);
	return sign + (metric.unit === 'bytes' ? bytesText(v) : whole(v));
}
/* "1.23 s", and behind it what it rests on: "123 samples". */
function exactText(metric, value) {
	if (metric.period_ns > 1)
		return whole(value) + (value === 1 ? ' sample' : ' samples');
	return metric.unit === 'bytes' ? whole(value) + ' bytes' : metric.period_ns ? '' : metric.unit;
}
function errorText(metric, value, variance) {
	if (!variance || !value)
		return '';
	const half = Z95 * Math.sqrt(variance);
	return '\u00b1' + NBSP + (half > Math.abs(value) ? 'over' + NBSP + '100' : three(100 * half / Math.abs(value))) + NBSP + '%';
}
function clockText(ms) {
	const d = new Date(ms);
	return d.toISOString().slice(0, 19).replace('T', ' ') + ' UTC';
}
const secondsText = (us, digits) => (us / 1e6).toFixed(digits === undefined ? 2 : digits) + NBSP + 's';

/* el('td', {class: 'num', onclick: f}, 'text', node, ...) */
function el(tag, properties, ...children) {
	const e = document.createElement(tag);
	for (const key in properties || {}) {
		const value = properties[key];
		if (value === undefined || value === null || value === false)
			continue;
		if (key.startsWith('on'))
			e.addEventListener(key.slice(2), value);
		else if (key === 'value' || key === 'checked')
			e[key] = value;
		else
			e.setAttribute(key, value === true ? '' : value);
	}
	for (const child of children.flat())
		if (child !== null && child !== undefined && child !== '')
			e.append(child);
	return e;
}
/* A select with options [[value, text], ...]. */
function choice(label, options, value, onchange, id) {
	const select = el('select', { 'aria-label': label, id, onchange: (e) => onchange(e.target.value) });
	for (const [v, text] of options)
		select.append(el('option', { value: v, selected: String(v) === String(value) }, text));
	select.value = String(value);
	return el('label', { class: 'choice' }, el('span', {}, label), select);
}
/* Spreading a long array into Math.max() overflows the stack. */
const maxOf = (values, least) => values.reduce((a, b) => (b > a ? b : a), least);
const sumOf = (values) => values.reduce((a, b) => a + b, 0);
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/* Capital letters make it sensitive to case. What is no expression is searched as it stands. */
function pattern(text) {
	const flags = (/[A-Z]/.test(text) ? 'u' : 'ui') + 'm'; /* a row's columns are lines */
	try {
		return new RegExp(text, flags);
	} catch (e) {
		return new RegExp(text.replace(/[\\^$.*+?()[\]{}|\/]/g, '\\$&'), flags);
	}
}
