/* For fuzz targets: a model that a reader has let through must be fit for all that is made of it. */
#pragma once
#include "model.h"

/* Makes every profile, a diff with itself and the views of leaks; aborts where one is unsound. Changes the modules' paths: a fuzzer
 * must not open files of its own choice. */
void views_check(struct model *m);
