/* A model that the reader let through can be merged, with itself and with another, and written: the result passes every check and
 * reads back the same. */
#pragma once
struct model;

void merge_check(const struct model *m);
