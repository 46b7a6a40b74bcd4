/* ui-main.c: starts the window. Owns: main, the language. */
#include <glib/gi18n.h>
#include <locale.h>

#include "ui-application.h"
#include "ui-config.h"
#include "ui-watchdog.h"

int main(int argc, char **argv)
{
    const char *folder = g_getenv("LECTERN_LOCALE"); /* a build tree's translations */
    setlocale(LC_ALL, "");
    bindtextdomain(UI_GETTEXT_DOMAIN, folder != NULL ? folder : UI_LOCALE_FOLDER);
    bind_textdomain_codeset(UI_GETTEXT_DOMAIN, "UTF-8");
    textdomain(UI_GETTEXT_DOMAIN);
    g_set_application_name(_("Lectern"));
    g_autoptr(UiApplication) application = ui_application_new();
    ui_watchdog_start();
    int status = g_application_run(G_APPLICATION(application), argc, argv);
    ui_watchdog_write();
    return status;
}
