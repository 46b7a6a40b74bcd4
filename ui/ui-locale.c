/* ui-locale.c: see ui-locale.h. Needs GLib alone: the search provider has no GTK. */
#include "ui-locale.h"

#include <glib.h>
#include <libintl.h>
#include <locale.h>

#include "ui-config.h"

void ui_locale_init(void)
{
    const char *folder = g_getenv("LECTERN_LOCALE"); /* a build tree's translations */
    setlocale(LC_ALL, "");
    bindtextdomain(UI_GETTEXT_DOMAIN, folder != NULL ? folder : UI_LOCALE_FOLDER);
    bind_textdomain_codeset(UI_GETTEXT_DOMAIN, "UTF-8");
    textdomain(UI_GETTEXT_DOMAIN);
}
