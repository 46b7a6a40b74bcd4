/* ui-models-page.h: preferences: the models there are, which one reads and answers, importing, downloads. */
#ifndef UI_MODELS_PAGE_H
#define UI_MODELS_PAGE_H

#include <adwaita.h>

#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_MODELS_PAGE (ui_models_page_get_type())
G_DECLARE_FINAL_TYPE(UiModelsPage, ui_models_page, UI, MODELS_PAGE, AdwPreferencesPage)

GtkWidget *ui_models_page_new(UiContext *context);

G_END_DECLS

#endif
