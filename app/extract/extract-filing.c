/* extract-filing.c: company, form and period of a financial report.
 *
 * Owns: the phrases of the SEC's cover pages and of earnings releases.
 */
#include "extract-filing.h"

#include <string.h>

void ex_filing_free(ExFiling *filing)
{
    if (!filing) return;
    g_free(filing->company);
    g_free(filing->form);
    g_free(filing->period);
    g_free(filing->period_end);
    g_free(filing);
}

static char *match_group(const char *pattern, const char *text, int group)
{
    g_autoptr(GRegex) regex = g_regex_new(pattern, G_REGEX_CASELESS, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    if (!regex || !g_regex_match(regex, text, 0, &match)) return NULL;
    return g_strstrip(g_match_info_fetch(match, group));
}

static bool has_letters(const char *text)
{
    int n = 0;
    for (const char *p = text; *p; p = g_utf8_next_char(p)) n += g_unichar_isalpha(g_utf8_get_char(p)) != 0;
    return n >= 2;
}

/* The line above "(Exact name of registrant as specified in its charter)". */
static char *find_registrant(const GPtrArray *lines)
{
    for (guint i = 0; i < lines->len; i++) {
        const char *line = g_ptr_array_index(lines, i);
        const char *at = strcasestr(line, "exact name of registrant");
        if (!at) continue;
        g_autofree char *before = g_strndup(line, (gsize)(at - line));
        g_strdelimit(before, "(", ' ');
        g_strstrip(before);
        if (has_letters(before)) return g_steal_pointer(&before);
        for (guint j = i; j-- > 0 && i - j < 5;) {
            const char *name = g_ptr_array_index(lines, j);
            if (has_letters(name) && strlen(name) < 120 && !strcasestr(name, "file number")) return g_strstrip(g_strdup(name));
        }
    }
    return NULL;
}

static char *find_in_lines(const GPtrArray *lines, const char *pattern, int group)
{
    for (guint i = 0; i < lines->len; i++) {
        char *found = match_group(pattern, g_ptr_array_index(lines, i), group);
        if (found && *found) return found;
        g_free(found);
    }
    return NULL;
}

#define MONTH "(?:January|February|March|April|May|June|July|August|September|October|November|December)"

static void find_report(ExFiling *filing, const GPtrArray *lines)
{
    filing->company = find_registrant(lines);
    filing->form = find_in_lines(lines, "^\\W*form\\s+(10-K(?:/A)?|10-Q(?:/A)?|20-F|40-F|8-K|6-K|S-1|S-4)\\b", 1);
    filing->period_end = find_in_lines(lines, "(?:year|period)\\s+ended:?\\s+(" MONTH "\\s+\\d{1,2}\\s*,\\s*\\d{4})", 1);
    if (!filing->period_end) filing->period_end = find_in_lines(lines, "\\bended:?\\s+(" MONTH "\\s+\\d{1,2}\\s*,\\s*\\d{4})", 1);
    if (!filing->period_end || !filing->form) return;
    g_autofree char *year = match_group("(\\d{4})$", filing->period_end, 1);
    g_autofree char *month = match_group("^(\\w+)", filing->period_end, 1);
    if (g_str_has_prefix(filing->form, "10-Q")) {
        static const char *const months[] = {"January", "February", "March", "April", "May", "June", "July", "August", "September",
                                             "October", "November", "December"};
        for (int i = 0; i < 12; i++) {
            if (g_ascii_strcasecmp(months[i], month) == 0) filing->period = g_strdup_printf("%sQ%d", year, i / 3 + 1);
        }
    } else {
        filing->period = g_steal_pointer(&year);
    }
}

/* "eBay Inc. Reports First Quarter 2023 Results", "... Reports Better Than Expected First Quarter ...". */
static void find_release(ExFiling *filing, const GPtrArray *lines)
{
    static const char pattern[] = "^(.{2,60}?)\\s+(?:reports|announces)\\s+(?:[\\w-]+\\s+){0,4}?(first|second|third|fourth|full)[ -](?:fiscal[ -])?"
                                  "(?:quarter|year)\\b.*?(20\\d\\d)";
    g_autofree char *ordinal = find_in_lines(lines, pattern, 2);
    g_autofree char *year = find_in_lines(lines, pattern, 3);
    if (!ordinal || !year) return;
    filing->company = find_in_lines(lines, pattern, 1);
    g_free(filing->form);
    filing->form = g_strdup("Earnings");
    static const char *const ordinals[] = {"first", "second", "third", "fourth"};
    for (int i = 0; i < 4; i++) {
        if (g_ascii_strcasecmp(ordinals[i], ordinal) == 0) filing->period = g_strdup_printf("%sQ%d", year, i + 1);
    }
    if (!filing->period) filing->period = g_steal_pointer(&year);
}

ExFiling *ex_filing_new(const GPtrArray *lines)
{
    g_autoptr(ExFiling) filing = g_new0(ExFiling, 1);
    find_report(filing, lines);
    if (!filing->company || !filing->period) {
        g_clear_pointer(&filing->company, g_free);
        g_clear_pointer(&filing->period, g_free);
        find_release(filing, lines);
    }
    if (!filing->company || !filing->form || !filing->period) return NULL;
    return g_steal_pointer(&filing);
}

/* "Apple Inc." -> "APPLE", "McDonald's Corporation" -> "MCDONALDS". */
static char *short_company(const char *company)
{
    static const char *const endings[] = {"inc",  "inc.", "corp", "corp.",   "corporation", "company", "co", "co.", "plc",
                                          "ltd",  "ltd.", "limited", "llc",  "n.v.",        "s.a.",    "ag", "se",  "the",
                                          "group", NULL};
    g_auto(GStrv) words = g_strsplit_set(company, " ,", -1);
    GString *name = g_string_new(NULL);
    for (char **word = words; *word; word++) {
        g_autofree char *lower = g_utf8_strdown(*word, -1);
        if (**word == 0 || (g_strv_contains(endings, lower) && (name->len || strcmp(lower, "the") == 0))) continue;
        g_autofree char *upper = g_utf8_strup(*word, -1);
        for (const char *p = upper; *p; p = g_utf8_next_char(p)) {
            gunichar c = g_utf8_get_char(p);
            if (g_unichar_isalnum(c) || c == '&') g_string_append_unichar(name, c);
        }
    }
    if (name->len == 0) g_string_append(name, company);
    return g_string_free(name, FALSE);
}

void ex_filing_write(const ExFiling *filing, ExWriter *writer)
{
    ex_writer_meta(writer, "company", filing->company);
    ex_writer_meta(writer, "form", filing->form);
    ex_writer_meta(writer, "period", filing->period);
    ex_writer_meta(writer, "period_end", filing->period_end);
    g_autofree char *company = short_company(filing->company);
    g_auto(GStrv) form_parts = g_strsplit(filing->form, "-", -1);
    g_autofree char *form = g_strjoinv("", form_parts);
    g_autofree char *form_upper = g_ascii_strup(form, -1);
    g_autofree char *head = g_strdup_printf("%s %s %s", company, filing->period, form_upper);
    g_autofree char *title = g_strdup_printf("%s %s %s", filing->company, filing->period, filing->form);
    ex_writer_meta(writer, "head", head);
    ex_writer_meta(writer, "title", title);
}
