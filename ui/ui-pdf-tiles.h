/* ui-pdf-tiles.h: parts of pages as textures, drawn on a thread and kept while they are likely to be wanted.
 *
 * A part is drawn as a whole, as a page's content is gone through each time, and handed over in strips: only those in sight are copied or
 * uploaded in a frame, and that is what a frame of scrolling costs.
 *
 * Owns: the renderer, one part in work at a time, which parts are kept (least recently used ones go first), pages that cannot be drawn.
 * Does not own: which parts are in sight (ui-pdf-pages.h).
 *
 * Signals: "changed": a part has come, or a page has failed.
 */
#ifndef UI_PDF_TILES_H
#define UI_PDF_TILES_H

#include <gdk/gdk.h>

#include "app-render.h"
#include "ui-context.h"

G_BEGIN_DECLS

#define UI_TYPE_PDF_TILES (ui_pdf_tiles_get_type())
G_DECLARE_FINAL_TYPE(UiPdfTiles, ui_pdf_tiles, UI, PDF_TILES, GObject)

enum { UI_PDF_STRIP_ROWS = 128 };

typedef struct UiPdfTile {
    AppRenderPart part;
    GPtrArray *strips; /* GdkTexture*, from the top, of UI_PDF_STRIP_ROWS rows each, the last of fewer */
    guint64 used; /* greater: more recently */
} UiPdfTile;

/* Takes the renderer. */
UiPdfTiles *ui_pdf_tiles_new(UiContext *context, AppRenderer *renderer);
/* The parts wanted now, most wanted first (AppRenderPart); earlier wishes that are not among them are dropped. */
void ui_pdf_tiles_want(UiPdfTiles *tiles, const GArray *parts);
const UiPdfTile *ui_pdf_tiles_get(UiPdfTiles *tiles, const AppRenderPart *part); /* borrowed until others come; NULL: not there yet */
const GArray *ui_pdf_tiles_list(UiPdfTiles *tiles); /* UiPdfTile: whatever is kept, of any size */
/* Why nothing at all could be drawn yet though it was tried; NULL: something was, or nothing was tried. */
const char *ui_pdf_tiles_get_first_problem(UiPdfTiles *tiles);
const char *ui_pdf_tiles_get_problem(UiPdfTiles *tiles, uint32_t page); /* why the page cannot be shown; NULL: nothing is wrong */

G_END_DECLS

#endif
