/* error.c: how the engine says what went wrong.
 *
 * Owns: filling an eng_error, in English and in parts that can be said in any language.
 * Does not own: the wording, which is the failing function's; other languages (app/).
 */
#include "eng.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next argument, as the conversion behind the '%' at `at` makes it. False: a conversion that is not known here. */
static bool print_argument(char *to, size_t n_bytes, const char *at, va_list *arguments)
{
    const char *point = at + 1 + strspn(at + 1, "0123456789");
    const char *kind = *point == '.' ? point + 1 + strspn(point + 1, "0123456789*") : point;
    int most = *point != '.' ? -1 : point[1] == '*' ? va_arg(*arguments, int) : atoi(point + 1);
    size_t n_long = strspn(kind, "l");
    bool is_size = *kind == 'z';
    switch (kind[n_long + is_size]) {
    case 's': snprintf(to, n_bytes, "%.*s", most, va_arg(*arguments, const char *)); break;
    case 'd': snprintf(to, n_bytes, "%lld", n_long == 0 ? va_arg(*arguments, int) : n_long == 1 ? va_arg(*arguments, long) : va_arg(*arguments, long long)); break;
    case 'g': snprintf(to, n_bytes, "%g", va_arg(*arguments, double)); break;
    case 'u':
        if (is_size) snprintf(to, n_bytes, "%zu", va_arg(*arguments, size_t));
        else if (n_long == 2) snprintf(to, n_bytes, "%llu", va_arg(*arguments, unsigned long long));
        else snprintf(to, n_bytes, "%lu", n_long == 1 ? va_arg(*arguments, unsigned long) : va_arg(*arguments, unsigned));
        break;
    default: return false;
    }
    return true;
}

/* Not inlined: behind the sanitizers' own tests for NULL, gcc takes the format of the message for one that may be. */
static __attribute__((noinline)) void keep_arguments(eng_error *error, const char *format, va_list *arguments)
{
    char *to = error->arguments, *end = to + sizeof error->arguments;
    for (const char *at = strchr(format, '%'); at != NULL; at = strchr(at, '%')) {
        bool is_sign = at[1] == '%';
        if (!is_sign && to < end) {
            if (!print_argument(to, (size_t)(end - to), at, arguments)) {
                error->format = NULL; /* the arguments behind it would come out wrong */
                return;
            }
            to += strlen(to) + 1;
            error->n_arguments++;
        }
        at += is_sign ? 2 : 1;
    }
}

eng_status eng_fail(eng_error *error, eng_status status, const char *format, ...)
{
    if (error == NULL) return status;
    /* Made aside: an argument may be of the error that is filled. */
    eng_error made = {.status = status, .format = format};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(made.message, sizeof made.message, format, arguments);
    va_end(arguments);
    va_start(arguments, format);
    keep_arguments(&made, format, &arguments);
    va_end(arguments);
    *error = made;
    return status;
}

eng_status eng_fail_as(eng_error *error, eng_status status, const eng_error *from)
{
    if (error == NULL) return status;
    if (error != from) *error = *from;
    error->status = status;
    return status;
}

const char *eng_errno_text(int error_number)
{
    const char *text = strerrordesc_np(error_number);
    return text != NULL ? text : "unknown error";
}
