/* extract-draw.h: a PDF page as a picture, for what its text does not say. */
#ifndef EXTRACT_DRAW_H
#define EXTRACT_DRAW_H

#include <glib.h>
#include <poppler.h>

/* The page in shades of grey on white, `scale` pixels a point; width * height bytes without gaps. NULL: it could not be drawn. */
guint8 *ex_draw_grey(PopplerPage *source, double scale, int width, int height);

#endif
