/* Variables, CSV data sets, counters. */
#include <stdlib.h>
#include <string.h>

#include "load_jmeter_tools.h"

static const struct xml *arguments_of(const struct xml *element)
{
	const struct xml *list = jmeter_find(element, "Arguments.arguments");

	return list ? list->first : NULL;
}

void jmeter_variables(struct load *l, const struct xml *element)
{
	for (const struct xml *a = arguments_of(element); a; a = a->next) {
		const char *name = jmeter_property(a, "Argument.name"), *value = jmeter_property(a, "Argument.value");

		if (!name)
			continue;
		testplan_add_variable(
		        l->plan, &(struct testplan_variable){ testplan_slot(l->plan, name), a->line,
		                                              jmeter_template(l, a, TEMPLATE_PLAIN, value ? value : ""),
		                                              false });
	}
}

static char delimiter_of(const struct xml *element)
{
	const char *text = jmeter_property(element, "delimiter");

	return !text ? ',' : strcmp(text, "\\t") == 0 ? '\t' : text[0];
}

static bool split_names(struct load *l, struct feeder *f, const char *names)
{
	struct keep *k = &l->plan->keep;
	size_t most = 1;

	for (const char *c = names; *c; c++)
		most += *c == ',';
	f->columns = keep_large(k, most * sizeof(*f->columns));
	f->slots = keep_large(k, most * sizeof(*f->slots));
	if (!f->columns || !f->slots || most > FEEDER_COLUMNS_MAX)
		return false;
	while (*names) {
		size_t len = strcspn(names, ","), blanks = strspn(names, " ");

		f->columns[f->column_count] =
		        keep_text(k, names + (blanks < len ? blanks : 0), len - (blanks < len ? blanks : 0));
		f->slots[f->column_count] = testplan_slot(l->plan, f->columns[f->column_count]);
		f->column_count++;
		names += len + (names[len] == ',');
	}
	return true;
}

static struct feeder *add_feeder(struct load *l, const struct feeder *f)
{
	struct testplan *p = l->plan;
	struct feeder *feeders = keep_grow(&p->keep, p->feeders, p->feeder_count, sizeof(*feeders));

	if (!feeders)
		return NULL;
	p->feeders = feeders;
	feeders[p->feeder_count] = *f;
	feeders[p->feeder_count].id = (uint32_t)p->feeder_count;
	feeders[p->feeder_count].cursor = keep_alloc(&p->keep, sizeof(*f->cursor));
	return &feeders[p->feeder_count++];
}

/* Data sets of several thread groups that name one file share its rows, as JMeter's do by default. */
static struct feeder *find_feeder(struct load *l, const char *path, uint32_t line)
{
	for (size_t i = 0; i < l->plan->feeder_count; i++)
		if (l->plan->feeders[i].line == line && strcmp(l->plan->feeders[i].path, path) == 0)
			return &l->plan->feeders[i];
	return NULL;
}

static void csv(struct load *l, struct testplan_step *root, const struct xml *x)
{
	const char *file = jmeter_property(x, "filename"), *names = jmeter_property(x, "variableNames"),
	           *share = jmeter_property(x, "shareMode"), *text;
	bool skips = jmeter_is_true(x, "ignoreFirstLine");
	struct feeder f = { .name = jmeter_name(x), .line = x->line }, *found;
	struct err err = { 0 };
	size_t len, columns;

	f.path = file ? jmeter_constant(l, x, file) : NULL;
	if (!f.path) {
		(void)load_refuse(l, x->line, "a CSV data set needs a file's name that is known before the run");
		return;
	}
	found = find_feeder(l, f.path, x->line);
	if (!found) {
		text = load_file(l, x->line, f.path, FEEDER_FILE_MAX, &len);
		if (!text)
			return;
		if (names && !split_names(l, &f, names))
			return;
		if (feeder_parse_csv(&l->plan->keep, text, len, delimiter_of(x), f.column_count, &f.cells, &f.rows,
		                     &columns, &err) < 0) {
			(void)load_refuse(l, x->line, "%s:%s", f.path, err.text);
			return;
		}
		if (!names && f.rows) { /* the first line has the names */
			struct keep *k = &l->plan->keep;

			f.columns = keep_large(k, columns * sizeof(*f.columns));
			f.slots = keep_large(k, columns * sizeof(*f.slots));
			for (size_t i = 0; f.columns && f.slots && i < columns; i++) {
				f.columns[i] = f.cells[i].text;
				f.slots[i] = testplan_slot(l->plan, f.columns[i]);
			}
			f.column_count = f.columns && f.slots ? columns : 0;
			skips = true;
		}
		if (skips && f.rows) {
			f.cells += columns;
			f.rows--;
		}
		f.order = share && strcmp(share, "shareMode.thread") == 0 ? FEEDER_PER_USER : FEEDER_SEQUENCE;
		f.end = jmeter_find(x, "recycle") && !jmeter_is_true(x, "recycle") && jmeter_is_true(x, "stopThread")
		                ? FEEDER_STOP
		                : FEEDER_RECYCLE;
		if (f.rows == 0) {
			(void)load_refuse(l, x->line, "'%s' has no rows", f.path);
			return;
		}
		found = add_feeder(l, &f);
	}
	if (found)
		testplan_add(l->plan, root, TESTPLAN_FEED, x->line)->number = found->id;
}

static void counter(struct load *l, struct testplan_step *root, const struct xml *x)
{
	const char *name = jmeter_property(x, "CounterConfig.name"),
	           *format = jmeter_property(x, "CounterConfig.format");
	struct testplan_step *step;
	double from, to, by;

	if (!name)
		return;
	if (!jmeter_number(l, x, "CounterConfig.start", 0, &from) ||
	    !jmeter_number(l, x, "CounterConfig.end", 9e15, &to) || !jmeter_number(l, x, "CounterConfig.incr", 1, &by))
		return;
	if (format)
		testplan_warn(l->plan, x->line, "a counter's format is passed over");
	step = testplan_add(l->plan, root, TESTPLAN_COUNT, x->line);
	step->slot = testplan_slot(l->plan, name);
	step->from = (int64_t)from;
	step->to = (int64_t)to;
	step->by = (int64_t)by;
	if (!jmeter_is_true(x, "CounterConfig.per_user"))
		step->number = (uint32_t)++l->plan->shared_counter_count;
}

static void random_variable(struct load *l, struct testplan_step *root, const struct xml *x)
{
	const char *name = jmeter_property(x, "variableName"), *from = jmeter_property(x, "minimumValue"),
	           *to = jmeter_property(x, "maximumValue");
	struct testplan_step *step;

	if (!name)
		return;
	step = testplan_add(l->plan, root, TESTPLAN_SET, x->line);
	step->slot = testplan_slot(l->plan, name);
	step->value = jmeter_template(
	        l, x, TEMPLATE_PLAIN,
	        keep_printf(&l->plan->keep, "${__Random(%s,%s)}", from ? from : "0", to ? to : "2147483647"));
}

/* <collectionProp name="UserParameters.names">, and one collection of values for each user: user n has the n-th. */
static void user_parameters(struct load *l, struct testplan_step *root, const struct xml *x)
{
	const struct xml *names = jmeter_find(x, "UserParameters.names"),
	                 *users = jmeter_find(x, "UserParameters.thread_values");
	struct feeder f = { .name = jmeter_name(x), .path = "", .line = x->line, .order = FEEDER_SEQUENCE };
	struct keep *k = &l->plan->keep;
	struct scope_item *cells;
	size_t columns = 0, rows = 0;

	for (const struct xml *n = names ? names->first : NULL; n; n = n->next)
		columns++;
	for (const struct xml *u = users ? users->first : NULL; u; u = u->next)
		rows++;
	if (!columns || !rows || columns > FEEDER_COLUMNS_MAX)
		return;
	cells = keep_large(k, columns * rows * sizeof(*cells));
	f.columns = keep_large(k, columns * sizeof(*f.columns));
	f.slots = keep_large(k, columns * sizeof(*f.slots));
	if (!cells || !f.columns || !f.slots)
		return;
	for (const struct xml *n = names->first; n; n = n->next) {
		f.columns[f.column_count] = n->text;
		f.slots[f.column_count++] = testplan_slot(l->plan, n->text);
	}
	for (const struct xml *u = users->first; u; u = u->next, f.rows++) {
		const struct xml *v = u->first;

		for (size_t i = 0; i < columns; i++, v = v ? v->next : NULL)
			cells[f.rows * columns + i] =
			        (struct scope_item){ v ? v->text : "", v ? v->text_len : 0, SCOPE_TEXT };
	}
	f.cells = cells;
	struct feeder *added = add_feeder(l, &f);
	struct testplan_step *once = testplan_add(l->plan, root, TESTPLAN_ONCE, x->line);

	if (added)
		testplan_add(l->plan, once, TESTPLAN_FEED, x->line)->number = added->id;
}

static const struct {
	const char *name;
	void (*load)(struct load *l, struct testplan_step *root, const struct xml *x);
} kinds[] = { { "CSVDataSet", csv },
	      { "CounterConfig", counter },
	      { "RandomVariableConfig", random_variable },
	      { "UserParameters", user_parameters } };

bool jmeter_is_data(const struct xml *x)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(x->name, kinds[i].name) == 0)
			return true;
	return false;
}

bool jmeter_data(struct load *l, struct testplan_step *root, const struct xml *x)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(x->name, kinds[i].name) != 0)
			continue;
		kinds[i].load(l, root, x);
		return true;
	}
	return false;
}
