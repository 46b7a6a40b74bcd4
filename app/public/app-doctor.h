/* app-doctor.h: whether everything that Lectern needs is there, whole, private and large enough; and what to do where it is not.
 *
 * Owns: the checks of `lectern doctor`. Does not own: mending (it changes nothing; each finding says who can), showing (cli/, ui/).
 *
 * Contract. Blocks, calls progress on the calling thread, connects to nothing unless options.connect. A library that is not there yet is
 * no fault, and none is made.
 */
#ifndef APP_DOCTOR_H
#define APP_DOCTOR_H

#include <glib.h>
#include <stdbool.h>

G_BEGIN_DECLS

typedef enum AppFindingLevel {
    APP_FINDING_GOOD = 0,
    APP_FINDING_NOTE,    /* worth knowing */
    APP_FINDING_WARNING, /* works, but will not for long, or not as well as it could */
    APP_FINDING_PROBLEM, /* something does not work, or private things are open */
} AppFindingLevel;

typedef struct AppFinding {
    AppFindingLevel level;
    const char *area; /* "installation", "settings", ...; constant */
    char *text;       /* one sentence */
    char *advice;     /* what to do; "" where nothing is to be done */
} AppFinding;
void app_finding_free(AppFinding *finding); /* NULL is fine */
const char *app_finding_level_text(AppFindingLevel level); /* "good", "note", "warning", "problem" */

typedef struct AppDoctorOptions {
    const char *data_folder;
    const char *model; /* the default model by option; NULL: by the settings */
    bool read_data;    /* all data of caches and the search index too, not only headers: minutes for gigabytes */
    bool connect;      /* ask the download place and the second machine whether they answer */
    const bool *cancel;
    void (*progress)(void *user, const char *area);
    void *user;
} AppDoctorOptions;

/* Elements AppFinding*, in the order of the checks. After a cancellation: what was found until then. */
GPtrArray *app_doctor_run(const AppDoctorOptions *options);

G_END_DECLS

#endif
