/* extract-draw.c: see extract-draw.h. */
#include "extract-draw.h"

#include <cairo.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static cairo_surface_t *draw(PopplerPage *source, double scale, int width, int height)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cairo = cairo_create(surface);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_scale(cairo, scale, scale);
    poppler_page_render(source, cairo);
    bool is_drawn = cairo_status(cairo) == CAIRO_STATUS_SUCCESS;
    cairo_destroy(cairo);
    cairo_surface_flush(surface);
    if (is_drawn && cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS) return surface;
    cairo_surface_destroy(surface);
    return NULL;
}

guint8 *ex_draw_grey(PopplerPage *source, double scale, int width, int height)
{
    cairo_surface_t *surface = draw(source, scale, width, height);
    if (!surface) return NULL;
    guint8 *grey = g_malloc((size_t)width * (size_t)height);
    const unsigned char *pixels = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            uint32_t pixel;
            memcpy(&pixel, pixels + (size_t)y * (size_t)stride + (size_t)x * 4, 4);
            uint32_t red = pixel >> 16 & 0xFF, green = pixel >> 8 & 0xFF, blue = pixel & 0xFF;
            grey[(size_t)y * (size_t)width + (size_t)x] = (guint8)((red * 77 + green * 151 + blue * 28) >> 8);
        }
    }
    cairo_surface_destroy(surface);
    return grey;
}
