/*
 * A table that sorts by any column and searches: of any number of rows, of which the first hundred are shown until more are
 * asked for. columns: [{key, title, hint, number, show(row), sort(row), css}]; rows are whatever show() understands.
 */
const ROWS_SHOWN = 100;

class Table {
	constructor(options) {
		this.options = options;
		this.by = options.sort;
		this.down = true;
		this.query = '';
		this.limit = ROWS_SHOWN;
		this.body = el('tbody');
		this.head = el('tr');
		this.foot = el('div', { class: 'more' });
		this.input = el('input', { type: 'search', placeholder: options.placeholder || 'Search (regexp)', 'aria-label': 'Search ' + options.title,
			spellcheck: 'false', id: options.id + '-search', oninput: (e) => this.search(e.target.value) });
		this.counted = el('output', { class: 'counted' });
		this.element = el('section', { class: 'table', id: options.id },
			el('div', { class: 'tools' }, this.input, this.counted, ...(options.tools || [])),
			el('div', { class: 'scroll' }, el('table', {}, el('thead', {}, this.head), this.body)), this.foot);
		this.makeHead();
	}

	makeHead() {
		this.head.replaceChildren(...this.options.columns.map((c) => {
			const sorted = this.by === c.key;
			return el('th', { scope: 'col', class: c.number ? 'num' : '', 'aria-sort': sorted ? (this.down ? 'descending' : 'ascending') : 'none', title: c.hint },
				c.sort ? el('button', { type: 'button', onclick: () => this.sortBy(c) }, c.title, el('i', { 'aria-hidden': 'true' }, sorted ? (this.down ? '\u25bc' : '\u25b2') : '')) : c.title);
		}));
	}

	sortBy(column) {
		this.down = this.by === column.key ? !this.down : Boolean(column.number);
		this.by = column.key;
		this.makeHead();
		this.fill();
		const at = this.options.columns.indexOf(column);
		this.head.children[at].querySelector('button').focus();
	}

	search(text) {
		this.query = text;
		this.limit = ROWS_SHOWN;
		this.fill();
	}

	show(rows) {
		this.rows = rows;
		this.fill();
	}

	fill() {
		const { columns, find } = this.options, column = columns.find((c) => c.key === this.by), expression = this.query ? pattern(this.query) : null;
		const rows = expression ? this.rows.filter((r) => expression.test(find(r))) : this.rows.slice();
		const order = this.down ? -1 : 1;
		rows.sort((a, b) => {
			const x = column.sort(a), y = column.sort(b);
			return (x < y ? -1 : x > y ? 1 : 0) * order;
		});
		this.counted.textContent = expression ? `${whole(rows.length)} of ${whole(this.rows.length)}` : '';
		this.body.replaceChildren(...rows.slice(0, this.limit).map((r) => el('tr', { class: this.options.css ? this.options.css(r) : '' },
			...columns.map((c) => el('td', { class: [c.number ? 'num' : '', c.css || ''].join(' ').trim() }, c.show(r))))));
		if (!rows.length)
			this.body.append(el('tr', {}, el('td', { colspan: columns.length, class: 'none' }, expression ? 'Nothing is like that.' : this.options.empty || 'Nothing was recorded.')));
		this.foot.replaceChildren();
		if (rows.length > this.limit)
			this.foot.append(el('button', { type: 'button', onclick: () => {
				this.limit = rows.length > 5000 ? this.limit + 5000 : rows.length;
				this.fill();
			} }, `Show more of ${whole(rows.length)}`));
	}
}
