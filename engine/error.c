/* error.c: how the engine says what went wrong.
 *
 * Owns: filling an eng_error.
 * Does not own: the wording, which is the failing function's.
 */
#include "eng.h"

#include <stdarg.h>
#include <stdio.h>

eng_status eng_fail(eng_error *error, eng_status status, const char *format, ...)
{
    if (error == NULL) return status;
    error->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}
