/* Planted bugs, to prove that the simulator finds them: `make mutants` builds everything with them in place,
 * all asleep but one, and runs seeds until it is caught (kvsim mutants). In every other build a hook is its
 * first expression and nothing else.
 *
 *     return MUTANT(quorum_off_by_one, acked >= needed, acked + 1 >= needed);
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H

#define MUTANT_TABLE(X)                                                             \
    X(ack_before_sync, "a replica acknowledges a write before it is on disk")       \
    X(double_ack, "a second acknowledgement of one member counts again")            \
    X(quorum_off_by_one, "a put is answered one acknowledgement early")             \
    X(drop_write_back, "a get answers without writing the newest row back")         \
    X(strict_counts_fallbacks, "strict requests count fallbacks too")               \
    X(forget_hint, "a fallback acknowledges a row and keeps no hint")               \
    X(handoff_refused, "a hint is forgotten though the home refused the row")       \
    X(resurrect_tombstone, "a get takes a tombstone for nothing at all")            \
    X(expiry_before_winner, "a get drops expired rows before it picks the winner")  \
    X(arrival_order, "the row that comes last wins, whatever its stamp")            \
    X(clock_back, "the clock's floor is forgotten over a restart")                  \
    X(retry_new_stamp, "a retry of a put mints a new stamp")                        \
    X(no_stamp_round, "a strict put does not ask for the newest stamp first")       \
    X(timeout_is_failure, "a put that timed out is said to have done nothing")      \
    X(wrong_store, "a wiped store is taken for the member that it was")             \
    X(stale_incarnation, "gossip of an older incarnation is believed")              \
    X(no_refutation, "a suspect says nothing")                                      \
    X(request_never_ends, "an answered put is kept for ever")                       \
    X(stale_epoch, "a replica takes requests of any ring")                          \
    X(overtaken_ack, "a replica acknowledges under a ring what came under another") \
    X(forget_dual_write, "a slot that moves is written at its old home only")       \
    X(two_as_two, "the two homes of a slot that moves count as two")                \
    X(read_before_whole, "new homes are read before they hold their partitions")    \
    X(no_switch_fence, "a change ends before displaced homes know of SWITCH")       \
    X(drop_early, "displaced homes drop their rows in SWITCH")                      \
    X(old_snapshot, "a source gives pages before it knows that the ring changes")   \
    X(restored_votes, "a store put back to an older copy goes on as it was")        \
    X(purge_blind, "a purge overlooks rows and hints of those who are no homes")    \
    X(purge_no_wait, "a purge does not wait until what is under way is too old")    \
    X(scan_one_home, "a scan is complete with one home of each partition")          \
    X(scan_full_ends, "a page of a scan that is full says that it is the last")

/* Of what there is only where the topology has a hub. */
#define MUTANT_HUB_TABLE(X)                                                            \
    X(hub_judges_at_once, "a hub that has just started judges before it has listened") \
    X(hub_buries_nobody, "a member whose heartbeats stop is suspect for ever")         \
    X(list_with_gap, "a member takes a list that is pushed though it has missed one")  \
    X(any_coordinates, "who is not the hub takes requests, too")

#ifdef MUTANTS
enum mutant {
    MUTANT_none,
#define MUTANT_ENUM(name, text) MUTANT_##name,
    MUTANT_TABLE(MUTANT_ENUM) MUTANT_HUB_TABLE(MUTANT_ENUM)
#undef MUTANT_ENUM
};
extern enum mutant mutant_awake;
#define MUTANT(name, normal, broken) (mutant_awake == MUTANT_##name ? (broken) : (normal))
#else
#define MUTANT(name, normal, broken) (normal)
#endif

#endif
