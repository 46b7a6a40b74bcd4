/* test-reader.c: the reader in a window: passages on pages and in text, finding, going, the position kept, the strip, states.
 *
 * Documents are made here and taken in as the application does. What is on the screen is looked at through the window's own renderer.
 */
#include <cairo-pdf.h>
#include <math.h>

#include "app-fixture.h"
#include "select-tests.h"
#include "ui-reader-internal.h"

enum { PAGES = 8, PAGE_WIDTH = 612, PAGE_HEIGHT = 792 };
static const char NEEDLE[] = "zebra jumps over nineteen lazy sheep";

typedef struct Window {
    UiContext *context;
    GtkWindow *window;
    UiReader *reader;
} Window;

/* ----------------------------------------------------------------------------------------------------------- documents */

/* Each page has its number and lines of prose; page 5 (index 4) has the needle at a known height. */
static char *make_pdf(const Fixture *fixture)
{
    char *path = fixture_path(fixture, "animals.pdf");
    cairo_surface_t *surface = cairo_pdf_surface_create(path, PAGE_WIDTH, PAGE_HEIGHT);
    cairo_t *cr = cairo_create(surface);
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, 12);
    for (int page = 0; page < PAGES; page++) {
        for (int line = 0; line < 20; line++) {
            g_autofree char *text = page == 4 && line == 9 ? g_strdup_printf("The %s.", NEEDLE)
                                                           : g_strdup_printf("On sheet %c stands sentence %c about quiet rivers.", 'A' + page, 'a' + line);
            cairo_move_to(cr, 72, 100 + 30 * line);
            cairo_show_text(cr, text);
        }
        cairo_show_page(cr);
    }
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return path;
}

static char *make_book(const Fixture *fixture)
{
    GString *text = g_string_new("A Small Book\n\n");
    for (int chapter = 1; chapter <= 12; chapter++) {
        g_string_append_printf(text, "CHAPTER %d\n\n", chapter);
        for (int i = 0; i < 30; i++) {
            g_string_append_printf(text, "Paragraph %d of chapter %d says “nothing new”, at some length, so that it fills more than a line of the page.\n\n", i + 1, chapter);
        }
    }
    char *path = fixture_path(fixture, "book.txt");
    assert_true(g_file_set_contents(path, text->str, (gssize)text->len, NULL));
    g_string_free(text, TRUE);
    return path;
}

static int64_t take_in(const Fixture *fixture, const char *path)
{
    g_autoptr(GError) error = NULL;
    AppAdded added;
    int64_t id = app_reader_add_file(fixture->library, path, &(AppAddOptions){0}, &added, &error);
    assert_null(error);
    assert_true(id > 0);
    return id;
}

static UiRange find_words(const Fixture *fixture, int64_t id, const char *words)
{
    bool found = false;
    uint64_t start = 0;
    assert_true(app_library_find_text(fixture->library, id, words, 0, &found, &start, NULL));
    assert_true(found);
    return (UiRange){start, start + strlen(words)};
}

/* -------------------------------------------------------------------------------------------------------------- window */

static Window open_window(const Fixture *fixture)
{
    Window window = {0};
    g_autoptr(GError) error = NULL;
    window.context = ui_context_new(app_library_get_folder(fixture->library), &error);
    assert_null(error);
    window.window = GTK_WINDOW(adw_window_new());
    gtk_window_set_default_size(window.window, 800, 600);
    window.reader = UI_READER(ui_reader_new(window.context));
    adw_window_set_content(ADW_WINDOW(window.window), GTK_WIDGET(window.reader));
    gtk_window_present(window.window);
    return window;
}

static void run_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE)) {
    }
}

static void close_window(Window *window)
{
    gtk_window_destroy(window->window);
    run_idle();
    g_object_unref(window->context);
}

static gboolean on_late(gpointer user)
{
    *(bool *)user = true;
    return G_SOURCE_CONTINUE;
}

/* Runs the main loop until it holds; a minute is no time limit but the end of hope. */
#define wait_until(condition)                                                                                                              \
    do {                                                                                                                                   \
        bool is_late = false;                                                                                                              \
        guint late = g_timeout_add_seconds(60, on_late, &is_late);                                                                         \
        while (!(condition) && !is_late) g_main_context_iteration(NULL, TRUE);                                                             \
        g_source_remove(late);                                                                                                             \
        assert_true(condition);                                                                                                            \
    } while (0)

/* Frames of the window, so that layout and drawing have happened. */
static gboolean on_frame(GtkWidget *widget, GdkFrameClock *clock, gpointer user)
{
    gtk_widget_queue_draw(widget);
    return --*(int *)user > 0;
}
static void wait_frames(Window *window, int n)
{
    int left = n;
    gtk_widget_add_tick_callback(GTK_WIDGET(window->reader), on_frame, &left, NULL);
    wait_until(left <= 0);
}

static void open_document(Window *window, int64_t id)
{
    ui_reader_open(window->reader, id);
    wait_until(window->reader->document != NULL);
    if (window->reader->view == APP_VIEW_TEXT) wait_until(ui_text_page_is_filled(window->reader->text_page));
    wait_frames(window, 6);
}

static void activate(Window *window, const char *action)
{
    assert_true(gtk_widget_activate_action(GTK_WIDGET(window->reader), action, NULL));
    wait_frames(window, 6);
}

static const char *shown_view(Window *window)
{
    return gtk_stack_get_visible_child_name(window->reader->stack);
}

/* The colour of a point of a widget as drawn. */
static GdkRGBA colour_at(Window *window, GtkWidget *widget, float x, float y)
{
    g_autoptr(GdkPaintable) paintable = gtk_widget_paintable_new(widget);
    int width = gtk_widget_get_width(widget), height = gtk_widget_get_height(widget);
    GtkSnapshot *snapshot = gtk_snapshot_new();
    gdk_paintable_snapshot(paintable, snapshot, width, height);
    g_autoptr(GskRenderNode) node = gtk_snapshot_free_to_node(snapshot);
    GskRenderer *renderer = gtk_native_get_renderer(GTK_NATIVE(window->window));
    g_autoptr(GdkTexture) texture = gsk_renderer_render_texture(renderer, node, &GRAPHENE_RECT_INIT(x, y, 1, 1));
    guint32 pixel = 0;
    gdk_texture_download(texture, (guchar *)&pixel, 4);
    return (GdkRGBA){(float)(pixel >> 16 & 255) / 255, (float)(pixel >> 8 & 255) / 255, (float)(pixel & 255) / 255, 1};
}

static bool is_yellow(GdkRGBA colour)
{
    return colour.red > 0.8F && colour.green > 0.7F && colour.blue < 0.8F;
}

static bool is_white(GdkRGBA colour)
{
    return colour.red > 0.97F && colour.green > 0.97F && colour.blue > 0.97F;
}

/* ------------------------------------------------------------------------------------------------------------- passages */

static void test_passage_on_page(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = make_pdf(fixture);
    int64_t id = take_in(fixture, path);
    Window window = open_window(fixture);
    UiRange range = find_words(fixture, id, NEEDLE);
    g_autoptr(AppPlace) place = app_library_locate(fixture->library, id, range.start, range.end, NULL);
    assert_int_equal(place->page_first, 4);
    assert_true(place->n_boxes > 0);

    ui_reader_show_passage(window.reader, id, range.start, range.end);
    wait_until(window.reader->document != NULL);
    assert_string_equal(shown_view(&window), "pages");
    GtkWidget *pages = GTK_WIDGET(window.reader->pdf_pages);
    graphene_rect_t first = {0}, rect = {0};
    wait_until(ui_pdf_pages_get_box_rect(window.reader->pdf_pages, &place->boxes[0], &first) && first.origin.y > 0 &&
               first.origin.y < (float)gtk_widget_get_height(pages));
    wait_until(ui_pdf_pages_is_crisp(window.reader->pdf_pages));
    wait_frames(&window, 3);
    /* A third from the top, on the page with the words, where the words were drawn: base line 370, first letter behind "The ". */
    assert_true(fabs((double)first.origin.y - 0.3 * gtk_widget_get_height(pages)) < 2);
    assert_int_equal(place->boxes[0].page, 4);
    assert_true(place->boxes[0].y0 > 355 && place->boxes[0].y1 < 378 && place->boxes[0].x0 > 90 && place->boxes[0].x0 < 110);
    for (size_t i = 0; i < place->n_boxes; i++) {
        assert_true(ui_pdf_pages_get_box_rect(window.reader->pdf_pages, &place->boxes[i], &rect));
        assert_true(is_yellow(colour_at(&window, pages, rect.origin.x + rect.size.width / 2, rect.origin.y + 1)));
    }
    /* Neither the word before it nor the line above. */
    assert_true(is_white(colour_at(&window, pages, first.origin.x - 20, first.origin.y + 1)));
    assert_true(is_white(colour_at(&window, pages, first.origin.x + 10, first.origin.y - 12)));

    assert_true(ui_reader_clear_passage(window.reader));
    wait_frames(&window, 3);
    assert_true(is_white(colour_at(&window, pages, first.origin.x + first.size.width / 2, first.origin.y + 1)));
    assert_false(ui_reader_clear_passage(window.reader));
    close_window(&window);
}

/* In the widget's coordinates; lines above it may still be getting their heights. */
static void find_first_rect(UiTextPage *page, const UiRange *range, int *ret_x, int *ret_y)
{
    g_autoptr(GArray) rects = ui_text_page_get_rects(page, range);
    assert_int_equal(rects->len, 1);
    const graphene_rect_t *rect = &g_array_index(rects, graphene_rect_t, 0);
    gtk_text_view_buffer_to_window_coords(GTK_TEXT_VIEW(page), GTK_TEXT_WINDOW_WIDGET, (int)rect->origin.x, (int)rect->origin.y, ret_x, ret_y);
}

static void test_passage_in_text(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = make_book(fixture);
    int64_t id = take_in(fixture, path);
    Window window = open_window(fixture);
    UiRange range = find_words(fixture, id, "of chapter 9 says");
    ui_reader_show_passage(window.reader, id, range.start, range.end);
    wait_until(window.reader->document != NULL && ui_text_page_is_filled(window.reader->text_page));
    wait_until(ui_text_page_is_settled(window.reader->text_page));
    wait_frames(&window, 3);
    UiTextPage *page = window.reader->text_page;
    int x = 0, y = 0;
    wait_until((find_first_rect(page, &range, &x, &y), fabs(y - 0.3 * gtk_widget_get_height(GTK_WIDGET(page))) < 4));
    assert_true(is_yellow(colour_at(&window, GTK_WIDGET(page), (float)x + 1, (float)y + 2)));
    assert_true(is_white(colour_at(&window, GTK_WIDGET(page), (float)x - 3, (float)y + 2)));
    close_window(&window);
}

/* ------------------------------------------------------------------------------------------------------------- position */

static void test_position_is_kept(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *pdf = make_pdf(fixture), *book = make_book(fixture);
    int64_t pages = take_in(fixture, pdf), text = take_in(fixture, book);
    UiRange chapter = find_words(fixture, text, "CHAPTER 7");
    Window window = open_window(fixture);
    open_document(&window, pages);
    ui_pdf_pages_scroll_to(window.reader->pdf_pages, 5, 0.25, 0);
    wait_frames(&window, 4);
    open_document(&window, text);
    ui_reader_go_to_byte(window.reader, chapter.start, 0);
    wait_until(ui_reader_get_place(window.reader).start == chapter.start);
    wait_frames(&window, 10);
    close_window(&window);

    window = open_window(fixture);
    open_document(&window, pages);
    wait_until(ui_reader_get_place(window.reader).page == 5);
    assert_true(fabs((double)ui_reader_get_place(window.reader).page_y - 0.25) < 0.01);
    open_document(&window, text);
    wait_until(ui_reader_get_place(window.reader).start == chapter.start);
    close_window(&window);
}

/* ----------------------------------------------------------------------------------------------------------------- find */

static void type_find(Window *window, const char *words)
{
    activate(window, "reader.find");
    gtk_editable_set_text(GTK_EDITABLE(window->reader->search_entry), words);
    g_signal_emit_by_name(window->reader->search_entry, "search-changed");
}

static void test_find(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *pdf = make_pdf(fixture), *book = make_book(fixture);
    int64_t pages = take_in(fixture, pdf), text = take_in(fixture, book);
    Window window = open_window(fixture);
    open_document(&window, text);
    type_find(&window, "says \"nothing  NEW\""); /* straight quotes, two blanks, capitals */
    wait_until(window.reader->matches != NULL && window.reader->matches->len == 360);
    assert_string_equal(gtk_label_get_text(window.reader->match_label), "1 of 360");
    activate(&window, "reader.find-next");
    assert_string_equal(gtk_label_get_text(window.reader->match_label), "2 of 360");
    activate(&window, "reader.find-previous");
    activate(&window, "reader.find-previous");
    assert_string_equal(gtk_label_get_text(window.reader->match_label), "360 of 360");
    uint64_t last = g_array_index(window.reader->matches, UiRange, 359).start, start = 0, end = 0;
    wait_until((ui_text_page_get_visible(window.reader->text_page, &start, &end), start <= last && last < end));
    type_find(&window, "no such words");
    wait_until(window.reader->matches != NULL && window.reader->matches->len == 0);
    assert_string_equal(gtk_label_get_text(window.reader->match_label), "Not found");

    open_document(&window, pages);
    type_find(&window, "zebra jumps");
    wait_until(window.reader->matches != NULL && window.reader->matches->len == 1);
    wait_until(ui_reader_get_place(window.reader).page >= 3 && !window.reader->is_locating_matches);
    UiRange range = find_words(fixture, pages, "zebra jumps");
    g_autoptr(AppPlace) place = app_library_locate(fixture->library, pages, range.start, range.end, NULL);
    graphene_rect_t rect = {0};
    wait_until(ui_pdf_pages_is_crisp(window.reader->pdf_pages) && !window.reader->is_locating_matches);
    wait_frames(&window, 4);
    assert_true(ui_pdf_pages_get_box_rect(window.reader->pdf_pages, &place->boxes[0], &rect));
    GdkRGBA colour = colour_at(&window, GTK_WIDGET(window.reader->pdf_pages), rect.origin.x + rect.size.width / 2, rect.origin.y + 1.5F);
    assert_true(colour.blue > colour.red + 0.1F);
    close_window(&window);
}

/* ---------------------------------------------------------------------------------------------------------------- going */

static void test_go_to(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *pdf = make_pdf(fixture), *book = make_book(fixture);
    int64_t pages = take_in(fixture, pdf), text = take_in(fixture, book);
    Window window = open_window(fixture);
    open_document(&window, pages);
    gtk_editable_set_text(GTK_EDITABLE(window.reader->page_entry), "4");
    ui_reader_on_page_entry_activate(window.reader);
    wait_until(ui_reader_get_place(window.reader).page == 3);
    assert_string_equal(gtk_editable_get_text(GTK_EDITABLE(window.reader->page_entry)), "4");
    assert_string_equal(gtk_label_get_text(window.reader->page_count), "of 8");
    activate(&window, "reader.next-page");
    assert_int_equal(ui_reader_get_place(window.reader).page, 4);
    activate(&window, "reader.previous-page");
    activate(&window, "reader.previous-page");
    assert_int_equal(ui_reader_get_place(window.reader).page, 2);
    gtk_editable_set_text(GTK_EDITABLE(window.reader->page_entry), "99");
    ui_reader_on_page_entry_activate(window.reader);
    wait_frames(&window, 3);
    assert_int_equal(ui_reader_get_place(window.reader).page, 2);
    activate(&window, "reader.last-page");
    assert_string_equal(gtk_editable_get_text(GTK_EDITABLE(window.reader->page_entry)), "8");
    /* The text begins where the page did. */
    activate(&window, "reader.first-page");
    ui_pdf_pages_scroll_to(window.reader->pdf_pages, 4, 0, 0);
    wait_frames(&window, 3);
    activate(&window, "reader.toggle-view");
    assert_string_equal(shown_view(&window), "text");
    wait_until(ui_reader_get_place(window.reader).page == 4);
    double before = ui_pdf_pages_get_scale(window.reader->pdf_pages);
    activate(&window, "reader.toggle-view");
    activate(&window, "reader.zoom-in");
    assert_true(ui_pdf_pages_get_scale(window.reader->pdf_pages) > 1.1 * before);
    activate(&window, "reader.zoom-reset");
    assert_true(fabs(ui_pdf_pages_get_scale(window.reader->pdf_pages) - before) < 1e-6);

    open_document(&window, text);
    ui_reader_on_chosen(window.reader, find_words(fixture, text, "CHAPTER 3").start, FALSE);
    wait_until(ui_reader_get_place(window.reader).start == find_words(fixture, text, "CHAPTER 3").start);
    activate(&window, "reader.next-chapter");
    wait_until(ui_reader_get_place(window.reader).start == find_words(fixture, text, "CHAPTER 4").start);
    assert_string_equal(gtk_label_get_text(window.reader->chapter_label), "CHAPTER 4");
    activate(&window, "reader.previous-chapter");
    activate(&window, "reader.previous-chapter");
    wait_until(ui_reader_get_place(window.reader).start == find_words(fixture, text, "CHAPTER 2").start);
    close_window(&window);
}

/* ---------------------------------------------------------------------------------------------------------------- strip */

static GtkEventController *find_controller(GtkWidget *widget, GType type)
{
    g_autoptr(GListModel) controllers = gtk_widget_observe_controllers(widget);
    for (guint i = 0; i < g_list_model_get_n_items(controllers); i++) {
        g_autoptr(GtkEventController) controller = g_list_model_get_item(controllers, i);
        if (G_TYPE_CHECK_INSTANCE_TYPE(controller, type)) return controller; /* the widget holds it */
    }
    return NULL;
}

static void test_strip(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *book = make_book(fixture);
    int64_t text = take_in(fixture, book);
    Window window = open_window(fixture);
    open_document(&window, text);
    assert_false(gtk_widget_get_visible(window.reader->strip_box));
    UiRange chapter = find_words(fixture, text, "CHAPTER 8");
    float masses[2][4] = {{0.01F, 0, 0, 0}, {0, 0.6F, 0, 0}};
    AppAttended attended[] = {{.document = text, .part_masses = masses[0], .n_parts = 4, .start = 0, .end = 400},
                              {.document = text, .part_masses = masses[1], .n_parts = 4, .start = chapter.start - 500, .end = chapter.start + 1500},
                              {.document = text + 1, .part_masses = masses[1], .n_parts = 4, .start = 0, .end = 400}};
    ui_reader_set_attended(window.reader, attended, G_N_ELEMENTS(attended));
    wait_frames(&window, 3);
    assert_true(gtk_widget_get_visible(window.reader->strip_box));
    GtkWidget *strip = GTK_WIDGET(window.reader->strip);
    /* What was looked at is drawn at its place: the second part of the second section. */
    float y = (float)ui_strip_get_y(window.reader->strip, chapter.start + 250);
    GdkRGBA there = colour_at(&window, strip, 9, y), elsewhere = colour_at(&window, strip, 9, (float)ui_strip_get_y(window.reader->strip, chapter.start + 6000));
    assert_true(there.blue > there.red + 0.2F);
    assert_false(elsewhere.blue > elsewhere.red + 0.2F);
    /* A click goes there. */
    g_signal_emit_by_name(find_controller(strip, GTK_TYPE_GESTURE_CLICK), "pressed", 1, 9.0, (double)y);
    uint64_t start = 0, end = 0;
    wait_until((ui_text_page_get_visible(window.reader->text_page, &start, &end), start < chapter.start + 500 && end > chapter.start));
    assert_true(gtk_widget_has_focus(strip));
    /* Keys: to the beginning is the strongest place. */
    gtk_test_accessible_assert_property(GTK_ACCESSIBLE(strip), GTK_ACCESSIBLE_PROPERTY_LABEL, "Where the model looked");
    gtk_test_accessible_assert_role(GTK_ACCESSIBLE(strip), GTK_ACCESSIBLE_ROLE_SLIDER);
    ui_reader_set_attended(window.reader, NULL, 0);
    assert_false(gtk_widget_get_visible(window.reader->strip_box));
    close_window(&window);
}

/* --------------------------------------------------------------------------------------------------------------- states */

static void test_file_is_gone(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *pdf = make_pdf(fixture);
    int64_t id = take_in(fixture, pdf);
    assert_int_equal(g_unlink(pdf), 0);
    Window window = open_window(fixture);
    open_document(&window, id);
    assert_string_equal(shown_view(&window), "text");
    assert_true(gtk_revealer_get_reveal_child(window.reader->notice));
    assert_non_null(strstr(gtk_label_get_text(window.reader->notice_label), "animals.pdf"));
    assert_false(ui_reader_has_pages(window.reader));
    /* Its words are still found, and shown. */
    UiRange range = find_words(fixture, id, NEEDLE);
    ui_reader_show_passage(window.reader, id, range.start, range.end);
    uint64_t start = 0, end = 0;
    wait_until((ui_text_page_get_visible(window.reader->text_page, &start, &end), start <= range.start && range.start < end));
    /* Removed from the library while it is shown. */
    assert_true(app_library_remove_document(ui_context_get_library(window.context), id, NULL));
    wait_until(strcmp(shown_view(&window), "message") == 0);
    ui_reader_open(window.reader, 0);
    assert_string_equal(shown_view(&window), "empty");
    close_window(&window);
}

/* Whatever a page does to the process that draws it, the window says so and lives. */
static void test_renderer_dies(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *pdf = make_pdf(fixture);
    int64_t id = take_in(fixture, pdf);
    g_autofree char *before = g_strdup(g_getenv("LECTERN_RENDER"));
    g_setenv("LECTERN_RENDER", "/bin/false", TRUE);
    Window window = open_window(fixture);
    open_document(&window, id);
    wait_until(strcmp(shown_view(&window), "text") == 0);
    assert_true(gtk_revealer_get_reveal_child(window.reader->notice));
    assert_non_null(strstr(gtk_label_get_text(window.reader->notice_label), "cannot be"));
    wait_until(ui_text_page_is_settled(window.reader->text_page));
    uint64_t start, end;
    ui_text_page_get_visible(window.reader->text_page, &start, &end);
    assert_true(end > start);
    activate(&window, "reader.toggle-view"); /* the pages say what is wrong with them */
    assert_string_equal(shown_view(&window), "pages");
    wait_until(ui_pdf_pages_is_crisp(window.reader->pdf_pages));
    close_window(&window);
    g_setenv("LECTERN_RENDER", before, TRUE);
}

static void test_lines(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = fixture_path(fixture, "lines.txt");
    /* Prose broken at about 60 characters, a verse, a table. */
    const char *text = "It was the season of light and it was the season of some\n"
                       "darkness and nobody in the whole of the town could say why\n"
                       "that was so.\n\n"
                       "Short are the lines\nof a song of the sea\n\n"
                       "Another paragraph that was broken at the width of the page\nby somebody long ago.\n\n"
                       "Net revenue | 65,773 | 61,204\nIncome taxes | 88,384 | 81,111\n";
    assert_true(g_file_set_contents(path, text, -1, NULL));
    int64_t id = take_in(fixture, path);
    g_autoptr(UiDocument) document = ui_document_load(fixture->library, id, NULL, NULL);
    assert_non_null(document);
    g_autofree char *normal = app_library_get_text(fixture->library, id, 0, UINT64_MAX, NULL, NULL);
    assert_int_equal(strlen(normal), document->n_bytes);
    assert_non_null(strstr(document->text, "of some darkness and"));
    assert_non_null(strstr(document->text, "say why that was so."));
    assert_non_null(strstr(document->text, "Short are the lines\nof a song"));
    assert_non_null(strstr(document->text, "Net revenue \t 65,773 \t 61,204\n"));
    assert_int_equal(document->tables->len, 1);
    UiTable table = g_array_index(document->tables, UiTable, 0);
    assert_int_equal(table.n_columns, 3);
    assert_true(table.is_number[1] && table.is_number[2] && !table.is_number[0]);
    g_autoptr(GArray) found = ui_document_find(document, "some darkness", NULL);
    assert_int_equal(found->len, 1);
    g_autoptr(GArray) cells = ui_document_find(document, "revenue 65,773", NULL);
    assert_int_equal(cells->len, 1);
    for (size_t byte = 0; byte <= document->n_bytes; byte += 7) {
        assert_int_equal(ui_document_byte_at(document, ui_document_chars_at(document, byte)), byte);
    }
}

static void test_markdown_marks(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = fixture_path(fixture, "report.md");
    const char *text = "# Annual report\n\nSome words.\n\n## Highlights\n\n| In millions | 2022 |\n|---|---:|\n| Net revenue | 65,773 |\n";
    assert_true(g_file_set_contents(path, text, -1, NULL));
    g_autoptr(UiDocument) document = ui_document_load(fixture->library, take_in(fixture, path), NULL, NULL);
    assert_non_null(document);
    guint n_hidden = 0;
    for (guint i = 0; i < document->spans->len; i++) {
        const UiSpan *span = &g_array_index(document->spans, UiSpan, i);
        if (span->style != UI_LINE_HIDDEN) continue;
        g_autofree char *hidden = g_strndup(document->text + span->start, span->end - span->start);
        static const char *const expected[] = {"# ", "## ", "|---|---:|\n"};
        assert_true(n_hidden < G_N_ELEMENTS(expected));
        assert_string_equal(hidden, expected[n_hidden++]);
    }
    assert_int_equal(n_hidden, 3);
    assert_int_equal(document->tables->len, 1);
    assert_int_equal(g_array_index(document->tables, UiTable, 0).n_columns, 2);
}

int main(int argc, char **argv)
{
    gtk_test_init(&argc, &argv, NULL);
    adw_init();
    g_object_set(gtk_settings_get_default(), "gtk-enable-animations", FALSE, NULL); /* what is drawn does not depend on when */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_markdown_marks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_passage_on_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_passage_in_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_position_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_go_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_is_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renderer_dies, set_up, tear_down),
    };
    return RUN_SELECTED_TESTS(tests, argc, argv, NULL, NULL);
}
