/* ui-calibration.h: how many features a model keeps, as measured: rows below a model in the preferences.
 *
 * Owns: the stored table as rows, choosing one of them. Does not own: measuring (started by the page, which has the progress row).
 */
#ifndef UI_CALIBRATION_H
#define UI_CALIBRATION_H

#include <adwaita.h>

#include "app-calibration.h"

G_BEGIN_DECLS

/* Adds rows to a model's row. calibration NULL: only the one that offers to measure. measure: called with user when that is pressed;
 * chosen: after another choice was stored. */
void ui_calibration_add_rows(AdwExpanderRow *row, const char *data_folder, const char *model, const AppCalibration *calibration,
                             void (*measure)(gpointer user, const char *model), void (*chosen)(gpointer user, const char *model), gpointer user);

G_END_DECLS

#endif
