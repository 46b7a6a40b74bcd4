/* ui-storage-page.h: preferences: what saved states cost by document: pins, removing, the budget, verifying. */
#ifndef UI_STORAGE_PAGE_H
#define UI_STORAGE_PAGE_H

#include <adwaita.h>

#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_STORAGE_PAGE (ui_storage_page_get_type())
G_DECLARE_FINAL_TYPE(UiStoragePage, ui_storage_page, UI, STORAGE_PAGE, AdwPreferencesPage)

GtkWidget *ui_storage_page_new(UiContext *context);

G_END_DECLS

#endif
