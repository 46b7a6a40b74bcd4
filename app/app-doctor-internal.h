/* app-doctor-internal.h: what the files of the doctor share. */
#ifndef APP_DOCTOR_INTERNAL_H
#define APP_DOCTOR_INTERNAL_H

#include <stdint.h>

#include "app-doctor.h"
#include "app-settings.h"

G_BEGIN_DECLS

typedef struct AppDoctor {
    const AppDoctorOptions *options;
    const char *area;
    GPtrArray *findings;
    AppSettings *settings; /* NULL: settings_error says why */
    GError *settings_error;
    bool has_library;
    uint64_t free_bytes; /* of the data's disk; 0: not known */
} AppDoctor;

void app_doctor_add(AppDoctor *doctor, AppFindingLevel level, const char *advice, const char *format, ...) G_GNUC_PRINTF(4, 5);
bool app_doctor_is_stopped(const AppDoctor *doctor);

void app_doctor_check_permissions(AppDoctor *doctor);
void app_doctor_check_library(AppDoctor *doctor);
void app_doctor_check_caches(AppDoctor *doctor);

G_END_DECLS

#endif
