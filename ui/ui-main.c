/* ui-main.c: starts the window. Owns: nothing but main. */
#include "ui-application.h"

int main(int argc, char **argv)
{
    g_autoptr(UiApplication) application = ui_application_new();
    return g_application_run(G_APPLICATION(application), argc, argv);
}
