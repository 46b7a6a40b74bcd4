/* app-locale.h: the language of a program, from its first line on.
 *
 * Owns: the locale, and where translations are: LECTERN_LOCALE (a build tree's), else the installation's. Errors of app/ come translated.
 * Does not own: which texts there are (resources/po/POTFILES).
 */
#ifndef APP_LOCALE_H
#define APP_LOCALE_H

#include <stdbool.h>

/* Before any text is made. Not translated: texts and numbers are the same whatever the locale, as for other programs; file names are its own. */
void app_locale_init(bool is_translated);

#endif
