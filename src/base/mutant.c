#include "base/mutant.h"

#ifdef MUTANTS
enum mutant mutant_awake = MUTANT_none; /* the one global of the pure part: no other build has it */
#else
typedef int mutants_are_not_built; /* a file may not be empty */
#endif
