/* ui-icons.h: themed icons live as long as the program.
 *
 * GTK (4.8 for one) loads icons on threads. A thread may drop the last reference to an icon while the main loop finds that very icon in the
 * theme's cache and takes a reference to it: the window crashes. An icon whose last reference nobody drops is not in danger.
 * Does not own: which icons there are, and where they are shown.
 */
#ifndef UI_ICONS_H
#define UI_ICONS_H

/* Before the first icon is looked up, once. Costs what all icons that were ever shown take: some hundred KB. */
void ui_icons_keep(void);

#endif
