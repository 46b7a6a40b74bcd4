/* cli-ask-print.c: answers as people read them on a terminal.
 *
 * Owns: the layout of an answer and of the table over documents.
 * Does not own: the answer (app-ask.h), JSON (app_answer_to_json), options (cli-ask.c).
 */
#include "cli-ask.h"

#include <glib/gi18n.h>
#include <string.h>

#include "cli-internal.h"

enum { SNIPPET_CHARS = 100, TABLE_WIDTH_MIN = 60 };

static void put_style(const CliAskPrinter *printer, const char *code)
{
    if (printer->styled) fprintf(printer->out, "\033[%sm", code);
}

static void put_text(CliAskPrinter *printer, const char *text, size_t n_bytes)
{
    if (n_bytes == 0) return;
    g_autofree char *piece = g_strndup(text, n_bytes), *safe = cli_safe_text(piece);
    fputs(safe, printer->out);
    printer->at_line_start = text[n_bytes - 1] == '\n';
}

static void end_quotation(CliAskPrinter *printer)
{
    if (!printer->in_quotation) return;
    fputs("\xE2\x80\x9D", printer->out);
    put_style(printer, "0");
    fputc('\n', printer->out);
    printer->in_quotation = false;
    printer->at_line_start = true;
}

/* What is thought is folded away: a word that it goes on, or dim if it is wanted. */
static void print_thought(CliAskPrinter *printer, const AppAskEvent *event)
{
    if (!printer->shows_thinking) {
        if (!printer->in_thought && !printer->quiet) fputs(_("lectern: thinking…\n"), stderr);
        printer->in_thought = true;
        return;
    }
    printer->in_thought = true;
    put_style(printer, "2");
    put_text(printer, event->text, event->n_bytes);
    put_style(printer, "0");
    fflush(printer->out);
}

static void print_reply_text(CliAskPrinter *printer, const AppAskEvent *event)
{
    if (printer->in_thought && printer->shows_thinking && !printer->at_line_start) put_text(printer, "\n", 1);
    printer->in_thought = false;
    if (event->in_quotation && !printer->in_quotation) {
        put_style(printer, "3");
        fputs("\xE2\x80\x9C", printer->out);
        printer->in_quotation = true;
    } else if (!event->in_quotation) {
        end_quotation(printer);
        put_style(printer, "1");
    }
    put_text(printer, event->text, event->n_bytes);
    if (!event->in_quotation) put_style(printer, "0");
    printer->any = true;
    fflush(printer->out);
}

char *cli_ask_format_source(const AppEvidence *evidence)
{
    const AppQuotation *quotation = &evidence->quotation;
    if (quotation->section < 0) return g_strdup_printf("not found in the documents: “%s”", quotation->text);
    g_autofree char *place = app_format_place(quotation->document_title, evidence->heading, quotation->page, quotation->page_label);
    GString *text = g_string_new(place);
    g_autofree char *start = app_format_count(quotation->char_start), *end = app_format_count(quotation->char_end);
    g_string_append_printf(text, ", characters %s\xE2\x80\x93%s", start, end);
    if (evidence->n_other_places) {
        g_autofree char *others = app_format_count(evidence->n_other_places);
        g_string_append_printf(text, " (and at %s other %s)", others, evidence->n_other_places == 1 ? "place" : "places");
    }
    if (!quotation->verified) g_string_append(text, " (not verbatim in the source)");
    return g_string_free(text, FALSE);
}

static void print_evidence(CliAskPrinter *printer, const AppEvidence *evidence)
{
    static const char *const labels[] = {"", "Quoted: ", "In: ", "Perhaps from: "};
    cli_ask_print_break(printer);
    g_autofree char *source = cli_ask_format_source(evidence);
    if (evidence->kind != APP_EVIDENCE_BOUND && evidence->quotation.section >= 0) {
        fputs(labels[evidence->kind], printer->out);
        fputs("\xE2\x80\x9C", printer->out);
        put_text(printer, evidence->quotation.text, strlen(evidence->quotation.text));
        fputs("\xE2\x80\x9D\n", printer->out);
    }
    fputs("  \xE2\x80\x94 ", printer->out);
    put_text(printer, source, strlen(source));
    fputc('\n', printer->out);
    printer->at_line_start = true;
}

static void print_passages(CliAskPrinter *printer, const AppAnswer *answer)
{
    if (!answer->passages || answer->passages->len == 0) return;
    bool in_values = false;
    for (guint i = 0; i < answer->passages->len; i++) {
        const AppHit *hit = answer->passages->pdata[i];
        if (hit->value && !in_values) fputs("In the tables:\n", printer->out);
        if (!hit->value && (i == 0 || in_values)) fputs(answer->found ? "See also:\n" : "The closest passages by search:\n", printer->out);
        in_values = hit->value != NULL;
        g_autofree char *whole = app_format_snippet(hit->snippet, "", "", false);
        g_autofree char *line = g_utf8_substring(whole, 0, MIN(g_utf8_strlen(whole, -1), SNIPPET_CHARS));
        g_autofree char *place = cli_safe_text(g_str_has_prefix(hit->heading, hit->title) ? hit->heading : hit->title);
        fprintf(printer->out, "  %u. %s", i + 1, place);
        if (hit->page != UINT32_MAX) fprintf(printer->out, ", page %s", hit->page_label[0] ? hit->page_label : "?");
        fprintf(printer->out, ": %s\n", line);
    }
}

static void print_figures(CliAskPrinter *printer, const AppAnswer *answer)
{
    g_autofree char *cached = app_format_count(answer->tokens_cached), *attended = app_format_count(answer->tokens_attended);
    g_autofree char *sections = app_format_count(answer->n_sections_attended), *all = app_format_count(answer->n_sections);
    put_style(printer, "2");
    fprintf(printer->out, "%s tokens from cache", cached);
    if (answer->n_sections_attended < answer->n_sections)
        fprintf(printer->out, " \xC2\xB7 looked at %s (%s of %s sections)", attended, sections, all);
    fprintf(printer->out, " \xC2\xB7 first word after %.2f s \xC2\xB7 %.2f s in all", (double)answer->first_token_us / 1e6,
            (double)answer->total_us / 1e6);
    if (answer->remote) {
        g_autofree char *model = cli_safe_text(answer->model);
        fprintf(printer->out, " \xC2\xB7 answered by %s on %s", model, answer->remote);
    }
    if (answer->n_documents_left_out) fprintf(printer->out, " \xC2\xB7 %u documents left out: not read yet", answer->n_documents_left_out);
    if (answer->n_documents_partly_read) fprintf(printer->out, " \xC2\xB7 %u documents are read only in part", answer->n_documents_partly_read);
    if (answer->joined_approximately) fputs(" \xC2\xB7 documents joined by approximation", printer->out);
    put_style(printer, "0");
    fputc('\n', printer->out);
    if (answer->not_kept) {
        g_autofree char *why = cli_safe_text(answer->not_kept);
        fprintf(printer->out, "The answer was not kept in the conversation: %s\n", why);
    }
}

void cli_ask_print_break(CliAskPrinter *printer)
{
    end_quotation(printer);
    if (printer->any && !printer->at_line_start) fputc('\n', printer->out);
    printer->at_line_start = true;
}

void cli_ask_print_notice(void *user, const AppAskEvent *event)
{
    const CliAskPrinter *printer = user;
    if (event->kind == APP_ASK_SENDING && !printer->quiet) fprintf(stderr, "lectern: %.*s\n", (int)event->n_bytes, event->text);
}

void cli_ask_print_event(void *user, const AppAskEvent *event)
{
    CliAskPrinter *printer = user;
    switch (event->kind) {
    case APP_ASK_SENDING:
        cli_ask_print_notice(user, event);
        break;
    case APP_ASK_TEXT:
        print_reply_text(printer, event);
        break;
    case APP_ASK_THOUGHT:
        print_thought(printer, event);
        break;
    case APP_ASK_QUOTATION:
        print_evidence(printer, event->evidence);
        break;
    case APP_ASK_FINISHED:
        cli_ask_print_break(printer);
        if (!event->answer->complete) fputs("(cut at the most tokens allowed; --max-tokens sets them)\n", printer->out);
        for (size_t i = 0; i < event->answer->n_evidence; i++) {
            if (event->answer->evidence[i].is_unrelated) fputs("(no word of the question stands in that passage: it may answer something else)\n", printer->out);
        }
        if (!printer->quiet) {
            print_passages(printer, event->answer);
            print_figures(printer, event->answer);
        }
        fflush(printer->out);
        break;
    default:
        break;
    }
}

/* ---------------------------------------------------------------------------------------------------------------- table */

static const char *row_quotation(const AppAskRow *row)
{
    return row->answer && row->answer->n_evidence ? row->answer->evidence[0].quotation.text : "";
}

/* A cell of a line, two columns from the next; the last one is not padded. */
static void put_cell(FILE *out, const char *text, size_t width, bool last)
{
    g_autofree char *line = g_strdup(text);
    g_strdelimit(line, "\n\t", ' ');
    g_autofree char *safe = cli_safe_text(line), *fitted = cli_fit(safe, width);
    fputs(last ? g_strchomp(fitted) : fitted, out);
    if (!last) fputs("  ", out);
}

void cli_ask_print_table(FILE *out, const GPtrArray *rows, unsigned width)
{
    enum { COLUMNS = 4 };
    const char *const titles[COLUMNS] = {"Document", "Answer", "Where", "Quotation"};
    size_t widths[COLUMNS], available = MAX(width, TABLE_WIDTH_MIN);
    for (size_t c = 0; c < COLUMNS; c++) widths[c] = cli_width(titles[c]);
    g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < rows->len; i++) {
        const AppAskRow *row = rows->pdata[i];
        g_ptr_array_add(places, app_ask_row_place(row));
        widths[0] = MAX(widths[0], cli_width(row->title));
        widths[1] = MAX(widths[1], cli_width(app_ask_row_answer(row)));
        widths[2] = MAX(widths[2], cli_width(places->pdata[i]));
    }
    widths[0] = MIN(widths[0], available * 3 / 10);
    widths[1] = MIN(widths[1], available * 3 / 10);
    widths[2] = MIN(widths[2], 14);
    size_t used = widths[0] + widths[1] + widths[2] + 2 * (COLUMNS - 1);
    widths[3] = available > used + 12 ? available - used : 12;
    for (size_t c = 0; c < COLUMNS; c++) put_cell(out, titles[c], widths[c], c + 1 == COLUMNS);
    fputc('\n', out);
    for (guint i = 0; i < rows->len; i++) {
        const AppAskRow *row = rows->pdata[i];
        const char *const cells[COLUMNS] = {row->title, app_ask_row_answer(row), places->pdata[i], row_quotation(row)};
        for (size_t c = 0; c < COLUMNS; c++) put_cell(out, cells[c], widths[c], c + 1 == COLUMNS);
        fputc('\n', out);
    }
}
