/* app-add.h: what app-add.c and app-add-all.c share: a source that is open becomes a document. */
#ifndef APP_ADD_H
#define APP_ADD_H

#include "app-source.h"

/* format: app_source_format's, not "archive". The id, -1 on failure. */
int64_t app_add_source(AppLibrary *library, const AppSource *source, const char *format, const AppAddOptions *options, AppAdded *ret_added,
                       GError **error);
/* Takes the extractor's error; what callers must tell apart gets the library's codes. False. */
bool app_add_translate_error(GError *problem, GError **error);

#endif
