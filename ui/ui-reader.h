/* ui-reader.h: a document to read: its text with structure or, of a PDF whose file is still there, its pages.
 *
 * Owns: showing, finding in the document, going to pages and chapters, the highlighted passage, the strip of where the model looked,
 *       the reading position (kept by document). Does not own: which document (the window says), asking.
 *
 * Offsets are bytes of the document's normalised text, as everywhere in app-library.h.
 *
 * Actions, for menus and for gtk_widget_activate_action(reader, …); keys work while the focus is in the reader:
 *     reader.find              Ctrl+F                    reader.previous-page, next-page        Alt+Page Up, Alt+Page Down
 *     reader.find-next         F3, Ctrl+Shift+G          reader.previous-chapter, next-chapter  Ctrl+Page Up, Ctrl+Page Down
 *     reader.find-previous     Shift+F3                  reader.first-page, last-page           Home, End
 *     reader.go-to             Ctrl+G                    reader.zoom-in, zoom-out, zoom-reset   Ctrl +, Ctrl −, Ctrl 0
 *     reader.toggle-view       F8: pages or text         reader.clear-passage                   Escape, while there is one
 *
 * Signals: "changed": another document is shown, or what is known of it (title, view) is new: for the window's title and menus.
 */
#ifndef UI_READER_H
#define UI_READER_H

#include <adwaita.h>

#include "app-ask.h"
#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_READER (ui_reader_get_type())
G_DECLARE_FINAL_TYPE(UiReader, ui_reader, UI, READER, AdwBin)

GtkWidget *ui_reader_new(UiContext *context);
void ui_reader_set_context(UiReader *reader, UiContext *context);
void ui_reader_open(UiReader *reader, int64_t document); /* at the position where it was left; 0: nothing */
int64_t ui_reader_get_document(UiReader *reader);
const char *ui_reader_get_title(UiReader *reader); /* of the document shown; "" while there is none */
bool ui_reader_has_pages(UiReader *reader);        /* reader.toggle-view can show the pages */
/* Opens the document if need be, scrolls to the passage and highlights it: on its page where pages are shown. */
void ui_reader_show_passage(UiReader *reader, int64_t document, uint64_t start, uint64_t end);
/* Where an answer's tokens looked, of all documents: the strip shows those of the open one. Copied. n 0: clears the strip. */
void ui_reader_set_attended(UiReader *reader, const AppAttended *attended, size_t n_attended);

bool ui_reader_clear_passage(UiReader *reader); /* takes the mark away; false: nothing is marked */
/* Keys of a reader's actions that the window may take wherever the focus is. */
typedef struct UiReaderKey {
    guint key;
    GdkModifierType modifiers;
    const char *action;
} UiReaderKey;
const UiReaderKey *ui_reader_list_keys(size_t *ret_n);

G_END_DECLS

#endif
