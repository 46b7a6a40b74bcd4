/* ui-general-page.h: preferences: what is read when, watched folders, a second machine that may answer. */
#ifndef UI_GENERAL_PAGE_H
#define UI_GENERAL_PAGE_H

#include <adwaita.h>

#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_GENERAL_PAGE (ui_general_page_get_type())
G_DECLARE_FINAL_TYPE(UiGeneralPage, ui_general_page, UI, GENERAL_PAGE, AdwPreferencesPage)

GtkWidget *ui_general_page_new(UiContext *context);

G_END_DECLS

#endif
