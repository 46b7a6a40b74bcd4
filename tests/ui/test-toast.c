/* Toasts in the narrowest window, beside buttons of any language: all of their words are seen, and what is told about a long title. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "ui-removals.h"
#include "ui-toast.h"

#define LONG_TITLE "The Annual Report of the Association of Gardeners of the Southern Counties for the Year 1805 with an Appendix on Apple Trees"

enum { EDGE_PX = 12 };

typedef struct Fixture {
    GtkWidget *window, *overlay;
    AdwToast *toast;
} Fixture;

static void add_toast(gpointer user, AdwToast *toast)
{
    Fixture *f = user;
    ui_toast_fit(toast, f->window);
    f->toast = g_object_ref(toast);
    adw_toast_overlay_add_toast(ADW_TOAST_OVERLAY(f->overlay), toast);
}

static gboolean set_true(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

static void run_for(guint ms)
{
    bool over = false;
    g_timeout_add(ms, set_true, &over);
    while (!over) g_main_context_iteration(NULL, TRUE);
}

static void open_window(Fixture *f, int width)
{
    *f = (Fixture){.window = adw_window_new(), .overlay = adw_toast_overlay_new()};
    adw_toast_overlay_set_child(ADW_TOAST_OVERLAY(f->overlay), gtk_label_new("below"));
    adw_window_set_content(ADW_WINDOW(f->window), f->overlay);
    gtk_window_set_default_size(GTK_WINDOW(f->window), width, 400);
    gtk_window_present(GTK_WINDOW(f->window));
    while (gtk_widget_get_width(f->overlay) == 0) g_main_context_iteration(NULL, TRUE);
}

/* Once it has slid in: its words in the room they were given, none cut off, away from the toast's edges. */
static void assert_all_seen(Fixture *f)
{
    GtkWidget *label = adw_toast_get_custom_title(f->toast);
    run_for(600);
    PangoLayout *layout = gtk_label_get_layout(GTK_LABEL(label));
    int height;
    pango_layout_get_pixel_size(layout, NULL, &height);
    if (pango_layout_is_ellipsized(layout)) fail_msg("cut off: %s", gtk_label_get_text(GTK_LABEL(label)));
    GtkWidget *toast = label;
    while (toast != NULL && strcmp(G_OBJECT_TYPE_NAME(toast), "AdwToastWidget") != 0) toast = gtk_widget_get_parent(toast);
    assert_non_null(toast);
    if (height > gtk_widget_get_height(toast)) /* its edges are not counted */
        fail_msg("%d pixels of text in a toast of %d: %s", height, gtk_widget_get_height(toast), gtk_label_get_text(GTK_LABEL(label)));
    graphene_rect_t bounds;
    assert_true(gtk_widget_compute_bounds(toast, f->window, &bounds));
    assert_true(bounds.origin.x >= EDGE_PX && bounds.origin.x + bounds.size.width <= (float)(gtk_widget_get_width(f->window) - EDGE_PX));
}

static void close_window(Fixture *f)
{
    gtk_window_destroy(GTK_WINDOW(f->window));
    g_clear_object(&f->toast);
    run_for(10);
}

static void test_reasons(void **state)
{
    static const char *const buttons[] = {NULL, "_Undo", "_Rückgängig", "_Visszavonás"};
    static const int widths[] = {360, 500, 900};
    for (size_t i = 0; i < G_N_ELEMENTS(buttons) * G_N_ELEMENTS(widths); i++) {
        Fixture f;
        open_window(&f, widths[i % G_N_ELEMENTS(widths)]);
        AdwToast *toast = ui_toast_new("The settings cannot be written: No space left on device. Free some.");
        adw_toast_set_button_label(toast, buttons[i / G_N_ELEMENTS(widths)]);
        add_toast(&f, toast);
        assert_all_seen(&f);
        close_window(&f);
    }
}

static void do_nothing(gpointer removal) { }
static void forget_nothing(gpointer removal, bool at_once) { }

/* That it was removed stands behind the title. */
static void test_removals(void **state)
{
    static const UiRemovalKind kind = {do_nothing, forget_nothing, do_nothing};
    static const char *const names[] = {"Alice", LONG_TITLE, "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnungsentwurf"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        Fixture f;
        open_window(&f, 360);
        UiRemovals *removals = ui_removals_new(add_toast, &f);
        g_autofree char *text = ui_removals_dup_text(names[i]);
        assert_true(g_str_has_suffix(text, "” removed"));
        ui_removals_add(removals, text, &kind, NULL);
        assert_all_seen(&f);
        ui_removals_free(removals);
        close_window(&f);
    }
}

static void test_shortened(void **state)
{
    static const struct {
        const char *title, *text;
    } titles[] = {{"", ""},
                  {"Alice", "Alice"},
                  {LONG_TITLE, "The Annual Report of the Association of Gardeners of…"},
                  {"Ääääääääääääääääääääääääääääääääääääääääääääääääääääääääää", "Äääääääääääääääääääääääääääääääääääääääääääääääääääääää…"}};
    for (size_t i = 0; i < G_N_ELEMENTS(titles); i++) {
        g_autofree char *text = ui_toast_shorten(titles[i].title);
        assert_string_equal(text, titles[i].text);
    }
}

int main(void)
{
    adw_init();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reasons), cmocka_unit_test(test_removals), cmocka_unit_test(test_shortened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
