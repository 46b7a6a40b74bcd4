/* ui-main.c: starts the window. Owns: main. */
#include <glib/gi18n.h>

#include "app-locale.h"
#include "ui-application.h"
#include "ui-watchdog.h"

int main(int argc, char **argv)
{
    app_locale_init(true);
    g_set_application_name(_("Lectern"));
    g_autoptr(UiApplication) application = ui_application_new();
    ui_watchdog_start();
    int status = g_application_run(G_APPLICATION(application), argc, argv);
    ui_watchdog_write();
    return status;
}
