/* threshold.c - the grammar, and one threshold against one series. */
#include "threshold.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

static const struct {
	const char *text;
	enum threshold_op op;
} ops[] = {
	/* longest first */
	{ "===", THRESHOLD_EQUAL },     { "==", THRESHOLD_EQUAL }, { "!=", THRESHOLD_UNEQUAL },
	{ "<=", THRESHOLD_LESS_EQUAL }, { "<", THRESHOLD_LESS },   { ">=", THRESHOLD_GREATER_EQUAL },
	{ ">", THRESHOLD_GREATER },
};

static const struct {
	const char *name;
	enum threshold_aggregation aggregation;
} aggregations[] = {
	{ "count", THRESHOLD_COUNT }, { "rate", THRESHOLD_RATE }, { "value", THRESHOLD_VALUE },
	{ "avg", THRESHOLD_AVG },     { "min", THRESHOLD_MIN },   { "max", THRESHOLD_MAX },
	{ "med", THRESHOLD_MED },
};

static char *skip_blanks(char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Cuts blanks off the end of [from, at), and ends the text there. */
static void end_text(char *from, char *at)
{
	while (at > from && (at[-1] == ' ' || at[-1] == '\t'))
		at--;
	*at = '\0';
}

static bool is_name(const char *name)
{
	if (!isalpha((unsigned char)name[0]) && name[0] != '_')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

/* A value may stand in quotes. */
static char *unquote(char *text)
{
	size_t len = strlen(text);

	if (len >= 2 && (text[0] == '"' || text[0] == '\'') && text[len - 1] == text[0]) {
		text[len - 1] = '\0';
		return text + 1;
	}
	return text;
}

/* "status:200,name:a" between the braces; ends at `end`. */
static int parse_filter(struct threshold *t, char *at, char *end, struct err *err)
{
	*end = '\0';
	while (*(at = skip_blanks(at))) {
		char *colon = strchr(at, ':'), *comma = colon ? strchr(colon, ',') : NULL;
		char *next = comma ? comma + 1 : end;

		if (!colon || colon == at || t->filter_count == THRESHOLD_TAGS_MAX)
			return err_set(err, -EINVAL, "threshold: tags are written {tag:value,...}, at most %d of them",
			               THRESHOLD_TAGS_MAX);
		end_text(at, colon);
		end_text(colon + 1, comma ? comma : end);
		t->filter[t->filter_count++] = (struct series_tag){ unquote(at), unquote(skip_blanks(colon + 1)) };
		at = next;
	}
	if (t->filter_count == 0)
		return err_set(err, -EINVAL, "threshold: no tag between { and }");
	return 0;
}

/* "p(99.9)", "avg"; *at is moved behind it. */
static int parse_aggregation(struct threshold *t, char **at, struct err *err)
{
	char *text = *at, *end;

	if (strncmp(text, "p(", 2) == 0 && (isdigit((unsigned char)text[2]) || text[2] == '.')) {
		t->aggregation = THRESHOLD_P;
		t->percentile = strtod(text + 2, &end);
		if (!(t->percentile >= 0 && t->percentile <= 100) || *end != ')')
			return err_set(err, -EINVAL, "threshold: p(N) takes a number from 0 to 100");
		*at = end + 1;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(aggregations); i++) {
		size_t len = strlen(aggregations[i].name);

		if (strncmp(text, aggregations[i].name, len) == 0 && !isalnum((unsigned char)text[len])) {
			t->aggregation = aggregations[i].aggregation;
			*at = text + len;
			return 0;
		}
	}
	return err_set(err, -EINVAL,
	               "threshold: '%.60s' does not begin with count, rate, value, avg, min, max, med or p(N)", text);
}

static int parse_op(struct threshold *t, char **at, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		size_t len = strlen(ops[i].text);

		if (strncmp(*at, ops[i].text, len) == 0) {
			t->op = ops[i].op;
			*at += len;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "threshold: <, <=, >, >=, == or != is missing before '%.60s'", *at);
}

/* One word, ended with NUL; *at is moved to the next one. */
static char *next_word(char **at)
{
	char *word = skip_blanks(*at), *end = word + strcspn(word, " \t");

	*at = *end ? end + 1 : end;
	*end = '\0';
	return word;
}

static int parse_bound(struct threshold *t, const char *word, struct err *err)
{
	char *end;
	uint64_t ns;

	if (!isdigit((unsigned char)word[0]) && !strchr("+-.", word[0]))
		return err_set(err, -EINVAL, "threshold: '%.60s' is no number", word);
	t->bound = strtod(word, &end);
	if (end == word || !isfinite(t->bound))
		return err_set(err, -EINVAL, "threshold: '%.60s' is no number", word);
	if (*end == '\0')
		return 0;
	if (strcmp(end, "%") == 0) {
		t->is_share = true;
		t->bound /= 100;
		return 0;
	}
	if (units_parse_duration(word, &ns) < 0)
		return err_set(err, -EINVAL, "threshold: '%.60s' is no number and no duration", word);
	t->is_duration = true;
	t->bound = (double)ns / 1e6;
	return 0;
}

static int parse_words(struct threshold *t, char *at, struct err *err)
{
	static const char delay[] = "delayAbortEval=";
	char *word;

	while (*(word = next_word(&at))) {
		if (strcmp(word, "abortOnFail") == 0) {
			t->abort_on_fail = true;
		} else if (strncmp(word, delay, sizeof(delay) - 1) == 0) {
			if (units_parse_duration(word + sizeof(delay) - 1, &t->delay_abort_ns) < 0)
				return err_set(err, -EINVAL, "threshold: delayAbortEval takes a duration");
		} else if (strcmp(word, "over") == 0) {
			if (units_parse_duration(next_word(&at), &t->window_ns) < 0 || t->window_ns < NS_PER_S ||
			    t->window_ns > THRESHOLD_WINDOW_MAX_S * NS_PER_S)
				return err_set(err, -EINVAL, "threshold: over takes a duration from 1s to 1h");
		} else {
			return err_set(err, -EINVAL,
			               "threshold: '%.60s' is none of 'over D', 'abortOnFail', 'delayAbortEval=D'",
			               word);
		}
	}
	return 0;
}

/* Copies of the text, one to be taken apart and one each to be shown: key and source. */
static int prepare(const char *text, struct threshold *t, char **ret_key, char **ret_source, struct err *err)
{
	size_t len = strlen(text);
	const char *close, *colon;

	if (len > THRESHOLD_TEXT_MAX)
		return err_set(err, -EINVAL, "threshold: longer than %d characters", THRESHOLD_TEXT_MAX);
	close = strchr(text, '{') ? strchr(text, '}') : text;
	if (!close)
		return err_set(err, -EINVAL, "threshold: '}' is missing");
	colon = strchr(close, ':');
	if (!colon)
		return err_set(err, -EINVAL,
		               "threshold: written METRIC: EXPRESSION, such as 'http_req_duration: p(95)<500'");
	t->text = malloc(2 * (len + 2));
	if (!t->text)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(t->text, text, len + 1);
	memcpy(t->text + len + 2, text, len + 1);
	*ret_key = skip_blanks(t->text + len + 2);
	end_text(*ret_key, t->text + len + 2 + (colon - text));
	*ret_source = skip_blanks(t->text + len + 2 + (colon - text) + 1);
	end_text(*ret_source, *ret_source + strlen(*ret_source));
	t->text[colon - text] = '\0';
	t->key = *ret_key;
	t->source = *ret_source;
	return 0;
}

static int parse(const char *text, struct threshold *t, struct err *err)
{
	char *key, *source, *at, *brace, *metric;
	int rc = prepare(text, t, &key, &source, err);

	if (rc < 0)
		return rc;
	metric = skip_blanks(t->text);
	at = metric + strlen(metric) + 1;
	brace = strchr(metric, '{');
	if (brace) {
		char *close = strchr(brace, '}');

		if (!close || *skip_blanks(close + 1))
			return err_set(err, -EINVAL, "threshold: '}' must be the last of the metric");
		rc = parse_filter(t, brace + 1, close, err);
		if (rc < 0)
			return rc;
	}
	end_text(metric, brace ? brace : metric + strlen(metric));
	if (!is_name(metric))
		return err_set(err, -EINVAL, "threshold: '%.60s' is no metric's name", metric);
	t->metric = metric;
	at = skip_blanks(at);
	rc = parse_aggregation(t, &at, err);
	if (rc < 0)
		return rc;
	at = skip_blanks(at);
	rc = parse_op(t, &at, err);
	if (rc == 0)
		rc = parse_bound(t, next_word(&at), err);
	return rc == 0 ? parse_words(t, at, err) : rc;
}

int threshold_parse(const char *text, struct threshold *ret_threshold, struct err *err)
{
	struct threshold t = { 0 };
	int rc = parse(text, &t, err);

	if (rc < 0) {
		threshold_done(&t);
		return rc;
	}
	*ret_threshold = t;
	return 0;
}

void threshold_done(struct threshold *t)
{
	free(t->text);
	*t = (struct threshold){ 0 };
}

int threshold_fits(const struct threshold *t, enum series_kind kind, enum series_contains contains, struct err *err)
{
	static const char *const allowed[] = { "count and rate", "value", "rate",
		                               "avg, min, max, med, p(N) and count" };
	bool fits = kind == SERIES_GAUGE     ? t->aggregation == THRESHOLD_VALUE
	            : kind == SERIES_RATE    ? t->aggregation == THRESHOLD_RATE
	            : kind == SERIES_COUNTER ? t->aggregation <= THRESHOLD_RATE
	                                     : t->aggregation >= THRESHOLD_AVG || t->aggregation == THRESHOLD_COUNT;

	if (!fits)
		return err_set(err, -EINVAL, "threshold '%s: %s': %s is a %s, which has %s", t->key, t->source,
		               t->metric, series_kind_name(kind), allowed[kind]);
	if (t->is_duration && (contains != SERIES_TIME || t->aggregation == THRESHOLD_COUNT))
		return err_set(err, -EINVAL, "threshold '%s: %s': that is no time", t->key, t->source);
	if (t->is_share && kind != SERIES_RATE)
		return err_set(err, -EINVAL, "threshold '%s: %s': %% is for rates", t->key, t->source);
	return 0;
}

static double trend_value(const struct threshold *t, const struct histogram *h)
{
	switch (t->aggregation) {
	case THRESHOLD_COUNT:
		return (double)h->count;
	case THRESHOLD_AVG:
		return histogram_mean(h) / SERIES_UNIT;
	case THRESHOLD_MIN:
		return (double)h->min / SERIES_UNIT;
	case THRESHOLD_MAX:
		return (double)h->max / SERIES_UNIT;
	default:
		return (double)histogram_quantile(h, t->aggregation == THRESHOLD_P ? t->percentile / 100 : 0.5) /
		       SERIES_UNIT;
	}
}

bool threshold_value(const struct threshold *t, const struct series *s, uint64_t elapsed_ns, double *ret_value)
{
	double seconds = (double)elapsed_ns / 1e9;

	switch ((enum series_kind)s->kind) {
	case SERIES_COUNTER:
		*ret_value = t->aggregation == THRESHOLD_COUNT ? s->sum : seconds > 0 ? s->sum / seconds : 0;
		return true;
	case SERIES_GAUGE:
		*ret_value = s->last;
		return s->total > 0;
	case SERIES_RATE:
		*ret_value = s->total ? (double)s->yes / (double)s->total : 0;
		return s->total > 0;
	default:
		if (s->trend.count == 0)
			return false;
		*ret_value = trend_value(t, &s->trend);
		return true;
	}
}

bool threshold_holds(const struct threshold *t, double value)
{
	switch (t->op) {
	case THRESHOLD_LESS:
		return value < t->bound;
	case THRESHOLD_LESS_EQUAL:
		return value <= t->bound;
	case THRESHOLD_GREATER:
		return value > t->bound;
	case THRESHOLD_GREATER_EQUAL:
		return value >= t->bound;
	case THRESHOLD_EQUAL:
		return value >= t->bound && value <= t->bound;
	default:
		return value < t->bound || value > t->bound;
	}
}
