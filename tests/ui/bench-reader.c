/* bench-reader.c: what opening and using a long document costs the window.
 *
 * usage: bench-reader [FILE...]; without files: a text of 3 MB and a PDF of 300 pages that it makes.
 * A turn is the time between two polls of the main loop. Wall time counts whatever else the machine does; processor time does not.
 */
#include <cairo-pdf.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "app-fixture.h"
#include "ui-reader-internal.h"

enum { PAGES = 300, PARAGRAPHS = 6600 };

static gint64 turn_start_us, turn_start_cpu_us, max_turn_us, max_turn_cpu_us;

static gint64 cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static gint poll_and_time(GPollFD *fds, guint n_fds, gint timeout_ms)
{
    if (turn_start_us != 0) {
        max_turn_us = MAX(max_turn_us, g_get_monotonic_time() - turn_start_us);
        max_turn_cpu_us = MAX(max_turn_cpu_us, cpu_us() - turn_start_cpu_us);
    }
    gint n = g_poll(fds, n_fds, timeout_ms);
    turn_start_us = g_get_monotonic_time();
    turn_start_cpu_us = cpu_us();
    return n;
}

static double rss_mb(void)
{
    unsigned long n_all = 0, n_resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm == NULL || fscanf(statm, "%lu %lu", &n_all, &n_resident) != 2) n_resident = 0;
    if (statm != NULL) fclose(statm);
    return (double)n_resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static char *make_text(const char *folder)
{
    GString *text = g_string_new("A Long Book\n\n");
    for (int i = 0; i < PARAGRAPHS; i++) {
        if (i % 60 == 0) g_string_append_printf(text, "CHAPTER %d\n\n", i / 60 + 1);
        for (int k = 0; k < 7; k++) g_string_append_printf(text, "In sentence %d of paragraph %d somebody goes down to the river again. ", k, i);
        g_string_append(text, "\n\n");
    }
    char *path = g_build_filename(folder, "book.txt", NULL);
    if (!g_file_set_contents(path, text->str, (gssize)text->len, NULL)) g_error("cannot write %s", path);
    g_string_free(text, TRUE);
    return path;
}

static char *make_pdf(const char *folder)
{
    char *path = g_build_filename(folder, "report.pdf", NULL);
    cairo_surface_t *surface = cairo_pdf_surface_create(path, 612, 792);
    cairo_t *cr = cairo_create(surface);
    for (int page = 0; page < PAGES; page++) {
        cairo_set_font_size(cr, 10);
        for (int line = 0; line < 45; line++) {
            g_autofree char *text = g_strdup_printf("On page %d line %d states that net revenue was %d million in the year before.", page + 1, line, page * 45 + line);
            cairo_move_to(cr, 60, 60 + 15 * line);
            cairo_show_text(cr, text);
        }
        cairo_show_page(cr);
    }
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return path;
}

static gboolean on_time(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_REMOVE;
}

static void run_ms(guint ms)
{
    bool is_over = false;
    g_timeout_add(ms, on_time, &is_over);
    while (!is_over) g_main_context_iteration(NULL, TRUE);
}

static bool is_shown(UiReader *reader)
{
    if (reader->document == NULL) return false;
    if (reader->view == APP_VIEW_PAGES) return ui_pdf_pages_is_crisp(reader->pdf_pages);
    return ui_text_page_is_settled(reader->text_page);
}

static void tell(const char *what, gint64 since_us)
{
    printf("  %-44s %8.1f ms   longest turn %6.1f ms (%.1f ms of processor)\n", what, (double)(g_get_monotonic_time() - since_us) / 1e3,
           (double)max_turn_us / 1e3, (double)max_turn_cpu_us / 1e3);
    max_turn_us = max_turn_cpu_us = 0;
}

#define run_until(condition)                                                                                                               \
    do {                                                                                                                                   \
        while (!(condition)) g_main_context_iteration(NULL, TRUE);                                                                         \
    } while (0)

static void use_document(UiContext *context, UiReader *reader, const char *path)
{
    g_autoptr(GError) error = NULL;
    AppAdded added;
    int64_t id = app_reader_add_file(ui_context_get_library(context), path, &(AppAddOptions){0}, &added, &error);
    if (id < 0) g_error("%s", error->message);
    run_ms(500); /* what the library says of it is over */
    max_turn_us = max_turn_cpu_us = 0;
    gint64 start_us = g_get_monotonic_time();
    ui_reader_open(reader, id);
    run_until(is_shown(reader));
    printf("%s: %zu bytes, %u pages\n", path, reader->document->n_bytes, reader->document->pages->len);
    tell("opened, first screen drawn", start_us);

    GtkWidget *view = reader->view == APP_VIEW_PAGES ? GTK_WIDGET(reader->pdf_pages) : GTK_WIDGET(reader->text_page);
    GtkAdjustment *adjustment = gtk_scrollable_get_vadjustment(GTK_SCROLLABLE(view));
    start_us = g_get_monotonic_time();
    for (int i = 0; i < 60; i++) {
        gtk_adjustment_set_value(adjustment, gtk_adjustment_get_value(adjustment) + 120);
        run_ms(16);
    }
    tell("scrolled by 60 steps of 120 pixels", start_us);

    start_us = g_get_monotonic_time();
    ui_reader_show_passage(reader, id, reader->document->n_bytes / 2, reader->document->n_bytes / 2 + 80);
    run_ms(50);
    run_until(is_shown(reader));
    tell("went to a passage in the middle", start_us);

    start_us = g_get_monotonic_time();
    gtk_search_bar_set_search_mode(reader->search_bar, TRUE);
    gtk_editable_set_text(GTK_EDITABLE(reader->search_entry), "the");
    run_until(reader->matches != NULL && is_shown(reader));
    printf("  %u places of “the”\n", reader->matches->len);
    tell("found a common word (typing rest included)", start_us);
    gtk_search_bar_set_search_mode(reader->search_bar, FALSE);

    start_us = g_get_monotonic_time();
    run_ms(4000);
    tell("idle afterwards (the rest is laid out)", start_us);
    printf("  %-44s %8.1f MB\n", "memory of the window's process", rss_mb());
}

int main(int argc, char **argv)
{
    if (!gtk_init_check()) {
        fprintf(stderr, "bench-reader: there is no display\n");
        return 1;
    }
    adw_init();
    g_autofree char *folder = g_dir_make_tmp("lectern-bench-XXXXXX", NULL), *data = g_build_filename(folder, "data", NULL);
    g_autoptr(GError) error = NULL;
    UiContext *context = ui_context_new(data, &error);
    if (context == NULL) g_error("%s", error->message);
    GtkWidget *window = adw_window_new(), *reader = ui_reader_new(context);
    gtk_window_set_default_size(GTK_WINDOW(window), 1000, 760);
    adw_window_set_content(ADW_WINDOW(window), reader);
    gtk_window_present(GTK_WINDOW(window));
    run_ms(500);
    printf("empty reader: %.1f MB\n", rss_mb());
    g_main_context_set_poll_func(NULL, poll_and_time);
    if (argc > 1) {
        for (int i = 1; i < argc; i++) use_document(context, UI_READER(reader), argv[i]);
    } else {
        g_autofree char *text = make_text(folder), *pdf = make_pdf(folder);
        use_document(context, UI_READER(reader), text);
        use_document(context, UI_READER(reader), pdf);
    }
    gtk_window_destroy(GTK_WINDOW(window));
    g_object_unref(context);
    remove_tree(folder);
    return 0;
}
