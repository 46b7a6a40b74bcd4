/* app-locale.c: see app-locale.h. */
#include "app-locale.h"

#include <glib.h>
#include <libintl.h>
#include <locale.h>

#include "app-config.h"

void app_locale_init(bool is_translated)
{
    const char *folder = g_getenv("LECTERN_LOCALE");
    setlocale(LC_ALL, "");
    if (!is_translated) {
        setlocale(LC_MESSAGES, "C");
        setlocale(LC_NUMERIC, "C");
    }
    bindtextdomain(LECTERN_GETTEXT_DOMAIN, folder != NULL ? folder : LECTERN_LOCALE_FOLDER);
    bind_textdomain_codeset(LECTERN_GETTEXT_DOMAIN, "UTF-8");
    textdomain(LECTERN_GETTEXT_DOMAIN);
}
