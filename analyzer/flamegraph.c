/*
 * flamegraph.c - a call tree as an SVG picture.
 *
 * The file holds the picture twice: as shapes, drawn here, for viewers without scripts; and as data (flamegraph_data.c),
 * from which flamegraph.js draws it again at any zoom. Shapes narrower than half a pixel are not drawn, but their data are
 * there, so zooming finds them. Only frames under `min_width_px` are left out of both, and a note says how many.
 * Layout is one pass over the tree (parents first): a child starts where its elder sibling ended.
 * Colours come from classes, so that a dark page can have its own palette: c0.. by a hash of the function's name (the same
 * name has the same colour in every picture), d-10..d10 in differential pictures.
 */
#include "flamegraph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clean_text.h"
#include "embedded.h"
#include "estimate.h"
#include "flamegraph_draw.h"
#include "functions.h"
#include "tree.h"
#include "units.h"

/* Geometry in pixels; flamegraph.js has the same table and the test of the picture compares them. */
enum {
	DEFAULT_WIDTH = 1200,
	SIDE_PAD = 12,
	FRAME_HEIGHT = 19,
	TEXT_PAD = 4,
	HEAD_HEIGHT = 64,
	NOTE_HEIGHT = 17,
	FOOT_HEIGHT = 34,
};
static const double CHAR_WIDTH = 6.64; /* of the 11 px monospaced face: 0.602 em and a little */
static const double SMALLEST_DRAWN = 0.5;

int flamegraph_diff_colour(double delta, double largest)
{
	double share = largest > 0 ? fabs(delta) / largest : 0;
	int step;

	if (share <= 0)
		return 0;
	/* The square root keeps small changes visible beside a large one; a change is never white. */
	step = (int)lround(sqrt(share > 1 ? 1 : share) * FLAMEGRAPH_MAX_DIFF);
	if (step == 0)
		step = 1;
	return delta > 0 ? step : -step;
}

static double node_delta(const struct flamegraph_layout *l, uint32_t i)
{
	const struct tree_node *node = &l->in->tree->nodes[i];

	return (double)node->total[1] - (double)node->total[0] * l->before_scale;
}

static bool is_noise(const struct flamegraph_layout *l, uint32_t i)
{
	const struct tree_node *node = &l->in->tree->nodes[i];
	double scale = l->before_scale;

	return estimate_is_noise(node_delta(l, i), (double)node->total[0] * scale * scale * l->options->variance[0] +
	                                                   (double)node->total[1] * l->options->variance[1]);
}

static unsigned name_hash(const char *name)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h ^ h >> 15;
}

void flamegraph_colour(const struct flamegraph_layout *l, uint32_t node, char out[8])
{
	struct buf b = { 0 };
	const struct function *f;

	if (l->in->profile_count == 2) {
		buf_printf(&b, "d%d",
		           is_noise(l, node) ? 0 : flamegraph_diff_colour(node_delta(l, node), l->largest_delta));
	} else if (node == 0) {
		buf_add_str(&b, "cr");
	} else {
		f = &l->in->functions->items[l->in->tree->nodes[node].function];
		if (function_is_special(f))
			buf_add_str(&b, "cs");
		else if (function_is_unnamed(f))
			buf_printf(&b, "cu%u", name_hash(f->name) % 4);
		else
			buf_printf(&b, "c%u", name_hash(f->name) % FLAMEGRAPH_COLOURS);
	}
	memset(out, 0, 8);
	if (b.data)
		memcpy(out, b.data, b.len < 7 ? b.len : 7);
	buf_done(&b);
}

/* ---- layout ---- */

static double share_of(const struct tree *t, uint32_t i, size_t k)
{
	return t->nodes[0].total[k] ? (double)t->nodes[i].total[k] / (double)t->nodes[0].total[k] : 0;
}

static bool is_wide_enough(const struct flamegraph_layout *l, uint32_t i)
{
	double width = (double)(l->width_px - 2 * SIDE_PAD);

	for (size_t k = 0; k < l->in->profile_count; k++)
		if (share_of(l->in->tree, i, k) * width >= l->options->min_width_px && l->in->tree->nodes[i].total[k])
			return true;
	return false;
}

static void place(struct flamegraph_layout *l)
{
	const struct tree *t = l->in->tree;

	l->kept[0] = l->kept_count++;
	for (uint32_t i = 1; i < t->count; i++)
		l->kept[i] = TREE_NO_NODE;
	for (uint32_t i = 0; i < t->count; i++) {
		double at = l->x[i];

		for (uint32_t c = t->nodes[i].first_child; c < t->nodes[i].first_child + t->nodes[i].child_count; c++) {
			bool parent_kept = l->kept[i] != TREE_NO_NODE;

			if (parent_kept && is_wide_enough(l, c)) {
				l->kept[c] = l->kept_count++;
				l->x[c] = at;
				at += (double)t->nodes[c].total[l->side];
				continue;
			}
			l->dropped_count++;
			if (parent_kept)
				l->dropped_value += t->nodes[c].total[l->side];
		}
	}
	for (uint32_t i = 0; l->in->profile_count == 2 && i < t->count; i++)
		if (l->kept[i] != TREE_NO_NODE)
			l->largest_delta = fmax(l->largest_delta, fabs(node_delta(l, i)));
}

static double width_of(const struct flamegraph_layout *l, uint32_t i)
{
	return share_of(l->in->tree, i, l->side) * (double)(l->width_px - 2 * SIDE_PAD);
}

/* ---- words ---- */

static void add_amount(const struct flamegraph_layout *l, uint64_t value, struct buf *out)
{
	const char *unit = profile_metric_unit(l->in->metric);
	char human[32];

	if (l->in->period_ns) {
		double ns = (double)value * (double)l->in->period_ns;

		if (l->in->period_ns != 1)
			buf_printf(out, "%llu %s, ", (unsigned long long)value, value == 1 ? "sample" : unit);
		buf_add_str(out, units_print_duration(human, sizeof(human), ns < 1.8e19 ? (uint64_t)ns : UINT64_MAX));
	} else if (strcmp(unit, "bytes") == 0) {
		buf_add_str(out, units_print_bytes(human, sizeof(human), value));
	} else {
		buf_printf(out, "%llu %s", (unsigned long long)value, unit);
	}
}

/* ": 12 samples, 120 ms, 34.50 %", or before -> after. */
static void add_tooltip(const struct flamegraph_layout *l, uint32_t i, struct buf *out)
{
	const struct tree_node *node = &l->in->tree->nodes[i];

	buf_add_str(out, ": ");
	if (l->in->profile_count == 2) {
		add_amount(l, node->total[0], out);
		buf_add_str(out, " before, ");
		add_amount(l, node->total[1], out);
		buf_printf(out, " after (%.2f %% of all)", 100 * share_of(l->in->tree, i, 1));
		return;
	}
	add_amount(l, node->total[0], out);
	buf_printf(out, ", %.2f %%", 100 * share_of(l->in->tree, i, 0));
}

/* What has no width on the side shown: frames that are gone, or (with `before`) are new. */
static void count_hidden(const struct flamegraph_layout *l, uint64_t *ret_value, uint32_t *ret_count)
{
	const struct tree *t = l->in->tree;
	size_t other = 1 - l->side;

	for (uint32_t i = 1; i < t->count; i++) {
		if (t->nodes[i].total[l->side] || !t->nodes[i].total[other])
			continue;
		(*ret_count)++;
		if (t->nodes[t->nodes[i].parent].total[l->side] || t->nodes[i].parent == 0)
			*ret_value += t->nodes[i].total[other];
	}
}

static void add_note(struct buf *notes, size_t *count)
{
	buf_add_char(notes, '\0');
	(*count)++;
}

/* The notes as strings one after the other; returns how many. */
static size_t write_notes(const struct flamegraph_layout *l, struct buf *notes)
{
	size_t count = 0;

	for (size_t i = 0; i < l->options->note_count; i++) {
		buf_add_str(notes, l->options->notes[i]);
		add_note(notes, &count);
	}
	if (l->in->profile_count == 2) {
		uint64_t value = 0;
		uint32_t frames = 0;

		count_hidden(l, &value, &frames);
		if (frames) {
			buf_add_str(notes, l->side ? "Vanished: " : "New: ");
			add_amount(l, value, notes);
			buf_printf(notes, " in %u frame%s that the %s profile does not have.", frames,
			           frames == 1 ? "" : "s", l->side ? "second" : "first");
			add_note(notes, &count);
		}
	}
	if (l->dropped_count) {
		buf_printf(notes, "%u frame%s narrower than %g px left out: ", l->dropped_count,
		           l->dropped_count == 1 ? "" : "s", l->options->min_width_px);
		add_amount(l, l->dropped_value, notes);
		buf_add_char(notes, '.');
		add_note(notes, &count);
	}
	return count;
}

/* ---- drawing ---- */

static void add_label(const struct flamegraph_layout *l, uint32_t i, double width, struct buf *out)
{
	size_t room = width > 2 * TEXT_PAD ? (size_t)((width - 2 * TEXT_PAD) / CHAR_WIDTH) : 0;
	struct buf brief = { 0 };
	const char *name;

	if (room < 3)
		return;
	name = i == 0 ? "all" : l->in->functions->items[l->in->tree->nodes[i].function].name;
	if (strlen(name) > room) {
		short_name(&brief, name);
		if (brief.len)
			name = brief.data;
	}
	clean_xml(out, name, room);
	buf_done(&brief);
}

static void draw_frame(const struct flamegraph_layout *l, uint32_t i, double top, uint32_t levels, struct buf *out)
{
	const struct tree_node *node = &l->in->tree->nodes[i];
	double scale = (double)(l->width_px - 2 * SIDE_PAD) / (double)l->in->tree->nodes[0].total[l->side];
	double x = SIDE_PAD + l->x[i] * scale, width = width_of(l, i);
	uint32_t level = l->options->inverted ? node->depth : levels - 1 - node->depth;
	double y = top + level * FRAME_HEIGHT;
	char colour[8];

	flamegraph_colour(l, i, colour);
	buf_printf(out, "<g class=\"f %s\"><title>", colour);
	clean_xml(out, i == 0 ? "all" : l->in->functions->items[node->function].name, 0);
	add_tooltip(l, i, out);
	buf_printf(out, "</title><rect x=\"%.2f\" y=\"%g\" width=\"%.2f\" height=\"%d\"/>", x, y,
	           width > 1.5 ? width - 0.5 : width, FRAME_HEIGHT - 1);
	if (width >= 3 * CHAR_WIDTH + 2 * TEXT_PAD) {
		buf_printf(out, "<text x=\"%.2f\" y=\"%g\">", x + TEXT_PAD, y + 13);
		add_label(l, i, width, out);
		buf_add_str(out, "</text>");
	}
	buf_add_str(out, "</g>\n");
}

static bool is_drawn(const struct flamegraph_layout *l, uint32_t i)
{
	return l->kept[i] != TREE_NO_NODE && (i == 0 || width_of(l, i) >= SMALLEST_DRAWN);
}

static uint32_t count_levels(const struct flamegraph_layout *l)
{
	uint32_t levels = 1;

	for (uint32_t i = 1; i < l->in->tree->count; i++)
		if (is_drawn(l, i) && l->in->tree->nodes[i].depth + 1 > levels)
			levels = l->in->tree->nodes[i].depth + 1;
	return levels;
}

static void draw_text(struct buf *out, const char *class, double x, double y, const char *text)
{
	buf_printf(out, "<text class=\"%s\" x=\"%g\" y=\"%g\">", class, x, y);
	clean_xml(out, text, 0);
	buf_add_str(out, "</text>\n");
}

/* One hue range per kind of metric: warm for time, green for memory. A hash picks hue and lightness together. */
static void add_palette(const struct flamegraph_layout *l, bool dark, struct buf *out)
{
	bool time = l->in->period_ns != 0;

	for (int i = 0; i < FLAMEGRAPH_COLOURS; i++) {
		double hue = (time ? 6 : 82) + (i * 7 % FLAMEGRAPH_COLOURS) * (time ? 48.0 : 76.0) / FLAMEGRAPH_COLOURS;
		int light = (dark ? 56 : 66) + i % 4 * 3;

		buf_printf(out, ".c%d rect{fill:hsl(%.0f,%d%%,%d%%)}", i, hue,
		           time ? (dark ? 68 : 86) : (dark ? 36 : 48), light);
	}
	for (int i = 0; i < 4; i++)
		buf_printf(out, ".cu%d rect{fill:hsl(%d,%d%%,%d%%)}", i, time ? 40 : 110, dark ? 14 : 22,
		           (dark ? 60 : 76) + 2 * i);
}

static void add_diff_palette(bool dark, struct buf *out)
{
	int same = dark ? 80 : 95;

	for (int i = -FLAMEGRAPH_MAX_DIFF; i <= FLAMEGRAPH_MAX_DIFF; i++)
		buf_printf(out, ".d%d rect{fill:hsl(%d,%d%%,%d%%)}", i, i > 0 ? 6 : 212, i == 0 ? 0 : 84,
		           same - abs(i) * (same - 60) / FLAMEGRAPH_MAX_DIFF);
}

static void add_style(const struct flamegraph_layout *l, struct buf *out)
{
	buf_add_str(out, "<style><![CDATA[\n");
	buf_add(out, embedded_flamegraph_css, embedded_flamegraph_css_len);
	for (int dark = 0; dark < 2; dark++) {
		if (dark)
			buf_add_str(out, "\n@media (prefers-color-scheme: dark) {");
		if (l->in->profile_count == 2)
			add_diff_palette(dark, out);
		else
			add_palette(l, dark, out);
	}
	buf_add_str(out, "}\n]]></style>\n");
}

static void draw(const struct flamegraph_layout *l, const struct buf *notes, size_t note_count, struct buf *out)
{
	uint32_t levels = count_levels(l);
	uint32_t top = HEAD_HEIGHT + (uint32_t)note_count * NOTE_HEIGHT;
	uint32_t height = top + levels * FRAME_HEIGHT + FOOT_HEIGHT;
	const char *note = notes->data;

	buf_printf(
	        out,
	        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n"
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u %u\">\n<title>",
	        l->width_px, height, l->width_px, height);
	clean_xml(out, l->options->title, 0);
	buf_add_str(out, "</title>\n");
	add_style(l, out);
	buf_add_str(out, "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n<g id=\"frames\">\n");
	for (uint32_t i = 0; i < l->in->tree->count && l->in->tree->nodes[0].total[l->side]; i++)
		if (is_drawn(l, i))
			draw_frame(l, i, top, levels, out);
	buf_printf(out, "</g>\n<g id=\"head\"><rect class=\"page\" width=\"100%%\" height=\"%u\"/>\n", top - 4);
	draw_text(out, "title", SIDE_PAD, 29, l->options->title);
	draw_text(out, "subtitle", SIDE_PAD, 49, l->options->subtitle);
	for (size_t i = 0; i < note_count; i++, note += strlen(note) + 1)
		draw_text(out, "note", SIDE_PAD, HEAD_HEIGHT + 2.0 + (double)i * NOTE_HEIGHT, note);
	buf_printf(out, "</g>\n<g id=\"foot\" data-top=\"%u\"></g>\n", top);
	buf_add_str(out, "<script id=\"data\" type=\"application/json\"><![CDATA[");
	flamegraph_data(l, out);
	buf_add_str(out, "]]></script>\n<script><![CDATA[\n");
	buf_add(out, embedded_flamegraph_js, embedded_flamegraph_js_len);
	buf_add_str(out, "]]></script>\n</svg>\n");
}

void flamegraph_write(const struct flamegraph_input *in, const struct flamegraph_options *options, struct buf *out)
{
	struct flamegraph_layout l = {
		.in = in,
		.options = options,
		.side = in->profile_count == 2 && !options->before ? 1 : 0,
		.width_px = options->width_px ? options->width_px : DEFAULT_WIDTH,
		.before_scale = options->before_scale > 0 ? options->before_scale : 1,
	};
	struct buf notes = { 0 };

	l.x = calloc(in->tree->count, sizeof(*l.x));
	l.kept = calloc(in->tree->count, sizeof(*l.kept));
	if (l.x && l.kept) {
		size_t note_count;

		place(&l);
		note_count = write_notes(&l, &notes);
		draw(&l, &notes, note_count, out);
	}
	if (!l.x || !l.kept || notes.failed)
		out->failed = true;
	buf_done(&notes);
	free(l.x);
	free(l.kept);
}
