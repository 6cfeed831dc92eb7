/* Sees every row that any store takes, and every dead one that a purge takes away. What must never be,
 * whatever became of it afterwards and whether or not a client happened to look:
 *
 *     risen   a row that is older than one of its key that was purged: a purge is for when there is none left
 *             any more, and none on its way (repair/purge.h)
 *     twin    two rows of one put: however often it is tried, its stamp stays what it was
 *
 * Whoever reads the record knows which keys a disk has lost rows of: these promise neither. */
#ifndef SIM_WITNESS_H
#define SIM_WITNESS_H

#include "sim/table.h"

struct witness {
    bool unique;          /* every value is put once */
    struct table purged;  /* by key: the newest stamp that was */
    struct table risen;   /* by key: the first row that came later and is older */
    struct table stamped; /* by value: its first row's stamp */
    struct table twins;   /* by key: the second stamp of a value */
};

void witness_deinit(struct witness *w);

void witness_written(struct witness *w, struct bytes key, const struct row *row);
void witness_purged(struct witness *w, struct bytes key, struct stamp stamp);

/* Whether a row of this key as old as `stamp` may have been purged. */
bool witness_may_be_purged(const struct witness *w, struct bytes key, struct stamp stamp);

#endif
