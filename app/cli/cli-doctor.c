/* cli-doctor.c: `lectern doctor`: what is wrong, and what to do.
 *
 * Owns: the command's words and layout. Does not own: the checks (app-doctor.h).
 */
#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app-doctor.h"
#include "cli-internal.h"
#include "cli.h"

static const char *const help =
    N_("Usage: lectern doctor [--read-data] [--connect]\n"
       "Checks the installation, settings, this machine, who may read your files, the library, models and saved states,\n"
       "and says what is wrong and what to do about it. Changes nothing. Exit code 1 when there is a problem.\n\n"
       "  --read-data      read all saved states and compare their checksums, and check the search index: minutes\n"
       "  --connect        ask whether the place for downloads and the second machine answer; else nothing connects\n");

static const char *area_text(const char *area)
{
    return g_dpgettext2(NULL, "doctor", area);
}

static void show_area(void *user, const char *area)
{
    const CliContext *context = user;
    if (context->quiet || context->json || !isatty(STDERR_FILENO)) return;
    g_autofree char *text = g_strdup_printf(_("Checking: %s"), area_text(area));
    fprintf(stderr, "\r%s\033[K", text);
}

static void print_finding(const AppFinding *finding, const char **area)
{
    /* Translators: at most 8 characters each */
    static const char *const marks[] = {NC_("doctor", "ok"), NC_("doctor", "note"), NC_("doctor", "warning"), NC_("doctor", "PROBLEM")};
    if (*area == NULL || strcmp(*area, finding->area) != 0) printf("%s\n", area_text(finding->area));
    *area = finding->area;
    g_autofree char *text = cli_safe_text(finding->text), *advice = cli_safe_text(finding->advice);
    const char *mark = g_dpgettext2(NULL, "doctor", marks[finding->level]);
    printf("  %s%*s%s\n", mark, (int)MAX(8 - g_utf8_strlen(mark, -1), 1), "", text);
    if (advice[0] != '\0') printf("          %s\n", advice);
}

static void print_counts(const unsigned *counts)
{
    unsigned n_problems = counts[APP_FINDING_PROBLEM], n_warnings = counts[APP_FINDING_WARNING];
    g_autofree char *problems = g_strdup_printf(ngettext("%u problem", "%u problems", n_problems), n_problems);
    g_autofree char *warnings = g_strdup_printf(ngettext("%u warning", "%u warnings", n_warnings), n_warnings);
    printf("\n%s, %s.\n", problems, warnings);
}

static void print_json(const GPtrArray *findings, const unsigned *counts)
{
    json_t *list = json_array();
    for (guint i = 0; i < findings->len; i++) {
        const AppFinding *finding = g_ptr_array_index(findings, i);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "area", finding->area, "level", app_finding_level_text(finding->level), "text", finding->text,
                                              "advice", finding->advice));
    }
    cli_print_json(json_pack("{s:i, s:i, s:o}", "problems", (int)counts[APP_FINDING_PROBLEM], "warnings", (int)counts[APP_FINDING_WARNING], "findings", list));
}

int cli_doctor(CliContext *context, int argc, char **argv)
{
    if (cli_wants_help(argc, argv, help)) return CLI_OK;
    gboolean read_data = FALSE, connect = FALSE;
    const GOptionEntry options[] = {{"read-data", 0, 0, G_OPTION_ARG_NONE, &read_data, NULL, NULL}, {"connect", 0, 0, G_OPTION_ARG_NONE, &connect, NULL, NULL}, {NULL}};
    if (!cli_parse_options("doctor", options, &argc, &argv)) return CLI_USAGE;
    if (argc > 1) return cli_usage("doctor", _("“%s” is too much here"), argv[1]);
    AppDoctorOptions wanted = {.data_folder = context->data_folder, .model = context->model, .read_data = read_data, .connect = connect, .cancel = cli_cancel_flag(),
                               .progress = show_area, .user = context};
    g_autoptr(GPtrArray) findings = app_doctor_run(&wanted);
    if (!context->quiet && !context->json && isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K");
    unsigned counts[APP_FINDING_PROBLEM + 1] = {0};
    for (guint i = 0; i < findings->len; i++) counts[((const AppFinding *)g_ptr_array_index(findings, i))->level]++;
    if (context->json) {
        print_json(findings, counts);
    } else {
        const char *area = NULL;
        for (guint i = 0; i < findings->len; i++) {
            const AppFinding *finding = g_ptr_array_index(findings, i);
            if (!context->quiet || finding->level >= APP_FINDING_WARNING) print_finding(finding, &area);
        }
        if (!context->quiet) print_counts(counts);
    }
    if (cli_interrupted()) return CLI_INTERRUPTED;
    return counts[APP_FINDING_PROBLEM] > 0 ? CLI_FAILED : CLI_OK;
}
