/* app-conversation-export.c: a conversation as Markdown, to keep or to send.
 *
 * Owns: the form of that text. Does not own: rows (app-library-conversations.c), files (callers).
 */
#include <string.h>

#include "app-library-internal.h"

/* Text that must read as itself in CommonMark: ASCII punctuation that can be markup is escaped; line breaks become those of `prefix`. */
static void add_escaped(GString *to, const char *text, const char *prefix)
{
    bool line_start = true;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n') {
            g_string_append_printf(to, "%s%s", at[1] == '\n' || line_start ? "\n" : "  \n", prefix); /* two spaces: the line breaks here */
            line_start = true;
            continue;
        }
        bool starts_block = line_start && strchr("-+=", *at) != NULL;
        /* "12." and "12)" at a line's start would be a list. */
        bool ends_number = line_start && (*at == '.' || *at == ')') && at > text && g_ascii_isdigit(at[-1]);
        if (strchr("\\`*_[]<>#|~&!", *at) != NULL || starts_block || ends_number) g_string_append_c(to, '\\');
        g_string_append_c(to, *at);
        line_start = line_start && (*at == ' ' || g_ascii_isdigit(*at));
    }
}

/* One line of it. */
static void add_line(GString *to, const char *text)
{
    g_autofree char *line = g_strdelimit(g_strdup(text), "\r\n\t", ' ');
    add_escaped(to, g_strstrip(line), "");
}

static void add_quotation(GString *to, AppLibrary *library, const AppQuotation *quotation)
{
    g_string_append(to, "> ");
    add_escaped(to, quotation->text, "> ");
    g_string_append(to, "\n>\n> — ");
    /* The heading path begins with the title; a document that is gone has its title alone. */
    g_autoptr(AppPlace) place = quotation->document != 0 && quotation->section >= 0
                                    ? app_library_locate(library, quotation->document, quotation->start, quotation->end, NULL)
                                    : NULL;
    add_line(to, place != NULL && place->heading[0] != '\0' ? place->heading : quotation->document_title);
    if (quotation->page != UINT32_MAX) {
        g_string_append(to, ", page ");
        g_autofree char *number = g_strdup_printf("%u", quotation->page + 1);
        add_line(to, quotation->page_label[0] != '\0' ? quotation->page_label : number);
    }
    g_string_append(to, quotation->verified ? " (verified)" : " (not found in the document)");
    g_string_append(to, "\n\n");
}

static char *format_time(int64_t seconds)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(seconds);
    return time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M") : g_strdup("");
}

char *app_conversation_to_markdown(AppLibrary *library, int64_t conversation, GError **error)
{
    g_autoptr(AppConversation) head = app_library_get_conversation(library, conversation, error);
    g_autoptr(GPtrArray) turns = head != NULL ? app_library_list_turns(library, conversation, error) : NULL;
    if (turns == NULL) return NULL;
    GString *text = g_string_new("# ");
    add_line(text, head->title[0] != '\0' ? head->title : "Conversation");
    g_string_append(text, "\n\n");
    for (guint i = 0; i < turns->len; i++) {
        const AppTurn *turn = g_ptr_array_index(turns, i);
        g_string_append(text, "## ");
        add_line(text, turn->question);
        g_string_append_printf(text, "\n\n%s\n\n", turn->answer);
        for (size_t j = 0; j < turn->n_quotations; j++) add_quotation(text, library, &turn->quotations[j]);
        g_autofree char *time = format_time(turn->created_s);
        g_string_append_printf(text, "*%s", time);
        if (turn->model[0] != '\0') g_string_append(text, ", ");
        add_line(text, turn->model);
        g_string_append(text, "*\n\n");
    }
    g_string_truncate(text, text->len - 1);
    return g_string_free(text, FALSE);
}
