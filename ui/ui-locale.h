/* ui-locale.h: the language of a program of the window's, from its first line on. */
#ifndef UI_LOCALE_H
#define UI_LOCALE_H

void ui_locale_init(void); /* before any text is made */

#endif
