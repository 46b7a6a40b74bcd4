/* extract-filing.h: company, form and period of a financial report, from its first lines.
 *
 * Owns: recognising filings and earnings releases, and the short name that keeps yearly reports apart ("APPLE 2022 10K").
 * Does not own: where the lines come from.
 */
#ifndef EXTRACT_FILING_H
#define EXTRACT_FILING_H

#include "extract-writer.h"

typedef struct ExFiling {
    char *company;    /* "Apple Inc." */
    char *form;       /* "10-K", "10-Q", "Earnings" */
    char *period;     /* "2022", "2023Q1" */
    char *period_end; /* "September 24, 2022"; NULL when not said */
} ExFiling;

/* lines: the first pages' lines in order. NULL when this is no report. */
ExFiling *ex_filing_new(const GPtrArray *lines);
void ex_filing_free(ExFiling *filing);

/* META company, form, period, period_end, head ("APPLE 2022 10K") and title ("Apple Inc. 2022 10-K"). */
void ex_filing_write(const ExFiling *filing, ExWriter *writer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ExFiling, ex_filing_free)

#endif
