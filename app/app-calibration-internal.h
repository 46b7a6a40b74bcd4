/* app-calibration-internal.h: the stored choice, for those who open a model (private to app/). */
#ifndef APP_CALIBRATION_INTERNAL_H
#define APP_CALIBRATION_INTERNAL_H

#include "app-calibration.h"
#include "eng.h"

G_BEGIN_DECLS

/* Fills the options with what was chosen for the model at this path; untouched when nothing was. The result is the path of the rotation,
 * which the options borrow: g_free it after them; NULL: none. */
char *app_calibration_get_choice(const char *data_folder, const char *model_path, eng_model_options *options);

/* Deletes what was measured with a model of this name, before it goes: another may take the name. */
void app_calibration_forget(const char *data_folder, const char *name);

G_END_DECLS

#endif
