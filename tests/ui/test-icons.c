/* test-icons.c: ui/ui-icons.h: no thread of GTK's drops the last reference to an icon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <gtk/gtk.h>

#include "ui-icons.h"

static void test_icons_outlive_who_shows_them(void **state)
{
    GtkIconTheme *theme = gtk_icon_theme_get_for_display(gdk_display_get_default());
    for (int size_px = 129; size_px < 160; size_px++) { /* larger than what GTK itself keeps */
        gpointer icon = gtk_icon_theme_lookup_icon(theme, "edit-find-symbolic", NULL, size_px, 1, GTK_TEXT_DIR_LTR, 0);
        g_object_add_weak_pointer(G_OBJECT(icon), &icon);
        g_object_unref(icon);
        assert_non_null(icon);
        g_autoptr(GtkIconPaintable) again = gtk_icon_theme_lookup_icon(theme, "edit-find-symbolic", NULL, size_px, 1, GTK_TEXT_DIR_LTR, 0);
        assert_ptr_equal(again, icon);
        g_object_remove_weak_pointer(G_OBJECT(icon), &icon);
    }
}

int main(void)
{
    gtk_init();
    ui_icons_keep();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_icons_outlive_who_shows_them)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
