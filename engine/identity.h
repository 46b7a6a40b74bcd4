/* identity.h: see identity.c. */
#ifndef ENG_IDENTITY_H
#define ENG_IDENTITY_H

#include "config.h"

enum { ENG_IDENTITY_BYTES = 1024 };

/* info's digests and config's settings as text; free(). NULL: out of memory. */
char *eng_identity_new(const eng_model_info *info, const eng_config *config);

#endif
