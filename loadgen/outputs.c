/* outputs.c - results to files, by their form. */
#include "outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "catalog.h"
#include "out.h"
#include "out_rows.h"
#include "request_log.h"

enum { ROWS_MAX = 1024 };
enum { FORM_JSON, FORM_PROM, FORM_HGRM, FORM_RESULTS, FORM_NDJSON, FORM_CSV, FORM_JTL, FORMS };
static const char *const forms[FORMS] = { "json=", "prom=", "hgrm=", "results=", "ndjson=", "csv=", "jtl=" };

static int open_file(struct outputs *o, const char *path, int form, struct err *err)
{
	int fd;

	if (o->count == OUTPUTS_MAX)
		return err_set(err, -EINVAL, "at most %d results files", OUTPUTS_MAX);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC,
	          0666); /* not truncated: a run that fails leaves the last one's */
	o->items[o->count] = (struct output){ .path = path, .file = fd < 0 ? NULL : fdopen(fd, "w"), .form = form };
	if (!o->items[o->count].file) {
		int code = errno;

		if (fd >= 0)
			(void)close(fd);
		return err_set(err, -EIO, "cannot write '%s': %s", path, strerror(code));
	}
	o->count++;
	return 0;
}

static int open_one(struct outputs *o, const char *text, struct err *err)
{
	for (int form = 0; form < FORMS; form++) {
		size_t len = strlen(forms[form]);

		if (strncmp(text, forms[form], len) != 0)
			continue;
		if (!text[len])
			return err_set(err, -EINVAL, "--out %s needs the name of a file", forms[form]);
		if (form != FORM_RESULTS)
			return open_file(o, text + len, form, err);
		if (o->results)
			return err_set(err, -EINVAL, "one results=FILE, please");
		o->results = text + len;
		return 0;
	}
	return err_set(err, -EINVAL,
	               "--out takes json=FILE, ndjson=FILE, csv=FILE, jtl=FILE, prom=FILE, hgrm=FILE or results=FILE, "
	               "not '%s'",
	               text);
}

int outputs_open(const struct cli_list *out, const char *summary, struct outputs *ret_outputs, struct err *err)
{
	struct outputs o = { .count = 0 };
	int rc = 0;

	for (size_t i = 0; i < out->count && rc == 0; i++)
		rc = open_one(&o, out->items[i], err);
	if (rc == 0 && summary)
		rc = open_file(&o, summary, FORM_JSON, err);
	if (rc < 0) {
		outputs_done(&o);
		return rc;
	}
	*ret_outputs = o;
	return 0;
}

static bool is_of_rows(const struct output *output)
{
	return output->form >= FORM_NDJSON;
}

bool outputs_want_rows(const struct outputs *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (is_of_rows(&o->items[i]))
			return true;
	return false;
}

static void write_rows(struct output *output, struct buf *bytes)
{
	if (bytes->failed)
		output->failure = ENOMEM;
	else if (fwrite(bytes->data, 1, bytes->len, output->file) != bytes->len)
		output->failure = errno;
	buf_clear(bytes);
}

/* The first bytes: what was there before goes. */
static void begin_rows(struct output *output, struct buf *bytes)
{
	if (ftruncate(fileno(output->file), 0) != 0 && errno != EINVAL) /* EINVAL: a pipe or a device */
		output->failure = errno;
	if (output->form == FORM_NDJSON)
		out_ndjson_head(bytes);
	else if (output->form == FORM_CSV)
		out_csv_head(bytes);
	else
		out_jtl_head(bytes);
	output->begun = true;
}

static void add_row(const struct output *output, struct buf *bytes, const struct out_rows *about,
                    const struct request_row *row)
{
	if (output->form == FORM_NDJSON)
		out_ndjson_row(bytes, about, row);
	else if (output->form == FORM_CSV)
		out_csv_row(bytes, about, row);
	else
		out_jtl_row(bytes, about, row);
}

void outputs_rows(struct outputs *o, struct request_log *log, struct catalog *catalog, struct out_rows *about)
{
	static struct request_row rows[ROWS_MAX]; /* main thread alone */
	size_t count;

	do {
		for (count = 0; count < ROWS_MAX && request_log_take(log, &rows[count]); count++)
			continue;
		for (size_t i = 0; i < o->count; i++) {
			struct output *output = &o->items[i];

			if (!is_of_rows(output) || output->failure)
				continue;
			if (!output->begun)
				begin_rows(output, &o->rows);
			for (size_t k = 0; k < count; k++) {
				about->endpoint = catalog_endpoint_tags(catalog, rows[k].request.endpoint);
				add_row(output, &o->rows, about, &rows[k]);
			}
			write_rows(output, &o->rows);
		}
	} while (count == ROWS_MAX);
}

static int write_file(struct output *output, const struct buf *bytes)
{
	bool ok = is_of_rows(output) || ftruncate(fileno(output->file), 0) == 0 ||
	          errno == EINVAL; /* EINVAL: a pipe or a device */

	if (output->failure) {
		ok = false;
		errno = output->failure;
	}
	ok = ok && fwrite(bytes->data, 1, bytes->len, output->file) == bytes->len;
	if (fclose(output->file) != 0)
		ok = false;
	output->file = NULL;
	return ok ? 0 : -EIO;
}

int outputs_write(struct outputs *o, const struct result *r, const struct verdict *v, struct err *err)
{
	CLEANUP(buf_done) struct buf bytes = { 0 };
	int rc = 0;

	for (size_t i = 0; i < o->count; i++) {
		struct output *output = &o->items[i];

		buf_clear(&bytes);
		if (is_of_rows(output) && !output->begun) /* not one request: the head alone */
			begin_rows(output, &bytes);
		else if (output->form == FORM_JSON)
			out_json(r, v, &bytes);
		else if (output->form == FORM_PROM)
			out_prom(r, &bytes);
		else if (output->form == FORM_HGRM)
			out_hgrm(r, &bytes);
		if (bytes.failed)
			return err_set(err, -ENOMEM, "out of memory");
		if (write_file(output, &bytes) < 0 && rc == 0)
			rc = err_set(err, -EIO, "cannot write '%s': %s", output->path, strerror(errno));
	}
	return rc;
}

void outputs_done(struct outputs *o)
{
	for (size_t i = 0; i < o->count; i++)
		if (o->items[i].file)
			(void)fclose(o->items[i].file); /* nothing was written: it is as it was */
	o->count = 0;
	buf_done(&o->rows);
}
