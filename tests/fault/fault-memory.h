/* fault-memory.h: see fault-memory.c. */
#ifndef FAULT_MEMORY_H
#define FAULT_MEMORY_H

#include <stdint.h>

extern uint64_t fault_memory_calls;   /* counted while fail_at is not 0 */
extern uint64_t fault_memory_fail_at; /* 1: the first; 0: none */

#endif
