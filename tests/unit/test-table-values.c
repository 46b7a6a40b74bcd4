/* test-table-values.c: cells of tables by row, column, company and year. */
#include "app-fixture.h"

#include "app-document.h"
#include "app-table-values.h"

/* A report with one table under a heading; head_lines of its lines are column heads. company NULL: no filing. */
static int64_t add_report(const Fixture *f, const char *name, const char *company, const char *period, const char *heading, const char *table,
                          uint32_t n_head_lines)
{
    GError *error = NULL;
    const AppImportSource source = {.path = name, .name = name, .source_hash = name, .format = "pdf"};
    g_autoptr(AppImport) import = app_import_new(f->library, &source, NULL, &error);
    assert_non_null(import);
    app_import_set_title(import, name);
    app_import_set_metadata(import, "company", company);
    app_import_set_metadata(import, "period", period);
    assert_true(app_import_heading(import, 1, true, heading, NULL) && app_import_add_text(import, heading, strlen(heading), NULL));
    assert_true(app_import_add_text(import, "\n\n", 2, NULL) && app_import_begin_table(import, NULL));
    assert_true(app_import_add_text(import, table, strlen(table), NULL) && app_import_end_table(import, n_head_lines, NULL));
    int64_t id = -1;
    AppImportOutcome outcome;
    assert_true(app_import_finish(import, &id, &outcome, NULL));
    return id;
}

static const char statement[] = "Years ended\nJune 30, 2022 | June 30, 2021 | June 30, 2020\nNet sales:\nProducts | $1,234 | $1,111 | 999\n"
                                "Services | 567 | (88) | 77\nTotal net sales | 1,801 | 1,023 | 1,076\nCost of sales:\nProducts | 700 | 650 | 600\n"
                                "Net income (loss) | $99 | $87 | $(6)";

static void assert_value(const Fixture *f, const char *question, int64_t document, const char *column, const char *value)
{
    const AppSearch search = {.words = question, .limit = 3};
    g_autoptr(GPtrArray) hits = app_library_find_values(f->library, &search, NULL);
    if (hits->len == 0) fail_msg("nothing for: %s", question);
    const AppHit *hit = g_ptr_array_index(hits, 0);
    if (strcmp(hit->value, value) != 0) fail_msg("%s: %s", question, hit->snippet);
    assert_int_equal(hit->document, document);
    assert_string_equal(hit->column, column);
    /* Its place is that of the cell. */
    g_autofree char *cell = app_library_get_text(f->library, document, hit->match_start, hit->match_end, NULL, NULL);
    assert_string_equal(cell, value);
    assert_true(hit->start <= hit->match_start && hit->match_end <= hit->end);
}

static void test_rows_and_columns(void **state)
{
    const Fixture *f = *state;
    int64_t id = add_report(f, "northwind", "Northwind Traders Inc.", "2022", "Consolidated Statements of Operations", statement, 2);
    assert_value(f, "What were Northwind's total net sales in 2021?", id, "June 30, 2021", "1,023");
    assert_value(f, "total net sales 2020", id, "June 30, 2020", "1,076");
    assert_value(f, "What were Northwind Traders' sales of services in 2022?", id, "June 30, 2022", "567");
    assert_value(f, "How much was the cost of sales of products in fiscal year 2021?", id, "June 30, 2021", "650");
    assert_value(f, "Northwind net income 2020", id, "June 30, 2020", "$(6)");
    assert_value(f, "What was Northwind's total revenue in 2022?", id, "June 30, 2022", "1,801"); /* another word for it */
    assert_value(f, "What were the total net sales?", id, "June 30, 2022", "1,801");               /* the latest */
    static const char *const none[] = {"What were Northwind's total net sales in 2010?", "What is the name of the chairman?",
                                       "Who wrote the report of 2022?", "total sales of submarines, balloons and lighthouses in 2022", "", "2022 ?"};
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        g_autoptr(GPtrArray) hits = app_library_find_values(f->library, &(AppSearch){.words = none[i]}, NULL);
        if (hits->len > 0) fail_msg("%s: %s", none[i], ((const AppHit *)g_ptr_array_index(hits, 0))->snippet);
    }
}

/* Reports that are all alike: neither companies nor years nor quarters are mixed up. */
static void test_near_identical_reports(void **state)
{
    const Fixture *f = *state;
    const char *const heading = "Consolidated Statements of Operations";
    int64_t old = add_report(f, "a21", "Alder Corp.", "2021", heading, "2021 | 2020\nNet income | 21 | 20\nGoodwill | 5 | 6", 1);
    int64_t later = add_report(f, "a22", "Alder Corp.", "2022", heading, "2022 | 2021\nNet income | 22 | 21.5\nGoodwill | 4 | 5", 1);
    int64_t quarter = add_report(f, "a22q1", "Alder Corp.", "2022Q1", heading, "2022 | 2021\nNet income | 7 | 6", 1);
    int64_t other = add_report(f, "b22", "Birch & Sons Inc.", "2022", heading, "2022 | 2021\nNet income | 122 | 121", 1);
    assert_value(f, "What was Alder's net income in 2021?", old, "2021", "21");
    assert_value(f, "What was Alder's net income in 2022?", later, "2022", "22");
    assert_value(f, "What was the net income of Birch & Sons in 2021?", other, "2021", "121");
    assert_value(f, "What was Alder's net income in the first quarter of 2022?", quarter, "2022", "7");
    assert_value(f, "Alder net income Q1 2021", quarter, "2021", "6");
    assert_value(f, "goodwill of Alder in 2022", later, "2022", "4");
    /* A company without that row gets no other's. */
    g_autoptr(GPtrArray) hits = app_library_find_values(f->library, &(AppSearch){.words = "goodwill of Birch in 2022"}, NULL);
    assert_int_equal(hits->len, 0);
    const int64_t documents[] = {old, later, quarter, other};
    float fits[4];
    assert_true(app_table_values_rate_documents(f->library, documents, 4, "Alder's net income in 2022", fits));
    assert_true(fits[1] > fits[0] && fits[1] > fits[2] && fits[3] == 0);
}

/* Heads with a label of their own count from it; extra columns of changes do not shift the years. */
static void test_column_heads(void **state)
{
    const Fixture *f = *state;
    int64_t id = add_report(f, "m", "Maple", "2023", "Statement of Income", "Years ended | 2023 | 2022 | Change\nRevenues | 10 | 8 | 2 | 25%", 1);
    assert_value(f, "Maple revenues 2023", id, "2023", "10");
    assert_value(f, "Maple revenues 2022", id, "2022", "8");
    int64_t wide = add_report(f, "o", "Oak", "2023", "Statement of Income", "2023 | % | 2022 | % | 2021\nRevenues | $30 | (6)% | $32 | 17% | 27", 1);
    assert_value(f, "Oak revenues 2022", wide, "2022", "$32");
    assert_value(f, "Oak revenues 2021", wide, "2021", "27");
    /* What a hostile document may hold does no harm. */
    g_autoptr(GString) huge = g_string_new("2022");
    for (int i = 0; i < 3000; i++) g_string_append(huge, " | 2022");
    g_string_append(huge, "\nRevenues ");
    for (int i = 0; i < 3000; i++) g_string_append(huge, "| |9");
    g_string_append(huge, "\n||||\n|");
    add_report(f, "p", "Pine", "2022", "|||", huge->str, 900);
    g_autoptr(GPtrArray) hits = app_library_find_values(f->library, &(AppSearch){.words = "Pine revenues 2022"}, NULL);
    assert_non_null(hits);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_rows_and_columns), TEST(test_near_identical_reports), TEST(test_column_heads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
