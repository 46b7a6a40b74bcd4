/* app-calibration-internal.h: the stored choice, for those who open a model (private to app/). */
#ifndef APP_CALIBRATION_INTERNAL_H
#define APP_CALIBRATION_INTERNAL_H

#include "app-calibration.h"
#include "eng.h"

G_BEGIN_DECLS

/* Fills k_key and k_query with what was chosen for the model at this path; untouched when nothing was. */
void app_calibration_get_choice(const char *data_folder, const char *model_path, eng_model_options *options);

G_END_DECLS

#endif
